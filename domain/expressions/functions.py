"""The functions that take plain values: texts, lists, numbers, conversions."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Callable, Mapping
from functools import cmp_to_key
from typing import Any

from domain.expressions.digests import TEXT_FUNCTIONS
from domain.expressions.errors import Fault
from domain.expressions.frame import Frame, bounded_text, kind_of
from domain.expressions.json_schema import json_schema
from domain.expressions.operators import checked, contains, ends_with, is_number, matches, order, starts_with
from domain.expressions.times import as_time, iso
from domain.expressions.values import equal, to_json, to_text, weigh


def text_of(value: Any, function: str) -> str:
    """The value if it is a text."""
    if not isinstance(value, str):
        raise Fault("type", f"{function} takes a string, not {kind_of(value)}", "string(x) makes one")
    return value


def list_of(value: Any, function: str) -> list[Any]:
    """The value if it is a list."""
    if not isinstance(value, list | tuple):
        raise Fault("type", f"{function} takes a list, not {kind_of(value)}")
    return list(value)


def numbers_of(values: tuple[Any, ...], function: str) -> list[Any]:
    """Numbers given one by one or as one list."""
    items = list(values[0]) if len(values) == 1 and isinstance(values[0], list | tuple) else list(values)
    for item in items:
        if not is_number(item):
            raise Fault("type", f"{function} takes numbers, not {kind_of(item)}")
    if not items:
        raise Fault("value", f"{function} of nothing")
    return items


def whole(value: Any, function: str) -> int:
    """The value if it is a whole number."""
    if not is_number(value) or value != int(value):
        raise Fault("type", f"{function} takes a whole number, not {kind_of(value)}")
    return int(value)


def _xpath(frame: Frame, text: Any, query: Any) -> Any:
    from domain.expressions.xpath import xpath  # only those who ask need it

    return xpath(frame, text, query)


def length(frame: Frame, value: Any) -> int:
    """Characters of a text, elements of a list, keys of an object."""
    if isinstance(value, str | list | tuple | dict):
        return len(value)
    raise Fault("type", f"len takes a string, list or object, not {kind_of(value)}")


def kind(frame: Frame, value: Any) -> str:
    """The type as expr-lang names it."""
    if value is None:
        return "nil"
    if isinstance(value, bool):
        return "bool"
    for types, name in ((int, "int"), (float, "float"), (str, "string"), (dict, "map")):
        if isinstance(value, types):
            return name
    return "array"


def to_int(frame: Frame, value: Any) -> int:
    """A number cut to its whole part, or a text read as one."""
    try:
        if is_number(value):
            return int(value)
        if isinstance(value, str) and len(value) <= 400:
            return int(value.strip())
    except (ValueError, OverflowError):
        pass
    raise Fault("value", f"int cannot read {to_text(value)[:50]!r} as a whole number")


def to_float(frame: Frame, value: Any) -> float:
    """A number as a float, or a text read as one."""
    try:
        if is_number(value) or (isinstance(value, str) and len(value) <= 400):
            return float(checked(float(value)))
    except (ValueError, OverflowError):
        pass
    raise Fault("value", f"float cannot read {to_text(value)[:50]!r} as a number")


def to_bool(frame: Frame, value: Any) -> bool:
    """true and false, or a text that says so."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise Fault("value", f"bool cannot read {kind_of(value)} as true or false")


def split(frame: Frame, value: Any, separator: Any, limit: Any = None) -> list[str]:
    """The parts of a text."""
    text, mark = text_of(value, "split"), text_of(separator, "split")
    frame.charge(len(text) >> 3)
    if not mark:
        return list(text)
    return text.split(mark) if limit is None else text.split(mark, max(0, whole(limit, "split") - 1))


def join(frame: Frame, value: Any, separator: Any = "") -> str:
    """The texts of a list as one."""
    parts = [to_text(item) for item in list_of(value, "join")]
    mark = text_of(separator, "join")
    bounded_text(sum(map(len, parts)) + len(mark) * len(parts))
    return mark.join(parts)


def replace(frame: Frame, value: Any, old: Any, new: Any) -> str:
    """The text with every `old` replaced."""
    text, what, by = text_of(value, "replace"), text_of(old, "replace"), text_of(new, "replace")
    bounded_text(len(text) + text.count(what) * max(0, len(by) - len(what)))
    return text.replace(what, by)


def repeat(frame: Frame, value: Any, times: Any) -> str:
    """The text so many times."""
    text, number = text_of(value, "repeat"), whole(times, "repeat")
    if number < 0:
        raise Fault("value", "repeat takes no negative number")
    bounded_text(len(text) * number)
    return text * number


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


def get(frame: Frame, value: Any, key: Any, default: Any = None) -> Any:
    """An element by key or index, or the default."""
    if isinstance(value, dict):
        return value.get(key, default) if isinstance(key, str | int | float) else default
    if isinstance(value, list | tuple) and isinstance(key, int) and -len(value) <= key < len(value):
        return value[key]
    return default


