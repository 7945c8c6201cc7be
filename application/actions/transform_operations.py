"""The operations of `transform` by name: each takes the work, the value so far and what the step gives it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from application.actions.transform_joining import join
from application.actions.transform_objects import merge, omit, pick, rename
from application.actions.transform_sorting import in_order, ranks, sameness
from application.actions.transform_work import OfItem, Work, Wrong
from domain.expressions import ExpressionError, Scope, extract
from domain.expressions.frame import kind_of, need_boolean
from domain.expressions.operators import checked, is_number
from domain.expressions.times import as_time
from domain.expressions.values import to_text

Operation = Callable[[Work, Any, Any], Awaitable[Any]]

_QUERY = re.compile(r"\[\s*[*?]|\.\.|\.\*")
_DATE = re.compile(r"(?:[^%]|%[YmdHMSfjyBbAaIpZz%])*")
_MOST_DECIMALS = 20
_DEEPEST = 64


class _Within(Scope):
    """A scope whose `$` is one value; the fields of an object are names too."""

    __slots__ = ("_value",)

    def __init__(self, value: Any) -> None:
        fields = value if isinstance(value, Mapping) else {}
        super().__init__({"result": value, "response": value, **fields})
        self._value = value

    def root(self) -> Any:
        return self._value


async def _extract(work: Work, value: Any, given: Any) -> Any:
    if isinstance(given, Mapping):
        return {str(name): _at_path(work, value, path) for name, path in given.items()}
    return _at_path(work, value, given)


def _at_path(work: Work, value: Any, given: Any) -> Any:
    """Names of the value, `$` for the whole of it; a missing `$.x` is looked for in its body too, as outputs are."""
    path = work.rendered(given)
    if not isinstance(path, str) or not path.strip():
        raise Wrong("extract takes a path, or an object of paths", "for example $.items[*].id", "config")
    text = path.strip()
    if not text.startswith("$") and (text.startswith("[") or _QUERY.search(text)):
        text = f"${text}" if text.startswith("[") else f"$.{text}"
    within_body = isinstance(value, Mapping) and "body" in value and text.startswith("$")
    try:
        found = extract(text.removesuffix("?") if within_body else text, _Within(value))
        if found != [] or not within_body:
            return work.made(found)
    except ExpressionError:
        if not within_body:
            raise
    return work.made(extract(text, _Within(value["body"])))


async def _map(work: Work, value: Any, given: Any) -> Any:
    if not isinstance(given, Mapping):
        look = work.expression(given, "map")
        return await work.mapped(value, lambda item, index: work.made(look(item, index)))
    fields = {str(name): work.expression(text, f"map.{name}") for name, text in given.items()}

    def of(item: Any, index: int) -> dict[str, Any]:
        return {name: work.made(look(item, index)) for name, look in fields.items()}

    return await work.mapped(value, of)


async def _filter(work: Work, value: Any, given: Any) -> Any:
    look = work.expression(given, "filter")
    held = await work.mapped(value, lambda item, index: need_boolean(look(item, index), "a filter"))
    return [item for item, holds in zip(value, held, strict=True) if holds]


async def _format(work: Work, value: Any, given: Any) -> Any:
    options = given if isinstance(given, Mapping) else {"template": given}
    each = work.rendered(options.get("each", isinstance(value, list | tuple)))
    if options.keys() - {"template", "decimals", "date", "each"} or len(options.keys() - {"each"}) != 1:
        raise Wrong("format takes a text, or an object with one of template, decimals and date, and each", kind="config")
    if not isinstance(each, bool):
        raise Wrong("each must be true or false", kind="config")
    of = _text_of(work, options)
    if each:
        return await work.mapped(value, of)
    return of(value, 0)


def _text_of(work: Work, options: Mapping[str, Any]) -> OfItem:
    if "decimals" in options:
        return _decimals(work.rendered(options["decimals"]))
    if "date" in options:
        return _date(work.rendered(options["date"]))
    template = options["template"]
    if not isinstance(template, str):
        raise Wrong("the template of format must be text", "for example '${item.name}: ${item.price}'", "config")
    return lambda item, index: work.made(to_text(work.rendered(template, item, index)))


def _decimals(places: Any) -> OfItem:
    if isinstance(places, bool) or not isinstance(places, int) or not 0 <= places <= _MOST_DECIMALS:
        raise Wrong(f"decimals must be a number from 0 to {_MOST_DECIMALS}", kind="config")

    def of(item: Any, index: int) -> str:
        if not is_number(item):
            raise Wrong(f"decimals works on numbers, not on {kind_of(item)}")
        return f"{item:.{places}f}"

    return of


def _date(pattern: Any) -> OfItem:
    if not isinstance(pattern, str) or len(pattern) > 200 or not _DATE.fullmatch(pattern):
        raise Wrong("date must be a format such as %Y-%m-%d %H:%M:%S", kind="config")

    def of(item: Any, index: int) -> str:
        moment = as_time(item)
        if moment is None:
            raise Wrong(f"{str(item)[:40]!r} is no time", "ISO 8601, for example 2030-01-31T12:00:00Z")
        try:
            return moment.strftime(pattern)
        except ValueError:
            raise Wrong("the date cannot be written in this format") from None

    return of


async def _sort(work: Work, value: Any, given: Any) -> Any:
    items = work.listed(value)
    keys = given if isinstance(given, list | tuple) else [given]
    for key in reversed(keys):
        by, descending = _sort_key(work, key)
        values = await work.mapped(items, work.by(by, "sort"))
        items = [items[index] for index in in_order(values, descending=descending)]
    return items


def _sort_key(work: Work, key: Any) -> tuple[Any, bool]:
    if not isinstance(key, Mapping):
        return key, False
    descending = work.rendered(key.get("desc", False))
    if key.keys() - {"by", "desc"} or not isinstance(descending, bool):
        raise Wrong("sort takes a field, an expression, or objects of by and desc (true or false)", kind="config")
    return key.get("by", True), descending


async def _group(work: Work, value: Any, given: Any) -> Any:
    keys = await work.mapped(value, work.by(_only_by(given, "group"), "group"))
    groups: dict[str, list[Any]] = {}
    for item, key in zip(value, keys, strict=True):
        groups.setdefault(to_text(key), []).append(item)
    return groups


async def _unique(work: Work, value: Any, given: Any) -> Any:
    by = work.by(_only_by(given, "unique"), "unique")
    keys = await work.mapped(value, lambda item, index: sameness(work.made(by(item, index))))
    first: dict[Any, Any] = {}
    for item, key in zip(value, keys, strict=True):
        first.setdefault(key, item)
    return list(first.values())


def _only_by(given: Any, what: str) -> Any:
    if not isinstance(given, Mapping):
        return given
    if given.keys() != {"by"}:
        raise Wrong(f"{what} takes a field, an expression, or an object with by", kind="config")
    return given["by"]


async def _flatten(work: Work, value: Any, given: Any) -> Any:
    depth = 1 if given is True else work.rendered(given)
    if isinstance(depth, bool) or not isinstance(depth, int) or not 1 <= depth <= _DEEPEST:
        raise Wrong(f"flatten takes true, or how deep: 1 to {_DEEPEST}", kind="config")
    items = work.listed(value)
    for _ in range(depth):
        if not any(isinstance(item, list | tuple) for item in items):
            break
        work.counted(sum(len(item) if isinstance(item, list | tuple) else 1 for item in items))
        items = [part for item in items for part in (item if isinstance(item, list | tuple) else [item])]
    return items


async def _count(work: Work, value: Any, given: Any) -> Any:
    return len(work.listed(value) if given is True else await _filter(work, value, given))


def _aggregate(name: str, function: Callable[[list[Any]], Any]) -> Operation:
    async def aggregate(work: Work, value: Any, given: Any) -> Any:
        values = await work.mapped(value, work.by(given, name))
        if not values and name != "sum":
            raise Wrong("there are no items", "count them, or filter less")
        return function(values)

    return aggregate


def _sum(values: list[Any]) -> Any:
    for index, value in enumerate(values):
        if not is_number(value):
            raise Wrong(f"item [{index}] gives {kind_of(value)}, not a number", "convert it: float(item.x)")
    return checked(sum(values))


def _extreme(values: list[Any], *, largest: bool) -> Any:
    known = ranks(values)
    if not known:
        raise Wrong("all values are null", "filter less")
    return values[(max if largest else min)(known, key=known.__getitem__)]


OPERATIONS: Mapping[str, Operation] = {
    "extract": _extract,
    "map": _map,
    "filter": _filter,
    "join": join,
    "format": _format,
    "sort": _sort,
    "group": _group,
    "unique": _unique,
    "flatten": _flatten,
    "pick": pick,
    "omit": omit,
    "rename": rename,
    "merge": merge,
    "count": _count,
    "sum": _aggregate("sum", _sum),
    "avg": _aggregate("avg", lambda values: checked(_sum(values) / len(values))),
    "min": _aggregate("min", lambda values: _extreme(values, largest=False)),
    "max": _aggregate("max", lambda values: _extreme(values, largest=True)),
}
"""In the order of the reference."""
