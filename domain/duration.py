"""Durations as people write them: `500ms`, `2s`, `1m30s`, `1h`, or a number of seconds."""

from __future__ import annotations

import math
import re

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d{1,15}(?:\.\d{1,15})?)\s{0,8}(ns|us|µs|ms|s|m|h|d)\s{0,8}")
_NUMBER = re.compile(r"\d{1,15}(?:\.\d{1,15})?")
_LONGEST_TEXT = 100


def parse_duration(value: object) -> float:
    """The seconds that a duration means; a bare number is seconds. ValueError says what would be understood."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _from_number(value)
    if isinstance(value, str):
        return _from_text(value)
    raise ValueError(f"a duration is text such as 500ms, 2s or 1m30s, or a number of seconds, not a {type(value).__name__}")


def spoken_duration(seconds: float) -> str:
    """Seconds as people write a duration: `90` is `1m30s`."""
    if seconds < 1:
        return f"{seconds * 1000:g}ms"
    whole, text = int(seconds), ""
    for unit, size in (("h", 3600), ("m", 60)):
        count, whole = divmod(whole, size)
        text += f"{count}{unit}" if count else ""
    rest = round(whole + seconds % 1, 3)
    return text + (f"{rest:g}s" if rest or not text else "")


def _from_number(value: int | float) -> float:
    try:
        seconds = float(value)
    except OverflowError:
        raise ValueError("a duration must be a finite number of seconds") from None
    if not math.isfinite(seconds):
        raise ValueError("a duration must be a finite number of seconds")
    if seconds < 0:
        raise ValueError("a duration cannot be negative")
    return seconds


def _from_text(value: str) -> float:
    text = value.strip()
    if len(text) > _LONGEST_TEXT:
        raise ValueError(f"a duration is at most {_LONGEST_TEXT} characters long")
    if _NUMBER.fullmatch(text):
        return float(text)
    if text.startswith("-"):
        raise ValueError(f"a duration cannot be negative: {text!r}")
    seconds, at = 0.0, 0
    while at < len(text):
        part = _PART.match(text, at)
        if part is None:
            break
        seconds += float(part[1]) * _UNITS[part[2]]
        at = part.end()
    if not text or at < len(text):
        raise ValueError(f"not a duration: {value!r}; write 500ms, 2s, 1m30s or 1h")
    return seconds
