"""The functions that make a value of another kind, or tell its kind; and the clock."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from typing import Any

from domain.expressions.arguments import text_of
from domain.expressions.errors import Fault
from domain.expressions.frame import Frame, bounded_text, kind_of
from domain.expressions.operators import checked, is_number
from domain.expressions.times import as_time, iso
from domain.expressions.values import to_json, to_text, weigh


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


def string(frame: Frame, value: Any) -> str:
    """The value as it prints; null as `null`."""
    weigh(value)
    return "null" if value is None else to_text(value)


def from_json(frame: Frame, value: Any) -> Any:
    """The value of a JSON text."""
    text = text_of(value, "fromJSON")
    bounded_text(len(text))
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Fault("value", "fromJSON was given no valid JSON") from None


def to_base64(frame: Frame, value: Any) -> str:
    """Base64 of a text's UTF-8 bytes."""
    text = text_of(value, "toBase64")
    bounded_text(len(text) * 2)
    return base64.b64encode(text.encode("utf-8", "surrogatepass")).decode()


def from_base64(frame: Frame, value: Any) -> str:
    """The text behind base64."""
    try:
        return base64.b64decode(text_of(value, "fromBase64"), validate=True).decode()
    except (binascii.Error, ValueError):
        raise Fault("value", "fromBase64 was given no base64 of a text") from None


def now(frame: Frame) -> str:
    """The execution's clock as ISO 8601."""
    if frame.scope.builtins is None:
        raise Fault("name", "there is no clock here")
    return iso(frame.scope.builtins.now())


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


CONVERSIONS: Mapping[str, Callable[..., Any]] = {
    "type": kind,
    "int": to_int,
    "float": to_float,
    "string": string,
    "bool": to_bool,
    "toJSON": lambda frame, value: to_json(value),
    "fromJSON": from_json,
    "toBase64": to_base64,
    "fromBase64": from_base64,
    "now": now,
    "date": date,
    "duration": duration,
}
"""By the canonical name; each takes the frame first."""
