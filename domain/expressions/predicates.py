"""The functions that evaluate an expression for each element of a list: filter, map, reduce and the like."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cmp_to_key
from typing import Any

from domain.expressions.arguments import list_of, numbers_of
from domain.expressions.errors import Fault
from domain.expressions.frame import Code, Frame, kind_of, need_boolean
from domain.expressions.operators import checked, order
from domain.expressions.values import to_json, to_text


def _each(frame: Frame, items: list[Any], body: Code) -> Iterator[tuple[Any, Any]]:
    """Every element with the body's value for it; `#` and `#index` mean this list while the body runs."""
    outer = frame.item, frame.index
    try:
        for index, item in enumerate(items):
            frame.charge(1)
            frame.item, frame.index = item, index
            yield item, body(frame)
            frame.item, frame.index = outer
    finally:
        frame.item, frame.index = outer


def _holding(frame: Frame, items: Code, body: Code, name: str) -> Iterator[tuple[int, Any, bool]]:
    for index, (item, value) in enumerate(_each(frame, list_of(items(frame), name), body)):
        yield index, item, need_boolean(value, f"the predicate of {name}")


def _all(frame: Frame, items: Code, body: Code) -> bool:
    return all(holds for _, _, holds in _holding(frame, items, body, "all"))


def _any(frame: Frame, items: Code, body: Code) -> bool:
    return any(holds for _, _, holds in _holding(frame, items, body, "any"))


def _one(frame: Frame, items: Code, body: Code) -> bool:
    return sum(holds for _, _, holds in _holding(frame, items, body, "one")) == 1


def _none(frame: Frame, items: Code, body: Code) -> bool:
    return not any(holds for _, _, holds in _holding(frame, items, body, "none"))


def _filter(frame: Frame, items: Code, body: Code) -> list[Any]:
    return [item for _, item, holds in _holding(frame, items, body, "filter") if holds]


def _map(frame: Frame, items: Code, body: Code) -> list[Any]:
    return [value for _, value in _each(frame, list_of(items(frame), "map"), body)]


def _count(frame: Frame, items: Code, body: Code | None = None) -> int:
    if body is None:
        return sum(need_boolean(item, "an element of count") for item in list_of(items(frame), "count"))
    return sum(holds for _, _, holds in _holding(frame, items, body, "count"))


def _find(frame: Frame, items: Code, body: Code) -> Any:
    return next((item for _, item, holds in _holding(frame, items, body, "find") if holds), None)


def _find_index(frame: Frame, items: Code, body: Code) -> int:
    return next((index for index, _, holds in _holding(frame, items, body, "findIndex") if holds), -1)


def _find_last(frame: Frame, items: Code, body: Code) -> Any:
    found = _filter(frame, items, body)
    return found[-1] if found else None


def _find_last_index(frame: Frame, items: Code, body: Code) -> int:
    return max((index for index, _, holds in _holding(frame, items, body, "findLastIndex") if holds), default=-1)


def _group_by(frame: Frame, items: Code, body: Code) -> dict[str, list[Any]]:
    groups: dict[str, list[Any]] = {}
    for item, value in _each(frame, list_of(items(frame), "groupBy"), body):
        groups.setdefault(to_text(value), []).append(item)
    return groups


def _sum(frame: Frame, items: Code, body: Code | None = None) -> Any:
    values = _map(frame, items, body) if body else list_of(items(frame), "sum")
    return checked(sum(numbers_of((values,), "sum"))) if values else 0


def _reduce(frame: Frame, items: Code, body: Code, initial: Code | None = None) -> Any:
    elements = list_of(items(frame), "reduce")
    outer = frame.acc
    if initial is None and not elements:
        raise Fault("value", "reduce of an empty list needs an initial value")
    total = initial(frame) if initial else elements[0]

    def step(inner: Frame) -> Any:
        inner.acc = total
        return body(inner)

    try:
        for _, total in _each(frame, elements if initial else elements[1:], step):
            frame.acc = total
    finally:
        frame.acc = outer
    return total


def _sort_by(frame: Frame, items: Code, body: Code, direction: Code | None = None) -> list[Any]:
    keyed = [(value, item) for item, value in _each(frame, list_of(items(frame), "sortBy"), body)]
    frame.charge(len(keyed) * max(1, len(keyed).bit_length()) >> 3)
    way = direction(frame) if direction else "asc"
    if way not in ("asc", "desc"):
        raise Fault("value", 'the direction is "asc" or "desc"')

    def compare(left: tuple[Any, Any], right: tuple[Any, Any]) -> int:
        return order("sortBy", left[0], right[0])

    return [item for _, item in sorted(keyed, key=cmp_to_key(compare), reverse=way == "desc")]


PREDICATE_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "all": _all,
    "any": _any,
    "one": _one,
    "none": _none,
    "filter": _filter,
    "map": _map,
    "count": _count,
    "find": _find,
    "findIndex": _find_index,
    "findLast": _find_last,
    "findLastIndex": _find_last_index,
    "groupBy": _group_by,
    "sum": _sum,
    "reduce": _reduce,
    "sortBy": _sort_by,
}
"""By name; each takes the frame and the code of its arguments."""

_NOTES = 5
_SHOWN = 200


def _telling(name: str, expected: bool) -> Callable[[str], Callable[..., bool]]:
    def of(text: str) -> Callable[..., bool]:
        def run(frame: Frame, items: Code, body: Code) -> bool:
            for index, item, holds in _holding(frame, items, body, name):
                if holds is not expected:
                    if len(frame.notes) < _NOTES:
                        frame.notes.append(f"{text}[{index}] = {_shown(item)}")
                    return False
            return True

        return run

    return of


def _shown(value: Any) -> str:
    try:
        text = to_json(value)
    except Fault:
        return kind_of(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


TELLING: Mapping[str, Callable[[str], Callable[..., bool]]] = {"all": _telling("all", True), "none": _telling("none", False)}
"""Those that note, where a value is explained, which element decided; made for the text of the list."""
