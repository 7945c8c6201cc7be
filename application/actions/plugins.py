"""Actions of other packages, by entry points of the group `testmesh.actions`: looked for when a name is not built in.

An entry point is named as the action or one of its aliases, and its object is an Action. The package metadata is read once a
process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, get_args

from application.engine.action import Action, FileKind, Key, ValueType
from application.engine.errors import ActionUnusable
from domain.values import dataclass

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "testmesh.actions"
_TYPES = frozenset(get_args(ValueType))
_FILES = frozenset(get_args(FileKind))
_REASON = 200
"""Characters of what a plugin's own failure says."""


@dataclass(slots=True, eq=False, repr=False)
class Plugins:
    """The actions that installed packages bring, by name. `built_in` are the names that none of them may take."""

    built_in: Callable[[str], bool]
    _points: dict[str, list[EntryPoint]] | None = field(default=None)

    def names(self) -> Iterable[str]:
        """Every name that an installed package claims and may have; nothing is imported but the metadata."""
        return [name for name in self._all() if not self.built_in(name)]

    def taken(self) -> Iterable[ActionUnusable]:
        """The names that packages claim in vain, because they are built in."""
        return [self._clash(name) for name in self._all() if self.built_in(name)]

    def source(self, name: str) -> str:
        """The packages that claim the name, with their versions."""
        return " and ".join(sorted({_owner(point) for point in self._all().get(name, ())}))

    def find(self, name: str) -> Action | None:
        """The action of that name; None where no package has it. ActionUnusable, naming the package, for one that is broken
        or that two packages claim."""
        points = self._all().get(name)
        if not points:
            return None
        if len(points) > 1:
            raise self._clash(name)
        action = _loaded(points[0])
        own = self._all().get(action.name, [])
        if [point.value for point in own] != [points[0].value] or _owner(own[0]) != _owner(points[0]):
            place = f'"{action.name}" = "{points[0].value}"'
            raise _broken(points[0], f"has no entry point with the action's own name, {action.name}", f"add to it: {place}")
        return action

    def _clash(self, name: str) -> ActionUnusable:
        owners = sorted({_owner(point) for point in self._all()[name]})
        sources = ["TestMesh itself"] * self.built_in(name) + owners
        said = " and ".join(sources) if len(sources) > 1 else f"{sources[0]} twice"
        return ActionUnusable(f'The action "{name}" comes from {said}', "uninstall one of them, or rename its entry point")

    def _all(self) -> Mapping[str, list[EntryPoint]]:
        if self._points is None:
            from importlib.metadata import entry_points  # 40 ms: only for a name that is not built in

            found: dict[str, list[EntryPoint]] = {}
            for point in entry_points(group=GROUP):
                twin = [other for other in found.setdefault(point.name, []) if _same(point, other)]
                found[point.name] += [] if twin else [point]
            self._points = found
        return self._points


def _same(one: EntryPoint, other: EntryPoint) -> bool:
    """Whether both are one installation, seen twice on the path."""
    return one.value == other.value and _owner(one) == _owner(other)


def _owner(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.value


def _loaded(point: EntryPoint) -> Action:
    try:
        action = point.load()
    except (Exception, SystemExit) as error:  # whatever the code of others does
        said = " ".join(f"{type(error).__name__}: {error}".split())[:_REASON]
        raise _broken(point, f"cannot be loaded: {said}", "repair or uninstall it") from error
    fault = _fault(action, point.name)
    if fault:
        raise _broken(point, fault, "docs/plugins.md says what an action declares")
    assert isinstance(action, Action)
    return action


def _broken(point: EntryPoint, fault: str, remedy: str) -> ActionUnusable:
    return ActionUnusable(f'The action "{point.name}" of {_owner(point)} ({point.value}) {fault}', remedy)


def _fault(action: object, name: str) -> str | None:
    """What is wrong with the declaration, if anything is."""
    if not isinstance(action, Action):
        return f"is {type(action).__name__}, not an Action"
    if name not in (action.name, *action.aliases):
        return f"calls itself {action.name}"
    if not callable(action.run):
        return "has a run that cannot be called"
    for label, key in action.keys.items():
        if not isinstance(key, Key):
            return f"declares its key {label} as {type(key).__name__}, not as a Key"
        if unknown := set(key.types) - _TYPES:
            return f"gives its key {label} the type {min(unknown)}, which there is not"
        if key.names is not None and key.names not in _FILES:
            return f"says that its key {label} names {key.names}, which there is not"
    missing = {*action.unresolved, *action.names, *action.after_bodies} - action.keys.keys()
    return f"speaks of {min(missing)}, which is none of its keys" if missing else None