def mean(frame: Frame, *numbers: Any) -> Any:
    """The arithmetic mean."""
    items = numbers_of(numbers, "mean")
    return checked(math.fsum(items) / len(items))


def median(frame: Frame, *numbers: Any) -> Any:
    """The middle value, or the mean of the two middle ones."""
    items = sorted(numbers_of(numbers, "median"))
    middle = len(items) // 2
    return items[middle] if len(items) % 2 else (items[middle - 1] + items[middle]) / 2


def rounded(frame: Frame, value: Any, digits: Any = 0) -> Any:
    """Rounded half away from zero, as expr-lang does."""
    [number] = numbers_of((value,), "round")
    places = whole(digits, "round")
    if not -15 <= places <= 15:
        raise Fault("value", "round takes -15 to 15 digits")
    factor = 10.0**places
    moved = math.floor(abs(number) * factor + 0.5) / factor
    return checked(math.copysign(moved, number))


def from_json(frame: Frame, value: Any) -> Any:
    """The value of a JSON text."""
    text = text_of(value, "fromJSON")
    bounded_text(len(text))
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Fault("value", "fromJSON was given no valid JSON") from None


def from_base64(frame: Frame, value: Any) -> str:
    """The text behind base64."""
    try:
        return base64.b64decode(text_of(value, "fromBase64"), validate=True).decode()
    except (binascii.Error, ValueError):
        raise Fault("value", "fromBase64 was given no base64 of a text") from None


def date(frame: Frame, value: Any, layout: Any = None) -> str:
    """A timestamp as ISO 8601 in UTC."""
    moment = as_time(value)
    if moment is None:
        raise Fault("value", "date takes an ISO 8601 timestamp")
    return iso(moment) if layout is None else moment.strftime(text_of(layout, "date"))


def duration(frame: Frame, value: Any) -> float:
    """Seconds of a duration such as 1m30s."""
    from domain.duration import parse_duration

    try:
        return parse_duration(value)
    except ValueError as error:
        raise Fault("value", str(error)) from None


def now(frame: Frame) -> str:
    """The execution's clock as ISO 8601."""
    if frame.scope.builtins is None:
        raise Fault("name", "there is no clock here")
    return iso(frame.scope.builtins.now())


def absolute(frame: Frame, value: Any) -> Any:
    """The number without its sign."""
    return abs(numbers_of((value,), "abs")[0])


def trim(frame: Frame, value: Any, characters: Any = None) -> str:
    """The text without blanks, or the characters given, at both ends."""
    return text_of(value, "trim").strip(None if characters is None else text_of(characters, "trim"))


def to_base64(frame: Frame, value: Any) -> str:
    """Base64 of a text's UTF-8 bytes."""
    text = text_of(value, "toBase64")
    bounded_text(len(text) * 2)
    return base64.b64encode(text.encode("utf-8", "surrogatepass")).decode()


def string(frame: Frame, value: Any) -> str:
    """The value as it prints; null as `null`."""
    weigh(value)
    return "null" if value is None else to_text(value)


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "len": length,
    "type": kind,
    "int": to_int,
    "float": to_float,
    "string": string,
    "bool": to_bool,
    "upper": lambda frame, value: text_of(value, "upper").upper(),
    "lower": lambda frame, value: text_of(value, "lower").lower(),
    "trim": trim,
    "trimPrefix": lambda frame, value, prefix: text_of(value, "trimPrefix").removeprefix(text_of(prefix, "trimPrefix")),
    "trimSuffix": lambda frame, value, suffix: text_of(value, "trimSuffix").removesuffix(text_of(suffix, "trimSuffix")),
    "split": split,
    "join": join,
    "replace": replace,
    "indexOf": lambda frame, value, part: text_of(value, "indexOf").find(text_of(part, "indexOf")),
    "lastIndexOf": lambda frame, value, part: text_of(value, "lastIndexOf").rfind(text_of(part, "lastIndexOf")),
    "hasPrefix": starts_with,
    "hasSuffix": ends_with,
    "startsWith": starts_with,
    "endsWith": ends_with,
    "contains": contains,
    "matches": matches,
    "repeat": repeat,
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
    "min": lambda frame, *numbers: min(numbers_of(numbers, "min")),
    "max": lambda frame, *numbers: max(numbers_of(numbers, "max")),
    "mean": mean,
    "median": median,
    "abs": absolute,
    "round": rounded,
    "floor": lambda frame, value: checked(math.floor(numbers_of((value,), "floor")[0])),
    "ceil": lambda frame, value: checked(math.ceil(numbers_of((value,), "ceil")[0])),
    "toJSON": lambda frame, value: to_json(value),
    "fromJSON": from_json,
    "toBase64": to_base64,
    "fromBase64": from_base64,
    "now": now,
    "date": date,
    "duration": duration,
    "json_schema": json_schema,
    "xpath": _xpath,
    **TEXT_FUNCTIONS,
}
"""By the canonical name; each takes the frame first."""
