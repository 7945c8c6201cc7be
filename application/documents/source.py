"""A source text with its lines: makes problems that show the offending line with a caret beneath."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Literal

from domain.columns import blank
from domain.definition import Position
from domain.errors import Problem
from domain.near_words import nearest
from domain.values import dataclass

__all__ = ["LINE_BREAK", "WIDTH", "Source", "did_you_mean", "meant", "nearest"]

LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
"""The line breaks that libyaml counts."""
WIDTH = 120

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class Source:
    """The text of one document and the name that people know it by."""

    text: str
    file: str = "<flow>"

    @cached_property
    def lines(self) -> tuple[str, ...]:
        return tuple(LINE_BREAK.split(self.text))

    def line(self, number: int) -> str:
        """The text of a line (from 1); empty beyond the end."""
        return self.lines[number - 1] if 1 <= number <= len(self.lines) else ""

    def position(self, index: int) -> Position:
        """The place of a character of the text."""
        before = LINE_BREAK.split(self.text[:index])
        return Position(len(before), len(before[-1]) + 1)

    def excerpt(self, at: Position, shown: str | None = None) -> str | None:
        """The line with its number and a caret beneath, cropped around the caret."""
        line = self.line(at.line) if shown is None else shown
        if not line.strip():
            return None
        start = max(0, at.column - 1 - WIDTH // 2) if len(line) > WIDTH else 0
        part = _CONTROL.sub("\ufffd", line[start : start + WIDTH])
        pad = blank(part[: at.column - 1 - start])
        number = str(at.line)
        return f"{number:>4} | {part.rstrip()}\n{'':>{max(4, len(number))}} | {pad}^"

    def problem(
        self,
        at: Position,
        title: str,
        remedy: str | None = None,
        *,
        severity: Literal["error", "warning"] = "error",
        shown: str | None = None,
    ) -> Problem:
        """A problem at a place. `shown` stands in for the line where the line itself must not be shown."""
        excerpt = self.excerpt(at, shown)
        return Problem(_CONTROL.sub("\ufffd", title), self.file, at.line, at.column, remedy, excerpt, severity)

    def find(self, at: Position, text: str, offset: int) -> Position:
        """Where character `offset` of a scalar's value stands, if the source shows it literally; else the scalar's place."""
        ahead = text[:offset].split("\n")
        if "\n" not in text.rstrip("\n"):
            flat = text.rstrip("\n")
            found = self.line(at.line).find(flat, at.column - 1) if flat else -1
            if found >= 0:
                return Position(at.line, found + 1 + min(offset, len(flat)))
        wanted = text.split("\n")[len(ahead) - 1]
        number = at.line + len(ahead)
        line = self.line(number)
        if self.line(at.line)[at.column - 1 :].startswith(("|", ">")) and wanted and line.endswith(wanted):
            return Position(number, len(line) - len(wanted) + len(ahead[-1]) + 1)
        return at


def meant(word: str, known: Iterable[str], synonyms: Mapping[str, str] | None = None) -> str | None:
    """The known word behind a wrong one: a synonym's, or the nearest."""
    names = sorted(set(known))
    other = (synonyms or {}).get(word.lower())
    return other if other in names else nearest(word, names)


def did_you_mean(word: str, known: Iterable[str], synonyms: Mapping[str, str] | None = None) -> str | None:
    """The remedy for an unknown word: the one that was meant, or the whole list if it is short."""
    names = sorted(set(known))
    if found := meant(word, names, synonyms):
        return f'did you mean "{found}"?'
    return f"known: {', '.join(names)}" if 0 < len(names) <= 30 else None
