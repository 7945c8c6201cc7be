"""Selection by tags: `smoke and not slow`, `(api or web) and fast`, and `smoke,web` for either."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from domain.errors import Invalid

_TOKEN = re.compile(r"\s*(\(|\)|,|[^\s(),]+)")
Wanted = Callable[[Collection[str]], bool]


def parse_tags(text: str) -> Wanted:
    """Whether a collection of tags is wanted. Invalid says where the text cannot be understood."""
    return _Parser(text).parse()


class _Parser:
    """Recursive descent: `or` and `,` bind less than `and`, that less than `not`."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _TOKEN.findall(text)
        self._at = 0

    def parse(self) -> Wanted:
        wanted = self._or()
        if self._at < len(self._tokens):
            raise self._wrong(f"{self._tokens[self._at]!r} was not expected here")
        return wanted

    def _or(self) -> Wanted:
        parts = [self._and()]
        while self._accept("or", ","):
            parts.append(self._and())
        return parts[0] if len(parts) == 1 else lambda tags: any(part(tags) for part in parts)

    def _and(self) -> Wanted:
        parts = [self._not()]
        while self._accept("and"):
            parts.append(self._not())
        return parts[0] if len(parts) == 1 else lambda tags: all(part(tags) for part in parts)

    def _not(self) -> Wanted:
        if self._accept("not"):
            inner = self._not()
            return lambda tags: not inner(tags)
        if self._accept("("):
            inner = self._or()
            if not self._accept(")"):
                raise self._wrong("a bracket is not closed")
            return inner
        if self._at == len(self._tokens) or self._tokens[self._at] in ("and", "or", "not", ")", ","):
            raise self._wrong("a tag is missing")
        tag = self._tokens[self._at]
        self._at += 1
        return lambda tags: tag in tags

    def _accept(self, *words: str) -> bool:
        found = self._at < len(self._tokens) and self._tokens[self._at] in words
        self._at += found
        return found

    def _wrong(self, why: str) -> Invalid:
        return Invalid(f"--tags {self._text!r}: {why}", remedy="write it like 'smoke and not slow'")
