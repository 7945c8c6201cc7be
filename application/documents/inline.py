"""Collections in inline style, `{a: b}` and `[a, b]`: where their author meant each value to end, whatever YAML makes of it."""

from __future__ import annotations

import re
from collections.abc import Callable

_KEY = re.compile(r"""\s*(?:[\w.$-]+|"[^"]*"|'[^']*')\s*:(?=\s|$)""")
_QUOTED = re.compile(r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'(?:'[^']*')*""")
_CLOSERS = {"{": "}", "[": "]", "(": ")"}
_SIGNS = re.compile(r"""[\[\]{},]|:(?:\s|$)|\s#|^[!&*?|>@%`#"']|^-\s""")
"""What a value in inline style may not hold without quotes (YAML 1.2, section 7.3.3)."""


_LONGEST = 2_000
"""Characters of a line that is looked at: what is longer is not written by hand."""
_DEEPEST = 50


class _Unclosed(Exception):
    """The line ends inside a collection, or is nested too deeply to be looked at."""


class _Inline:
    """Reads one line, and writes it again with quotes around the values that need them."""

    def __init__(self, text: str, quote: Callable[[str], str]) -> None:
        self._text = text
        self._quote = quote
        self._at = 0
        self._depth = 0
        self._written: list[str] = []

    def collection(self) -> None:
        """What stands from a bracket to the one that closes it."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _Unclosed
        closer = _CLOSERS[self._text[self._at]]
        self._copy(self._at + 1)
        self.items(closer)
        if not self._text.startswith(closer, self._at):
            raise _Unclosed
        self._copy(self._at + 1)
        self._depth -= 1

    def items(self, closer: str) -> None:
        """Values up to the closer or the end of the line."""
        while True:
            self._spaces()
            if closer == "}" and (key := _KEY.match(self._text, self._at)):
                self._copy(key.end())
                self._spaces()
            if self._at >= len(self._text) or self._text[self._at] in (closer, "#"):
                return
            if self._text[self._at] == ",":
                self._copy(self._at + 1)
            else:
                self._value(closer)

    def rest(self) -> str:
        """All that was written, and what was not read."""
        return "".join(self._written) + self._text[self._at :]

    def _value(self, closer: str) -> None:
        if not self._whole_quoted(closer) and not self._whole_collection(closer):
            end = self._end(closer)
            value = self._text[self._at : end].rstrip()
            self._written.append(self._quote(value) if _SIGNS.search(value) else value)
            self._at += len(value)

    def _whole_quoted(self, closer: str) -> bool:
        found = _QUOTED.match(self._text, self._at)
        if found is None or not self._ends(found.end(), closer):
            return False
        self._copy(found.end())
        return True

    def _whole_collection(self, closer: str) -> bool:
        """Whether a collection stands here and nothing behind it; `[1, 2] == body` is an expression."""
        if self._text[self._at] not in "[{" or self._text.startswith("{{", self._at):
            return False
        before, written, depth = self._at, len(self._written), self._depth
        try:
            self.collection()
        except _Unclosed:
            pass
        else:
            if self._ends(self._at, closer):
                return True
        self._at, self._depth = before, depth
        del self._written[written:]
        return False

    def _ends(self, at: int, closer: str) -> bool:
        rest = self._text[at:].lstrip()
        return not rest or rest[0] in (",", closer) or rest.startswith("#")

    def _end(self, closer: str) -> int:
        """Where the value ends that begins here, brackets closed and texts complete: at a comma, or with what is around it."""
        at = self._at
        open_: list[str] = []
        while at < len(self._text):
            sign = self._text[at]
            if sign in "\"'" and not self._text[at - 1].isalnum() and (found := _QUOTED.match(self._text, at)):
                at = found.end()
                continue
            if sign in _CLOSERS:
                open_.append(_CLOSERS[sign])
            elif open_ and sign == open_[-1]:
                open_.pop()
            elif not open_ and (sign == closer or self._parts(at, closer)):
                return at
            at += 1
        if open_:
            raise _Unclosed
        return at

    def _parts(self, at: int, closer: str) -> bool:
        """Whether a comma that parts values stands here, or a comment begins."""
        if self._text[at] == "#":
            return self._text[at - 1].isspace()
        following = at + 1
        return self._text[at] == "," and (
            closer == "]" or self._ends(following, closer) or _KEY.match(self._text, following) is not None
        )

    def _spaces(self) -> None:
        while self._at < len(self._text) and self._text[self._at].isspace():
            self._copy(self._at + 1)

    def _copy(self, end: int) -> None:
        self._written.append(self._text[self._at : end])
        self._at = end


def requoted(text: str, quote: Callable[[str], str]) -> str | None:
    """A line from a bracket on, with quotes around the values that need them; None if more than this bracket is left open."""
    return requoted_items(text[1:], text[0], quote, before=text[0])


def requoted_items(text: str, opener: str, quote: Callable[[str], str], before: str = "") -> str | None:
    """The same for a line within a collection that was opened before, by `[` or `{`."""
    if len(text) > _LONGEST:
        return None
    inline = _Inline(text, quote)
    try:
        inline.items(_CLOSERS[opener])
    except _Unclosed:
        return None
    return before + inline.rest()
