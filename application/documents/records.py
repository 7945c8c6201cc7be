"""Shapes made of shapes: lists, mappings, alternatives, and records with known keys."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from functools import cached_property
from itertools import combinations
from typing import Any

from application.documents.shapes import IDENTIFIER, Checking, Choice, Schema, Shape, Text, name_of
from application.documents.source import did_you_mean, meant
from domain.definition import Path
from domain.values import dataclass


@dataclass(frozen=True, eq=False, repr=False)
class ListOf(Shape):
    """A list; with `single`, one item may stand without a list."""

    item: Shape
    single: bool = True
    label = "a list"

    def fits(self, value: Any) -> bool:
        return isinstance(value, list) or (self.single and self.item.fits(value))

    def inside(self, value: Any, path: Path, checking: Checking) -> None:
        if not isinstance(value, list):
            return self.item.check(value, path, checking)
        for index, item in enumerate(value):
            self.item.check(item, (*path, index), checking)
        return None

    def schema(self) -> Schema:
        listed = {"type": "array", "items": self.item.schema()}
        return {"anyOf": [listed, self.item.schema()]} if self.single else listed


@dataclass(frozen=True, eq=False, repr=False)
class MapOf(Shape):
    """A mapping from names to values of one shape."""

    value: Shape
    label = "a mapping from names to values"

    def fits(self, value: Any) -> bool:
        return isinstance(value, dict)

    def inside(self, value: Any, path: Path, checking: Checking) -> None:
        for name, item in value.items():
            if not IDENTIFIER.fullmatch(name):
                remedy = "use letters, digits, _ and -, and begin with a letter or _"
                checking.error((*path, name), f'"{name}" cannot be a name', remedy, key=True)
            self.value.check(item, (*path, name), checking)

    def schema(self) -> Schema:
        names = {"pattern": f"^{IDENTIFIER.pattern}$"}
        return {"type": "object", "propertyNames": names, "additionalProperties": self.value.schema()}


@dataclass(frozen=True, eq=False, repr=False)
class Either(Shape):
    """The first of several shapes that fits."""

    shapes: tuple[Shape, ...]

    @property
    def label(self) -> str:  # type: ignore[override]
        return " or ".join(dict.fromkeys(shape.label for shape in self.shapes))

    def fits(self, value: Any) -> bool:
        return self.chosen(value) is not None

    def chosen(self, value: Any) -> Shape | None:
        """The first shape that fits."""
        for shape in self.shapes:
            if shape.fits(value):
                return shape
        return None

    def inside(self, value: Any, path: Path, checking: Checking) -> None:
        shape = self.chosen(value)
        assert shape is not None
        shape.inside(value, path, checking)

    def schema(self) -> Schema:
        return {"anyOf": [shape.schema() for shape in self.shapes]}


@dataclass(frozen=True, eq=False, repr=False)
class Steps(Shape):
    """A list of steps, checked by whoever knows the actions."""

    minimum: int = 0
    label = "a list of steps"

    def fits(self, value: Any) -> bool:
        return isinstance(value, list)

    def inside(self, value: Any, path: Path, checking: Checking) -> None:
        if len(value) < self.minimum:
            checking.error(path, f"{name_of(path)} has no step", "add at least one step: - action: log")
        checking.steps(value, path)

    def schema(self) -> Schema:
        return {"type": "array", "items": {"$ref": "#/$defs/step"}, **({"minItems": self.minimum} if self.minimum else {})}


class Branches(Shape):
    """Lists of steps by name: a mapping, or a list of objects with a name and steps."""

    label = "branches: a mapping from names to lists of steps, or a list of objects with name and steps"

    def fits(self, value: Any) -> bool:
        return isinstance(value, dict | list)

    def inside(self, value: Any, path: Path, checking: Checking) -> None:
        if not value:
            checking.error(path, f"{name_of(path)} has no branch", "add at least one: left: [steps]")
        (_BRANCH_MAP if isinstance(value, dict) else _BRANCH_LIST).check(value, path, checking)
        names = [branch.get("name") for branch in value if isinstance(branch, dict)] if isinstance(value, list) else []
        for index, name in enumerate(names):
            if name is not None and name in names[:index]:
                checking.error((*path, index, "name"), f'Two branches are called "{name}"', "choose another name")

    def schema(self) -> Schema:
        return {"anyOf": [_BRANCH_MAP.schema(), _BRANCH_LIST.schema()]}


@dataclass(frozen=True, eq=False, repr=False)
class Key:
    """One key of a record. `planned` keys are refused with a word about later versions; `aliases` are other names of it."""

    shape: Shape
    required: bool = False
    description: str = ""
    planned: bool = False
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False, repr=False)
class Record(Shape):
    """A mapping with known keys. `one_of` are groups of which one key must be given."""

    keys: Mapping[str, Key]
    what: str = "a mapping"
    synonyms: Mapping[str, str] = field(default_factory=dict)
    one_of: tuple[tuple[str, ...], ...] = ()
    remedies: Mapping[str, str] = field(default_factory=dict)
    """What to say of wrong keys that no single key of it replaces."""
    label = "a mapping"

    def fits(self, value: Any) -> bool:
        return isinstance(value, dict)

    @cached_property
    def other_names(self) -> Mapping[str, str]:
        """Each alias, and the key that it means."""
        return {alias: name for name, key in self.keys.items() for alias in key.aliases}

    @cached_property
    def order(self) -> tuple[str, ...]:
        """All names in canonical order, aliases behind the key that they mean."""
        return tuple(one for name, key in self.keys.items() for one in (name, *key.aliases))

    def find(self, name: str) -> Key | None:
        """The key of that name or alias."""
        return self.keys.get(name) or self.keys.get(self.other_names.get(name, name))

    def inside(self, value: Any, path: Path, checking: Checking) -> None:
        known = {self._entry(name, item, path, checking) for name, item in value.items()}
        if self.other_names:
            self._twins(value, path, checking)
        for name, key in self.keys.items():
            if key.required and name not in known:
                checking.error(path, f'{self.what} needs "{name}"', f"add {name}: {_hint(key)}".rstrip(": "))
        for group in self.one_of:
            if known.isdisjoint(group):
                names = [other for name in group for other in (name, *self.keys[name].aliases)]
                checking.error(path, f"{self.what} needs {quoted_list(names)}", f"add {group[0]}")

    def _entry(self, name: str, item: Any, path: Path, checking: Checking) -> str | None:
        """Check one entry; its key, or that which was probably meant if this one is unknown."""
        key = self.find(name)
        if key is None:
            known = [known for known, other in self.keys.items() if not other.planned]
            known += self.other_names
            remedy = self.remedies.get(name.lower()) or did_you_mean(name, known, self.synonyms)
            checking.error((*path, name), f'{self.what} has no key "{name}"', remedy, key=True)
            guess = None if name.lower() in self.remedies else meant(name, known, self.synonyms)
            return self.other_names.get(guess, guess) if guess else None
        if key.planned:
            checking.error((*path, name), f'"{name}" is not supported yet in this version', "remove it for now", key=True)
        else:
            key.shape.check(item, (*path, name), checking)
        return self.other_names.get(name, name)

    def _twins(self, value: Any, path: Path, checking: Checking) -> None:
        """Two names of one key, where one of them would be ignored."""
        first: dict[str, str] = {}
        for name in value:
            before = first.setdefault(self.other_names.get(name, name), name)
            if before != name:
                checking.error((*path, name), f'"{before}" and "{name}" mean the same', "keep one", key=True)

    def schema(self) -> Schema:
        known = {name: key for name, key in self.keys.items() if not key.planned}
        described: Schema = {}
        for name, key in known.items():
            shape = key.shape.schema()
            described[name] = {**shape, **_described(key.description)}
            described.update({alias: {**shape, "description": f"The same as {name}."} for alias in key.aliases})
        schema: Schema = {"type": "object", "properties": described, "additionalProperties": False}
        rules: list[Schema] = []
        if required := [name for name, key in known.items() if key.required and not key.aliases]:
            schema["required"] = required
        groups = [*self.one_of, *((name,) for name, key in known.items() if key.required and key.aliases)]
        for group in groups:
            rules.append({"anyOf": [{"required": [one]} for name in group for one in (name, *known[name].aliases)]})
        for name, key in known.items():
            rules += [{"not": {"required": list(pair)}} for pair in combinations((name, *key.aliases), 2)]
        return {**schema, "allOf": rules} if rules else schema


_BRANCH_MAP = MapOf(Steps(1))
_BRANCH_LIST = ListOf(
    Record(
        {"name": Key(Text(1, 100), description="The branch's name."), "steps": Key(Steps(1), required=True)}, what="A branch"
    ),
    single=False,
)


def branches_of(value: Any) -> Iterator[tuple[str, Path, list[Any]]]:
    """Of each branch of a checked value its name, the path of its steps below the value, and the steps."""
    if isinstance(value, dict):
        yield from ((name, (name,), steps) for name, steps in value.items())
        return
    for index, branch in enumerate(value):
        yield str(branch.get("name", index + 1)), (index, "steps"), branch["steps"]


def quoted_list(names: Iterable[str]) -> str:
    """`"a" or "b"`."""
    return " or ".join(f'"{name}"' for name in names)


def _hint(key: Key) -> str:
    return key.shape.options[0] if isinstance(key.shape, Choice) and key.shape.options else ""


def _described(text: str) -> Schema:
    return {"description": text} if text else {}
