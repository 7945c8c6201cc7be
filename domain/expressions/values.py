"""Values: when two are equal, how one prints as text, and how large it is."""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import Any

from domain.expressions.errors import Fault
from domain.expressions.frame import Frame, kind_of
from domain.expressions.times import is_timestamp, parse_time
from domain.limits import LIMITS

_PLAIN = (int, float)
_SHORT = 80


def equal(frame: Frame, left: Any, right: Any) -> bool:
    """Equality by value: 1 equals 1.0, true equals only true, timestamps are equal when they name the same moment."""
    if type(left) is type(right):
        if isinstance(left, str):
            return left == right or _same_moment(left, right)
        if not isinstance(left, dict | list | tuple):
            return bool(left == right)
        return _same(frame, left, right)
    if isinstance(left, bool) or isinstance(right, bool):
        return False
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return _same(frame, list(left), list(right))
    return bool(left == right)


def _same_moment(left: str, right: str) -> bool:
    if not (len(left) > 10 and len(right) > 10 and is_timestamp(left) and is_timestamp(right)):
        return False
    first, second = parse_time(left), parse_time(right)
    return first is not None and first == second


def _same(frame: Frame, left: Any, right: Any) -> bool:
    """Lists and objects, part by part without recursion; sixteen parts cost a step."""
    pending, seen = [(left, right)], 0
    while pending:
        one, other = pending.pop()
        seen += 1
        if not seen & 15:
            frame.charge(1)
        if isinstance(one, dict) and isinstance(other, dict):
            if len(one) != len(other):
                return False
            for key, value in one.items():
                if key not in other:
                    return False
                pending.append((value, other[key]))
        elif isinstance(one, list | tuple) and isinstance(other, list | tuple):
            if len(one) != len(other):
                return False
            pending.extend(zip(one, other, strict=True))
        elif one != other or isinstance(one, bool) is not isinstance(other, bool):
            return False
    return True


def to_text(value: Any) -> str:
    """A value as it prints inside text: integers plain, null as nothing, lists and objects as compact JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, int | float):
        return number_text(value)
    return to_json(value)


def number_text(value: int | float) -> str:
    """A number as text; a whole number without its fraction."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e16:
        return str(int(value))
    try:
        return str(value)
    except ValueError:
        raise Fault("limit", "the number has too many digits to be printed") from None


def to_json(value: Any) -> str:
    """Compact JSON of a value. Fault when it would be larger than values may be, or is not plain data."""
    weigh(value)
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_other)
    except RecursionError:
        raise Fault("limit", "the value is nested too deeply to be printed") from None
    except (TypeError, ValueError):
        raise Fault("type", "the value cannot be written as JSON") from None


def _other(value: object) -> object:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, bytes | bytearray | set | frozenset):
        raise Fault("type", f"{kind_of(value)} cannot be written as text")
    return str(value)


def short(value: Any) -> str:
    """A value in a sentence: as Python writes it, the beginning."""
    text = repr(value)
    return text if len(text) <= _SHORT else f"{text[:_SHORT]}..."


def weigh(value: Any) -> int:
    """About how many bytes a value has as JSON. Fault of kind limit as soon as that is more than values may have."""
    total, pending = 0, [value]
    while pending:
        part = pending.pop()
        if isinstance(part, str | bytes):
            total += len(part) + 2
        elif isinstance(part, dict):
            total += 2 + len(part)
            pending.extend(part.values())
            pending.extend(part.keys())
        elif isinstance(part, list | tuple):
            total += 2 + len(part)
            if total + len(part) > LIMITS.value_bytes:
                total = LIMITS.value_bytes + 1
            else:
                pending.extend(part)
        else:
            total += 4
        if total > LIMITS.value_bytes:
            raise Fault("limit", f"the value would be larger than {LIMITS.value_bytes} bytes")
    return total
