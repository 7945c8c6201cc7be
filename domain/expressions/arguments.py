"""Arguments of functions: each as the kind of value that the function takes, or the fault that says what it takes."""

from __future__ import annotations

from typing import Any

from domain.expressions.errors import Fault
from domain.expressions.frame import kind_of
from domain.expressions.operators import is_number


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
