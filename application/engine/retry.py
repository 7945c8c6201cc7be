"""Retry: whether a failed try may be repeated, and how long to wait before it."""

from __future__ import annotations

from collections.abc import Callable

from domain.definition import Retry
from domain.outcome import Try

MAX_PAUSE = 300.0
_CONNECTION = ("connection_error", "connection_refused", "dns", "tls")


def may_retry(retry: Retry, made: Try, holds: Callable[[str], bool]) -> bool:
    """Whether the policy allows another try after this one; `holds` evaluates an expression over its result."""
    if made.number >= retry.max_attempts:
        return False
    if any(_matches(item, made, holds) for item in retry.retry_on_not):
        return False
    return not retry.retry_on or any(_matches(item, made, holds) for item in retry.retry_on)


def _matches(item: str, made: Try, holds: Callable[[str], bool]) -> bool:
    kind = made.error.kind if made.error else None
    if item == "timeout":
        return kind == "timeout"
    if item == "connection_error":
        return kind in _CONNECTION
    if item == "assertion":
        return made.verdict == "failed"
    return holds(item)


def pause(retry: Retry, number: int, random: Callable[[], float]) -> float:
    """Seconds before the try after try `number`; jitter spreads it over [0.5, 1.5) of itself."""
    factor = {"constant": 1.0, "linear": float(number), "exponential": 2.0 ** (number - 1)}[retry.backoff]
    seconds = retry.delay * factor
    return min(seconds * (0.5 + random()) if retry.jitter else seconds, MAX_PAUSE)
