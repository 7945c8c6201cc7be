"""What is left of secrets where a text was cut off by somebody who does not know of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from domain.secret_automaton import automaton
from domain.secret_forms import pattern, ways

CUTS = ("...", "…")
ENDS = (*CUTS, "'", '"', "`", "\n")
"""What stands behind a text that was cut off: in a value, and where a message quotes one."""
_LEAST = 8
_HALF_A_CHARACTER = re.compile(rb"(?:\\+(?:u[0-9a-fA-F]{0,3}|x[0-9a-fA-F]?)?|%(?:25)*[0-9a-fA-F]?|&[#a-zA-Z0-9]{0,6})?")
"""The beginning of what an encoding writes for a character."""


def beginnings(tokens: Iterable[str]) -> set[str]:
    """Patterns of which one is found in every text that has a rest."""
    return {pattern(form[:_LEAST]) for form in tokens}


def without_rests(text: str, tokens: Mapping[str, str], ends: tuple[str, ...], part: int = 0) -> str:
    """The text with the token of a form where it begins with the form and is cut off. A rest has 8 characters at least, and
    this part of the form, if one is given."""
    raw, marks = text.encode("utf-8", "surrogatepass"), tuple(end.encode() for end in ends)
    for form, token in tokens.items():
        least = max(_LEAST, len(form) // part if part else 0)
        if len(form) > least:
            raw = _without_rest(raw, form, least, token.encode(), marks)
    return raw.decode("utf-8", "surrogatepass")


def _without_rest(raw: bytes, form: str, least: int, token: bytes, marks: tuple[bytes, ...]) -> bytes:
    begin, at = automaton((), [pattern(form[:least])]), 0
    while found := begin.search(raw, at):
        end = _end(raw, form, least, found.end())
        if end == len(raw) or raw.startswith(marks, end):
            raw, at = raw[: found.start()] + token + raw[end:], found.start() + len(token)
        else:
            at = found.end()
    return raw


def _end(raw: bytes, form: str, at: int, end: int) -> int:
    """Where the form ends in the text, of which it has come `at` characters far."""
    while at < len(form) and (found := _way(form[at]).match(raw, end)):
        at, end = at + 1, found.end()
    half = _HALF_A_CHARACTER.match(raw, end)
    return half.end() if half else end


@lru_cache(maxsize=1024)
def _way(character: str) -> re.Pattern[bytes]:
    return re.compile(ways(character).encode("utf-8", "surrogatepass"))
