"""The operators: arithmetic, comparison, membership and patterns over plain values, within bounds of size."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from domain.expressions.errors import Fault
from domain.expressions.frame import Frame, bounded_text, kind_of
from domain.expressions.times import as_time, shifted
from domain.expressions.values import equal

INTEGER_BITS = 1024
"""Integers of results have at most this many bits (about 300 digits)."""
_LARGEST = 1 << INTEGER_BITS


def is_number(value: object) -> bool:
    """Whether a value is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def checked(number: int | float) -> int | float:
    """The number, unless it is too large or not a number at all."""
    if isinstance(number, float):
        if not math.isfinite(number):
            raise Fault("value", "the result is too large for a number")
    elif not -_LARGEST < number < _LARGEST:
        raise Fault("limit", f"the result has more than {INTEGER_BITS} bits")
    return number


def _mismatch(operator: str, left: object, right: object) -> Fault:
    hint = None
    kinds = {kind_of(left), kind_of(right)}
    if kinds == {"a string", "a number"}:
        hint = "convert one of them: int(x), float(x) or string(x)"
    elif kinds == {"a list"} and operator == "+":
        hint = "write concat(a, b)"
    return Fault("type", f"{operator} does not work between {kind_of(left)} and {kind_of(right)}", hint)


def add(frame: Frame, left: Any, right: Any) -> Any:
    """Numbers, strings, or a timestamp and seconds."""
    if is_number(left) and is_number(right):
        return _computed(lambda: left + right)
    if isinstance(left, str) and isinstance(right, str):
        bounded_text(len(left) + len(right))
        frame.charge((len(left) + len(right)) >> 10)
        return left + right
    moment = as_time(left) if is_number(right) else None
    if moment is None:
        raise _mismatch("+", left, right)
    return shifted(moment, _seconds(right))


def subtract(frame: Frame, left: Any, right: Any) -> Any:
    """Numbers, two timestamps (seconds between them), or a timestamp and seconds."""
    if is_number(left) and is_number(right):
        return _computed(lambda: left - right)
    moment = as_time(left)
    if moment is not None:
        if is_number(right):
            return shifted(moment, -_seconds(right))
        other = as_time(right)
        if other is not None:
            return (moment - other).total_seconds()
    raise _mismatch("-", left, right)


def multiply(frame: Frame, left: Any, right: Any) -> Any:
    """Numbers only."""
    return _numeric("*", left, right, lambda a, b: a * b)


def divide(frame: Frame, left: Any, right: Any) -> Any:
    """A fraction, never rounded to an integer."""
    return _numeric("/", left, right, lambda a, b: a / b)


def modulo(frame: Frame, left: Any, right: Any) -> Any:
    """The remainder of integers; its sign is that of the left one, as in Go."""
    if not (is_number(left) and is_number(right)):
        raise _mismatch("%", left, right)
    if not (isinstance(left, int) and isinstance(right, int)):
        raise Fault("type", "% works between integers", "write int(x)")
    sign = -1 if left < 0 else 1
    return _computed(lambda: sign * (abs(left) % abs(right)))


def power(frame: Frame, left: Any, right: Any) -> Any:
    """An integer for integers with an exponent of 0 or more, otherwise a fraction. The exponent is bounded."""
    if not (is_number(left) and is_number(right)):
        raise _mismatch("**", left, right)
    whole = isinstance(left, int) and isinstance(right, int)
    if whole and right >= 0 and (left.bit_length() * right > INTEGER_BITS and abs(left) > 1):
        raise Fault("limit", f"the result has more than {INTEGER_BITS} bits")
    return _computed(lambda: left**right if whole and right >= 0 else math.pow(left, right))


def _numeric(operator: str, left: Any, right: Any, compute: Callable[[Any, Any], Any]) -> Any:
    if not (is_number(left) and is_number(right)):
        raise _mismatch(operator, left, right)
    return _computed(lambda: compute(left, right))


def _computed(compute: Callable[[], Any]) -> Any:
    try:
        return checked(compute())
    except ZeroDivisionError:
        raise Fault("value", "division by zero") from None
    except OverflowError:
        raise Fault("value", "the result is too large for a number") from None
    except ValueError:
        raise Fault("value", "the result is not a real number") from None


