"""Errors of the expression language: what is wrong, where in the text, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Literal

from domain.near_words import nearest

_MOST = 2_000
"""Names that are looked at for a suggestion: an answer may have a million."""
_LONGEST = 80
ErrorKind = Literal["syntax", "name", "type", "value", "limit"]


class ExpressionError(Exception):
    """An expression that cannot be parsed or evaluated. `offset` counts characters from the start of `text`."""

    def __init__(
        self, message: str, offset: int = 0, text: str = "", hint: str | None = None, kind: ErrorKind = "syntax"
    ) -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset
        self.text = text
        self.kind: ErrorKind = kind
        self._hint = hint

    @property
    def hint(self) -> str | None:
        """What would help, if something is known to."""
        return self._hint

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class Absent(ExpressionError):
    """A name, key or index that is not there: what `??`, `exists` and `?.` look for. `root`: a name, not a part of a value."""

    def __init__(
        self,
        message: str,
        offset: int,
        text: str,
        *,
        wanted: object = None,
        known: Iterable[str] = (),
        root: bool = False,
        why: Callable[[], str | None] = lambda: None,
    ) -> None:
        super().__init__(message, offset, text, None, "name")
        self._why = why
        self._wanted = wanted
        self._known = known
        self.root = root

    @property
    def hint(self) -> str | None:
        """Why it is not there, or the nearest known names; found only when asked for, as most absences are expected ones."""
        if self._hint is None:
            self._hint = self._why()
        if self._hint is None:
            known = [name for name in islice(self._known, _MOST) if isinstance(name, str)]
            self._hint = did_you_mean(self._wanted, known) or _listing(known, self.root)
        return self._hint


class Fault(Exception):
    """A failure of an operation that does not know where it stands in the text; the caller turns it into an ExpressionError."""

    def __init__(self, kind: ErrorKind, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.kind: ErrorKind = kind
        self.message = message
        self.hint = hint

    def at(self, offset: int, text: str) -> ExpressionError:
        """The error of this fault at a place."""
        return ExpressionError(self.message, offset, text, self.hint, self.kind)


def did_you_mean(wanted: object, known: Iterable[str]) -> str | None:
    """`did you mean "x"?` for the nearest known name, if one is near."""
    if not isinstance(wanted, str):
        return None
    found = nearest(wanted, known)
    return f'did you mean "{_plain(found)}"?' if found else None


def _plain(name: str) -> str:
    """A name in one line: it may have come from a system under test."""
    shown = name[:_LONGEST]
    return shown if shown.isprintable() else ascii(shown)[1:-1]


def _listing(known: list[str], root: bool) -> str | None:
    if root or not known:
        return None
    shown = ", ".join(_plain(name) for name in sorted(known)[:8])
    return f"there is: {shown}" + (", ..." if len(known) > 8 else "")
