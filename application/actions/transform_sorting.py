"""Order and sameness of values in `transform`: sorting, smallest and largest, and keys that equal values share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from application.actions.transform_work import Wrong
from domain.expressions.frame import kind_of
from domain.expressions.operators import is_number
from domain.expressions.times import as_time, is_timestamp


def ranks(values: Sequence[Any]) -> dict[int, Any]:
    """For each value that is not null, by its index, what Python can order: numbers, texts, times, or true and false.

    Wrong for values of several kinds, and for those that have no order.
    """
    found = {index: value for index, value in enumerate(values) if value is not None}
    kinds: dict[str, int] = {}
    for index, value in found.items():
        kinds.setdefault(_kind(index, value), index)
    if len(kinds) > 1:
        (one, first), (other, second) = list(kinds.items())[:2]
        hint = "convert them first, for example string(item.x)"
        raise Wrong(f"values of several kinds have no order: item [{first}] gives {one}, item [{second}] {other}", hint)
    if kinds.keys() == {"a time"} or (
        kinds and all(isinstance(value, str) and is_timestamp(value) for value in found.values())
    ):
        times = {index: as_time(value) for index, value in found.items()}
        return times if None not in times.values() else found
    return found


def in_order(values: Sequence[Any], *, descending: bool) -> list[int]:
    """The indexes of the values in order; equal ones keep their places, null comes last either way."""
    known = ranks(values)
    ordered = sorted(known, key=known.__getitem__, reverse=descending)
    return ordered + [index for index in range(len(values)) if index not in known]


def sameness(value: Any) -> Any:
    """A key that two values share if they are equal: 1 is 1.0, true is not 1; the order of fields does not count."""
    if isinstance(value, bool):
        return "boolean", value
    if isinstance(value, int | float):
        return "number", value
    if isinstance(value, Mapping):
        return "object", frozenset((str(name), sameness(item)) for name, item in value.items())
    if isinstance(value, list | tuple):
        return "list", tuple(map(sameness, value))
    return kind_of(value), value


def _kind(index: int, value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    if is_number(value):
        return "a number"
    if isinstance(value, str):
        return "a text"
    if isinstance(value, date):
        return "a time"
    raise Wrong(f"item [{index}] gives {kind_of(value)}, which has no order")
