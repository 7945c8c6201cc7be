"""The functions that take lists and objects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cmp_to_key
from typing import Any

from domain.expressions.arguments import list_of, whole
from domain.expressions.errors import Fault
from domain.expressions.frame import Frame, kind_of
from domain.expressions.operators import order
from domain.expressions.values import equal


def length(frame: Frame, value: Any) -> int:
    """Characters of a text, elements of a list, keys of an object."""
    if isinstance(value, str | list | tuple | dict):
        return len(value)
    raise Fault("type", f"len takes a string, list or object, not {kind_of(value)}")


def sort(frame: Frame, value: Any, direction: Any = "asc") -> list[Any]:
    """Numbers or texts in order."""
    items = list_of(value, "sort")
    frame.charge(len(items) * max(1, len(items).bit_length()) >> 3)
    compare = cmp_to_key(lambda left, right: order("sort", left, right))
    return sorted(items, key=compare, reverse=_descending(direction))


def _descending(direction: Any) -> bool:
    if direction not in ("asc", "desc"):
        raise Fault("value", 'the direction is "asc" or "desc"')
    return bool(direction == "desc")


def reverse(frame: Frame, value: Any) -> Any:
    """A text or list backwards."""
    return value[::-1] if isinstance(value, str) else list_of(value, "reverse")[::-1]


def first(frame: Frame, value: Any) -> Any:
    """The first element, or null."""
    return next(iter(list_of(value, "first")), None)


def last(frame: Frame, value: Any) -> Any:
    """The last element, or null."""
    return next(reversed(list_of(value, "last")), None)


def take(frame: Frame, value: Any, number: Any) -> list[Any]:
    """The first so many elements."""
    return list_of(value, "take")[: max(0, whole(number, "take"))]


def keys(frame: Frame, value: Any) -> list[Any]:
    """The keys of an object."""
    if not isinstance(value, dict):
        raise Fault("type", f"keys takes an object, not {kind_of(value)}")
    return list(value)


def values(frame: Frame, value: Any) -> list[Any]:
    """The values of an object."""
    if not isinstance(value, dict):
        raise Fault("type", f"values takes an object, not {kind_of(value)}")
    return list(value.values())


def uniq(frame: Frame, value: Any) -> list[Any]:
    """The list without repetitions."""
    kept: list[Any] = []
    for item in list_of(value, "uniq"):
        frame.charge(1 + (len(kept) >> 3))
        if not any(equal(frame, item, other) for other in kept):
            kept.append(item)
    return kept


def flatten(frame: Frame, value: Any) -> list[Any]:
    """Lists within the list unfolded, at any depth."""
    flat: list[Any] = []
    pending = list(reversed(list_of(value, "flatten")))
    while pending:
        frame.charge(1)
        item = pending.pop()
        if isinstance(item, list | tuple):
            pending.extend(reversed(item))
        else:
            flat.append(item)
    return flat


def concat(frame: Frame, *values: Any) -> list[Any]:
    """Lists one after another."""
    lists = [list_of(value, "concat") for value in values]
    frame.charge(sum(map(len, lists)) >> 3)
    return [item for items in lists for item in items]


def get(frame: Frame, value: Any, key: Any, default: Any = None) -> Any:
    """An element by key or index, or the default."""
    if isinstance(value, dict):
        return value.get(key, default) if isinstance(key, str | int | float) else default
    if isinstance(value, list | tuple) and isinstance(key, int) and -len(value) <= key < len(value):
        return value[key]
    return default


LIST_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "len": length,
    "sort": sort,
    "reverse": reverse,
    "first": first,
    "last": last,
    "take": take,
    "keys": keys,
    "values": values,
    "uniq": uniq,
    "flatten": flatten,
    "concat": concat,
    "get": get,
}
"""By the canonical name; each takes the frame first."""
