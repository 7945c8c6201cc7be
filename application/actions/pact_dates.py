"""Dates and times by the patterns that Pact contracts use (those of Java's DateTimeFormatter): yyyy-MM-dd'T'HH:mm:ssXXX."""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache

from application.actions.pact_errors import contract_error
from domain.expressions.times import parse_time

DEFAULTS = {"date": "yyyy-MM-dd", "time": "HH:mm:ss"}
_LONGEST = 200
_MONTHS: tuple[str, ...] = ("January", "February", "March", "April", "May", "June", "July", "August")
_MONTHS += ("September", "October", "November", "December")
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_TOKEN = re.compile(r"'((?:[^']|'')*)'|([A-Za-z])\2*|[^A-Za-z']")
_HOUR, _MINUTE, _HALF_DAY = "(?:[01]\\d|2[0-3])", "[0-5]\\d", "(?:0[1-9]|1[0-2])"
_OFFSET = f"[+-](?:0\\d|1[0-8]){{}}{_MINUTE}"


def _names(names: tuple[str, ...], letters: int | None = None) -> str:
    return "(?:" + "|".join(name[:letters] for name in names) + ")"


_PATTERNS: dict[str, str] = {
    "yyyy": "(?P<year>\\d{4})",
    "uuuu": "(?P<year>\\d{4})",
    "yy": "\\d{2}",
    "y": "(?P<year>\\d{1,4})",
    "MM": f"(?P<month>{_HALF_DAY})",
    "M": "(?P<month>[1-9]|1[0-2])",
    "MMM": _names(_MONTHS, 3),
    "MMMM": _names(_MONTHS),
    "dd": "(?P<day>0[1-9]|[12]\\d|3[01])",
    "d": "(?P<day>[1-9]|[12]\\d|3[01])",
    "D": "(?:[1-9]|[1-9]\\d|[12]\\d\\d|3[0-5]\\d|36[0-6])",
    "DDD": "(?:[012]\\d\\d|3[0-5]\\d|36[0-6])",
    **{letters: _names(_DAYS, 3) for letters in ("E", "EE", "EEE")},
    "EEEE": _names(_DAYS),
    "HH": _HOUR,
    "H": "(?:\\d|1\\d|2[0-3])",
    "kk": "(?:0[1-9]|1\\d|2[0-4])",
    "hh": _HALF_DAY,
    "h": "(?:[1-9]|1[0-2])",
    "mm": _MINUTE,
    "m": "(?:\\d|[1-5]\\d)",
    "ss": "(?:[0-5]\\d|60)",
    "s": "(?:\\d|[1-5]\\d|60)",
    **{"S" * count: f"\\d{{{count}}}" for count in range(1, 10)},
    "n": "\\d{1,9}",
    "a": "(?:[AaPp]\\.?[Mm]\\.?)",
    **{letters: _OFFSET.format("") for letters in ("Z", "ZZ", "ZZZ")},
    "ZZZZ": "GMT(?:" + _OFFSET.format(":") + ")?",
    "ZZZZZ": "(?:Z|" + _OFFSET.format(":") + ")",
    "X": f"(?:Z|[+-](?:0\\d|1[0-8])(?:{_MINUTE})?)",
    "XX": "(?:Z|" + _OFFSET.format("") + ")",
    "XXX": "(?:Z|" + _OFFSET.format(":") + ")",
    "x": f"[+-](?:0\\d|1[0-8])(?:{_MINUTE})?",
    "xx": _OFFSET.format(""),
    "xxx": _OFFSET.format(":"),
    "z": "[A-Z][A-Za-z+:0-9-]{0,9}",
    "VV": "[A-Za-z][A-Za-z0-9_+/-]{0,40}",
    "G": "(?:AD|BC)",
}


def fits(kind: str, pattern: str | None, text: str) -> bool:
    """Whether the text is a date, time or datetime of the pattern, and that day exists. Without one: ISO 8601."""
    if len(text) > _LONGEST:
        return False
    pattern = pattern or DEFAULTS.get(kind)
    if pattern is None:
        return parse_time(text) is not None
    found = _compiled(pattern).fullmatch(text)
    if found is None:
        return False
    parts = found.groupdict()
    if not parts.keys() >= {"year", "month", "day"}:
        return True
    try:
        date(int(parts["year"]), int(parts["month"]), int(parts["day"]))
    except ValueError:
        return False
    return True


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    """Only pieces of fixed length or with small bounds: no text takes long."""
    if len(pattern) > _LONGEST:
        raise contract_error("the format of a date is too long")
    pieces: list[str] = []
    at = 0
    while at < len(pattern):
        found = _TOKEN.match(pattern, at)
        if found is None:
            raise contract_error(f"the format of a date has an open quote: {pattern!r}")
        at = found.end()
        pieces.append(_piece(found, pattern, pieces))
    return re.compile("".join(pieces))


def _piece(found: re.Match[str], pattern: str, pieces: list[str]) -> str:
    if found[1] is not None:
        return re.escape(found[1].replace("''", "'") or "'")
    if found[2] is None:
        return re.escape(found[0])
    if found[0] not in _PATTERNS:
        raise contract_error(f"{found[0]!r} in the format {pattern!r} is not known", "matchers of type regex can check it")
    piece = _PATTERNS[found[0]]
    named = re.match(r"\(\?P<\w+>", piece)
    # A name may stand once in a pattern: a second year is not looked at again.
    return piece.replace(named[0], "(?:") if named and any(named[0] in other for other in pieces) else piece