def _seconds(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        raise Fault("value", "the result is too large for a number") from None


def order(operator: str, left: Any, right: Any) -> int:
    """-1, 0 or 1. Numbers by value, texts by character, and two ISO timestamps as times."""
    if is_number(left) and is_number(right):
        return int(left > right) - int(left < right)
    first, second = as_time(left), as_time(right)
    if first is not None and second is not None:
        return (first > second) - (first < second)
    if isinstance(left, str) and isinstance(right, str):
        return (left > right) - (left < right)
    raise _mismatch(operator, left, right)


def less(frame: Frame, left: Any, right: Any) -> bool:
    """left < right."""
    return order("<", left, right) < 0


def less_or_equal(frame: Frame, left: Any, right: Any) -> bool:
    """left <= right."""
    return order("<=", left, right) <= 0


def greater(frame: Frame, left: Any, right: Any) -> bool:
    """left > right."""
    return order(">", left, right) > 0


def greater_or_equal(frame: Frame, left: Any, right: Any) -> bool:
    """left >= right."""
    return order(">=", left, right) >= 0


def differ(frame: Frame, left: Any, right: Any) -> bool:
    """left != right."""
    return not equal(frame, left, right)


def span(frame: Frame, left: Any, right: Any) -> list[int]:
    """The integers from left to right, both included."""
    if not (is_number(left) and is_number(right) and isinstance(left, int) and isinstance(right, int)):
        raise _mismatch("..", left, right)
    frame.charge(max(0, min(right - left + 1, _LARGEST)))
    return list(range(left, right + 1))


def contains(frame: Frame, left: Any, right: Any) -> bool:
    """A text in a text, an element of a list, a key of an object, or an object of which another has all parts."""
    if isinstance(left, str):
        if not isinstance(right, str):
            raise _mismatch("contains", left, right)
        frame.charge(len(left) >> 10)
        return right in left
    if isinstance(left, list | tuple):
        frame.charge(len(left) >> 3)
        return any(item is right or equal(frame, item, right) for item in left)
    if isinstance(left, dict) and isinstance(right, dict):
        return _holds(frame, left, right)
    if isinstance(left, dict):
        return isinstance(right, str | int | float) and (right in left or str(right) in left)
    raise Fault("type", f"contains looks into a string, list or object, not into {kind_of(left)}")


def _holds(frame: Frame, value: Any, part: Any) -> bool:
    """Whether objects within have at least these fields; lists are as long, everything else is equal."""
    if isinstance(value, dict) and isinstance(part, dict):
        frame.charge(len(part))
        return all(key in value and _holds(frame, value[key], item) for key, item in part.items())
    if isinstance(value, list | tuple) and isinstance(part, list | tuple):
        frame.charge(len(part))
        return len(value) == len(part) and all(_holds(frame, one, other) for one, other in zip(value, part, strict=True))
    return bool(equal(frame, value, part))


def member(frame: Frame, left: Any, right: Any) -> bool:
    """left in right."""
    if not isinstance(right, str | list | tuple | dict):
        raise Fault("type", f"in looks into a string, list or object, not into {kind_of(right)}")
    return contains(frame, right, left)


def starts_with(frame: Frame, left: Any, right: Any) -> bool:
    """Whether a text begins with another."""
    if not (isinstance(left, str) and isinstance(right, str)):
        raise _mismatch("startsWith", left, right)
    return left.startswith(right)


def ends_with(frame: Frame, left: Any, right: Any) -> bool:
    """Whether a text ends with another."""
    if not (isinstance(left, str) and isinstance(right, str)):
        raise _mismatch("endsWith", left, right)
    return left.endswith(right)


def matches(frame: Frame, left: Any, right: Any) -> bool:
    """Whether an RE2 pattern is found anywhere in a text; linear in the size of the text."""
    if not (isinstance(left, str) and isinstance(right, str)):
        raise _mismatch("matches", left, right)
    frame.charge(len(left) >> 8)
    try:
        return pattern(right).search(left) is not None
    except UnicodeEncodeError:
        raise Fault("value", "the text is not valid Unicode") from None


def check_pattern(pattern_text: str, offset: int, text: str) -> None:
    """ExpressionError if a pattern at a place of an expression is none."""
    try:
        pattern(pattern_text)
    except Fault as fault:
        raise fault.at(offset, text) from None


@lru_cache(maxsize=256)
def pattern(text: str) -> Any:
    """The compiled RE2 pattern of a text. Fault of kind value if it is none."""
    import re2  # loaded only when a pattern is used

    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 20
    try:
        return re2.compile(text, options)
    except (re2.error, UnicodeEncodeError) as error:
        reason = error.args[0] if error.args else ""
        shown = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise Fault("value", f"not a valid pattern: {shown}", "patterns are RE2: no lookaround, no backreferences") from None


BINARY: dict[str, Callable[[Frame, Any, Any], Any]] = {
    "+": add,
    "-": subtract,
    "*": multiply,
    "/": divide,
    "%": modulo,
    "**": power,
    "==": equal,
    "!=": differ,
    "<": less,
    "<=": less_or_equal,
    ">": greater,
    ">=": greater_or_equal,
    "..": span,
    "contains": contains,
    "in": member,
    "startsWith": starts_with,
    "endsWith": ends_with,
    "matches": matches,
}
