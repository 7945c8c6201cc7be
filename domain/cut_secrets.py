"""What is left of secrets where a text was cut off by somebody who does not know of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import takewhile
from typing import Any

from domain.secret_automaton import automaton
from domain.secret_forms import PLAIN, pattern, ways

CUTS = ("...", "…")
ENDS = (*CUTS, "'", '"', "`", "\n")
"""What stands behind a text that was cut off: in a value, and where a message quotes one."""
_LEAST = 8
_HALF_A_CHARACTER = re.compile(rb"(?:\\+(?:u[0-9a-fA-F]{0,3}|x[0-9a-fA-F]?)?|%(?:25)*[0-9a-fA-F]?|&[#a-zA-Z0-9]{0,6})?")
"""The beginning of what an encoding writes for a character."""


class Rests:
    """The forms of the secrets of one execution, by their beginnings, of which many have the same: those of URLs have."""

    def __init__(self, tokens: Mapping[str, str]) -> None:
        """`tokens` are what stands for each form."""
        self._forms: dict[str, list[tuple[str, bytes]]] = {}
        for form, token in tokens.items():
            if len(form) > _LEAST:
                self._forms.setdefault(form[:_LEAST], []).append((form, token.encode()))
        self._heads = {begin: "".join(takewhile(PLAIN.__contains__, begin)).encode() for begin in self._forms}
        """The part of each beginning that is written in one way alone, to know soon that it does not stand somewhere."""
        self._any = automaton((), map(pattern, self._forms))
        self._each: dict[str, Any] = {}

    def replaced(self, text: str, ends: tuple[str, ...], part: int = 0) -> str:
        """The text with the token of a form where it begins with the form and is cut off. A rest has 8 characters at least, and
        this part of the form, if one is given."""
        if not self._forms:
            return text
        raw, at, marks = text.encode("utf-8", "surrogatepass"), 0, tuple(end.encode() for end in ends)
        while found := self._any.search(raw, at):
            start = found.start()
            end, token = max(self._at(raw, start, marks, part), default=(0, b""))
            raw = raw[:start] + token + raw[end:] if end else raw
            at = start + (len(token) if end else 1)
        return raw.decode("utf-8", "surrogatepass")

    def _at(self, raw: bytes, start: int, marks: tuple[bytes, ...], part: int) -> Iterator[tuple[int, bytes]]:
        """The ends of the rests that begin there, and what stands for each."""
        for begin, forms in self._forms.items():
            if not raw.startswith(self._heads[begin], start):
                continue
            if begin not in self._each:
                self._each[begin] = automaton((), [pattern(begin)])
            if (found := self._each[begin].match(raw, start)) is None:
                continue
            for form, token in forms:
                count, end = _walk(raw, form, found.end())
                if count >= (len(form) // part if part else 0) and (end == len(raw) or raw.startswith(marks, end)):
                    yield end, token


def _walk(raw: bytes, form: str, end: int) -> tuple[int, int]:
    """How many characters of a form, whose beginning ends there, stand in the text, and where the last of them ends."""
    count = _LEAST
    while count < len(form) and (found := _way(form[count]).match(raw, end)):
        count, end = count + 1, found.end()
    half = _HALF_A_CHARACTER.match(raw, end)
    return count, half.end() if half else end


@lru_cache(maxsize=1024)
def _way(character: str) -> re.Pattern[bytes]:
    return re.compile(ways(character).encode("utf-8", "surrogatepass"))
