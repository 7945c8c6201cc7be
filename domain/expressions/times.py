"""Timestamps as ISO 8601 texts: recognised, compared as times, and moved by seconds."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

from domain.expressions.errors import Fault

_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?\s?(?:Z|z|[+-]\d\d(?::?\d\d)?)?)?", re.ASCII)
_FRACTION = re.compile(r"[.,](\d{1,9})")
_LONGEST = 40


def is_timestamp(text: str) -> bool:
    """Whether a text has the form of an ISO 8601 date or timestamp."""
    return 10 <= len(text) <= _LONGEST and text[4] == "-" and _TIMESTAMP.fullmatch(text) is not None


def parse_time(text: str) -> datetime | None:
    """The time that a text means, UTC when it names no zone; None if it is no timestamp."""
    if not is_timestamp(text):
        return None
    plain = (
        _FRACTION.sub(lambda match: "." + match[1][:6].ljust(6, "0"), text)
        .replace("z", "Z")
        .replace(" Z", "Z")
        .replace(" +", "+")
    )
    try:
        moment = datetime.fromisoformat(plain)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def as_time(value: object) -> datetime | None:
    """The time of a text, a date or a datetime; None for anything else."""
    if isinstance(value, str):
        return parse_time(value)
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value
    return datetime(value.year, value.month, value.day, tzinfo=UTC) if isinstance(value, date) else None


def iso(moment: datetime) -> str:
    """A time as ISO 8601 in UTC; microseconds only if it has any."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def shifted(moment: datetime, seconds: float) -> str:
    """A time moved by seconds, as ISO 8601."""
    try:
        return iso(moment + timedelta(seconds=seconds))
    except (OverflowError, ValueError):
        raise Fault("value", "the time lies outside the years 1 to 9999") from None
