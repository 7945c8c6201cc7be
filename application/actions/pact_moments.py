"""Moments as generators of Pact contracts write them: by patterns of Java's DateTimeFormatter, moved by `+ 1 day`."""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from application.actions.pact_errors import contract_error

_TOKEN = re.compile(r"'((?:[^']|'')*)'|([A-Za-z])\2*|[^A-Za-z']", re.DOTALL)
_BASES = {"now": 0, "today": 0, "yesterday": -1, "tomorrow": 1}
_STEP = re.compile(r"\s*([+-])\s*(\d{1,6})\s*([a-z]+)\s*", re.IGNORECASE)
_SECONDS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0, "week": 604800.0, "millisecond": 0.001}
_LONGEST = 200

_PARTS: Mapping[str, Callable[[datetime], str]] = {
    **dict.fromkeys(("yyyy", "uuuu"), lambda at: f"{at.year:04}"),
    "yy": lambda at: f"{at.year % 100:02}",
    "y": lambda at: str(at.year),
    "MM": lambda at: f"{at.month:02}",
    "M": lambda at: str(at.month),
    "MMM": lambda at: calendar.month_abbr[at.month],
    "MMMM": lambda at: calendar.month_name[at.month],
    "dd": lambda at: f"{at.day:02}",
    "d": lambda at: str(at.day),
    "D": lambda at: str(at.timetuple().tm_yday),
    "DDD": lambda at: f"{at.timetuple().tm_yday:03}",
    **dict.fromkeys(("E", "EE", "EEE"), lambda at: calendar.day_abbr[at.weekday()]),
    "EEEE": lambda at: calendar.day_name[at.weekday()],
    "HH": lambda at: f"{at.hour:02}",
    "H": lambda at: str(at.hour),
    "kk": lambda at: f"{at.hour or 24:02}",
    "hh": lambda at: f"{at.hour % 12 or 12:02}",
    "h": lambda at: str(at.hour % 12 or 12),
    "mm": lambda at: f"{at.minute:02}",
    "m": lambda at: str(at.minute),
    "ss": lambda at: f"{at.second:02}",
    "s": lambda at: str(at.second),
    "n": lambda at: str(at.microsecond * 1000),
    "a": lambda at: "AM" if at.hour < 12 else "PM",
    **dict.fromkeys(("Z", "ZZ", "ZZZ", "xx"), lambda at: "+0000"),
    "x": lambda at: "+00",
    "xxx": lambda at: "+00:00",
    "ZZZZ": lambda at: "GMT",
    **dict.fromkeys(("ZZZZZ", "X", "XX", "XXX"), lambda at: "Z"),
    "z": lambda at: "UTC",
    "VV": lambda at: "Etc/UTC",
    "G": lambda at: "AD",
}
"""Of each run of letters, what it stands for; the moment is in UTC."""


def written(at: datetime, pattern: str) -> str:
    """The moment, in UTC, by the pattern. ActionError `config` for letters that are not known."""
    if len(pattern) > _LONGEST:
        raise contract_error("the format of a date is too long")
    pieces, place = [], 0
    while place < len(pattern):
        found = _TOKEN.match(pattern, place)
        if found is None:
            raise contract_error(f"the format of a date has an open quote: {pattern!r}")
        place = found.end()
        pieces.append(_piece(found, at, pattern))
    return "".join(pieces)


def _piece(found: re.Match[str], at: datetime, pattern: str) -> str:
    if found[1] is not None:
        return found[1].replace("''", "'") or "'"
    if found[2] is None:
        return found[0]
    if found[2] == "S":
        return f"{at.microsecond:06}".ljust(9, "0")[: len(found[0])]
    if found[0] not in _PARTS:
        raise contract_error(f"{found[0]!r} in the format {pattern!r} is not known")
    return _PARTS[found[0]](at)


def moved(at: datetime, expression: str) -> datetime:
    """The moment that an expression means: now, today, yesterday or tomorrow, and any `+ 2 weeks` or `- 1 month`."""
    rest = expression.strip().lower()
    base = next((name for name in _BASES if rest.startswith(name)), "")
    rest = rest[len(base) :]
    try:
        at += timedelta(days=_BASES.get(base, 0))
        while rest:
            found = _STEP.match(rest)
            if found is None:
                raise contract_error(f"the expression of a date is not known: {expression[:80]!r}", "such as today + 2 days")
            at, rest = _moved_by(at, int(found[1] + found[2]), found[3].removesuffix("s"), expression), rest[found.end() :]
    except (OverflowError, ValueError):
        raise contract_error(f"the date of {expression[:80]!r} lies outside the years 1 to 9999") from None
    return at


def _moved_by(at: datetime, count: int, unit: str, expression: str) -> datetime:
    if unit in _SECONDS:
        return at + timedelta(seconds=count * _SECONDS[unit])
    if unit not in ("month", "year"):
        raise contract_error(f"the expression of a date is not known: {expression[:80]!r}", "such as today + 2 days")
    months = at.year * 12 + at.month - 1 + count * (12 if unit == "year" else 1)
    year, month = months // 12, months % 12 + 1
    return at.replace(year=year, month=month, day=min(at.day, calendar.monthrange(year, month)[1]))
