"""The state of a mock server: plain values by name, and the changes that an endpoint makes when it is hit."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any

from application.engine.action import ActionError
from domain.limits import Limits
from domain.values import dataclass

_KINDS = ("set", "increment", "append", "remove")
_DOT = re.compile(r"\.(?![^{]*\})")
"""Dots between names, not those inside a template."""


class StateError(Exception):
    """A change that cannot be made to the state as it is; the message says which."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change: `set`, `increment`, `append` or `remove` at a path of names; templates are not resolved yet."""

    kind: str
    path: tuple[str, ...]
    value: Any


Changes = tuple[Change, ...]


def read_changes(value: Any, where: str) -> Changes:
    """The changes as written: an object of set, increment, append and remove, or of names and values, which are set."""
    if value is None:
        return ()
    if not isinstance(value, Mapping):
        raise ActionError("config", f"{where}: state is an object of {', '.join(_KINDS)}, or of names and values")
    kinds = [key for key in value if key in _KINDS]
    if not kinds:
        return tuple(_changes("set", value))
    if len(kinds) < len(value):
        other = next(str(key) for key in value if key not in _KINDS)
        raise ActionError("config", f"{where}: state has {kinds[0]} and {other[:40]!r}", hint="write values below set")
    return tuple(change for kind in kinds for change in _read(kind, value[kind], where))


def _read(kind: str, value: Any, where: str) -> Iterator[Change]:
    """`increment: count`, `increment: [a, b]` and `remove: name` need no values."""
    if isinstance(value, str) and kind in ("increment", "remove"):
        value = [value]
    if isinstance(value, list | tuple) and kind in ("increment", "remove"):
        value = {str(name): 1 for name in value}
    if not isinstance(value, Mapping):
        raise ActionError("config", f"{where}: state.{kind} is an object of names and values")
    yield from _changes(kind, value)


def _changes(kind: str, values: Mapping[str, Any]) -> Iterator[Change]:
    return (Change(kind, tuple(_DOT.split(str(name))), value) for name, value in values.items())


def changed(
    state: Mapping[str, Any], changes: Changes, resolve: Callable[[Any, Mapping[str, Any]], Any], limits: Limits
) -> dict[str, Any]:
    """The state after the changes, each of which sees those before it; the state given stays as it is. StateError for a change
    that cannot be made."""
    if not changes:
        return dict(state)
    after: dict[str, Any] = deepcopy(dict(state))
    for change in changes:
        path = [str(resolve(name, after)) for name in change.path]
        _apply(after, change.kind, path, deepcopy(resolve(change.value, after)))
    if _size(after) > limits.value_bytes:
        raise StateError(f"the state is larger than {limits.value_bytes} bytes")
    return after


def _apply(state: dict[str, Any], kind: str, path: list[str], value: Any) -> None:
    holder: Any = state
    for name in path[:-1]:
        holder = holder.setdefault(name, {})
        if not isinstance(holder, dict):
            raise StateError(f"state.{'.'.join(path)} cannot be changed: {name} is no object")
    last = path[-1]
    if kind == "remove":
        holder.pop(last, None)
    elif kind == "set":
        holder[last] = value
    elif kind == "append":
        _append(holder, last, value)
    else:
        holder[last] = _number(holder.get(last, 0), last) + _number(value, "the increment")


def _append(holder: dict[str, Any], name: str, value: Any) -> None:
    items = holder.setdefault(name, [])
    if not isinstance(items, list):
        raise StateError(f"state.{name} is no list, nothing can be appended")
    items.append(value)


def _number(value: Any, name: str) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise StateError(f"{name} is no number: {value!r:.80}")
    return value


def _size(state: Mapping[str, Any]) -> int:
    import json

    return len(json.dumps(state, default=str))
