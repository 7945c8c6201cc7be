"""The functions that take numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from domain.expressions.arguments import numbers_of, whole
from domain.expressions.errors import Fault
from domain.expressions.frame import Frame
from domain.expressions.operators import checked


def mean(frame: Frame, *numbers: Any) -> Any:
    """The arithmetic mean."""
    items = numbers_of(numbers, "mean")
    return checked(math.fsum(items) / len(items))


def median(frame: Frame, *numbers: Any) -> Any:
    """The middle value, or the mean of the two middle ones."""
    items = sorted(numbers_of(numbers, "median"))
    middle = len(items) // 2
    return items[middle] if len(items) % 2 else (items[middle - 1] + items[middle]) / 2


def absolute(frame: Frame, value: Any) -> Any:
    """The number without its sign."""
    return abs(numbers_of((value,), "abs")[0])


def rounded(frame: Frame, value: Any, digits: Any = 0) -> Any:
    """Rounded half away from zero, as expr-lang does."""
    [number] = numbers_of((value,), "round")
    places = whole(digits, "round")
    if not -15 <= places <= 15:
        raise Fault("value", "round takes -15 to 15 digits")
    factor = 10.0**places
    moved = math.floor(abs(number) * factor + 0.5) / factor
    return checked(math.copysign(moved, number))


NUMBER_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "min": lambda frame, *numbers: min(numbers_of(numbers, "min")),
    "max": lambda frame, *numbers: max(numbers_of(numbers, "max")),
    "mean": mean,
    "median": median,
    "abs": absolute,
    "round": rounded,
    "floor": lambda frame, value: checked(math.floor(numbers_of((value,), "floor")[0])),
    "ceil": lambda frame, value: checked(math.ceil(numbers_of((value,), "ceil")[0])),
}
"""By the canonical name; each takes the frame first."""
