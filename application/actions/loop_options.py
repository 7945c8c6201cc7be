"""Options that loops and branches share, read from what templates made of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from application.engine.action import ActionError
from domain.duration import parse_duration

_TRUTHS = {True: True, False: False, "true": True, "false": False}


def read_truth(config: Mapping[str, Any], name: str, default: bool) -> bool:
    """True or false, also as text."""
    value = config.get(name, default)
    if not isinstance(value, bool | str) or value not in _TRUTHS:
        raise ActionError("config", f"{name} must be true or false, not {value!r:.80}")
    return _TRUTHS[value]


def read_number(config: Mapping[str, Any], name: str, default: int, most: int) -> int:
    """A number from 1 to `most`, also as text."""
    value = config.get(name, default)
    number = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10 else value
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= most:
        raise ActionError("config", f"{name} must be a number from 1 to {most}, not {value!r:.80}")
    return number


def read_seconds(config: Mapping[str, Any], name: str, default: float) -> float:
    """A duration in seconds."""
    if name not in config:
        return default
    try:
        return parse_duration(config[name])
    except ValueError as error:
        raise ActionError("config", f"{name}: {error}") from None


def read_fail_fast(config: Mapping[str, Any], opposite: str) -> bool:
    """Whether the first failure ends the rest, true by default; the key `opposite` says it the other way round."""
    fail_fast = read_truth(config, "fail_fast", not read_truth(config, opposite, False))
    if opposite in config and fail_fast is read_truth(config, opposite, False):
        raise ActionError("config", f"fail_fast and {opposite} say opposite things: keep one of them")
    return fail_fast
