"""Parameters of SQL: `?`, `$1`, `%s` and `:name` found outside of literals and comments, and sent as `$1`, never as text."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from application.engine.action import ActionError

_TOKEN = re.compile(
    r"""
      (?P<blank>\s++|--[^\n]*+)
    | (?P<comment>/\*)
    | (?P<text>[eE]'(?:[^'\\]|\\.|'')*+'|'(?:[^']|'')*+'|"(?:[^"]|"")*+")
    | (?P<word>[^\W\d][\w$]*+)
    | (?P<dollar>\$(?:[^\W\d]\w*+)?\$)
    | (?P<number>\$\d++)
    | (?P<operator>::|:=|(?<![<@~])@\?|\?[|&](?![|&]))
    | (?P<name>(?<![\w\])"]):[^\W\d]\w*+)
    | (?P<percent>%s(?!\w))
    | (?P<escaped>\?\?)
    | (?P<question>\?)
    | (?P<end>;)
    | (?P<open>['"])
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT = re.compile(r"/\*|\*/")
_UNSENDABLE = re.compile("[\0\ud800-\udfff]")
_POSITIONAL = ("number", "percent", "question")
_LONGEST = 65_535


@dataclass(frozen=True, slots=True)
class Sql:
    """A query as it is sent: text with `$1`, `$2`, ... and the values in their order."""

    text: str
    values: tuple[Any, ...] = ()
    moved: tuple[tuple[int, int], ...] = ((0, 0),)
    """Pairs (offset in `text`, offset in the query as written), rising."""

    def written_at(self, offset: int) -> int:
        """Where an offset of the text stands in the query as it was written; characters, from 0."""
        sent, written = self.moved[bisect_right(self.moved, offset, key=lambda pair: pair[0]) - 1]
        return written + offset - sent


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    begin: int
    end: int
    text: str


def bind(query: str, params: Sequence[Any] = (), named: Mapping[str, Any] | None = None) -> Sql:
    """The query with its values, one statement; without values any number of statements, exactly as written.

    A query uses one spelling: `$1` if it has any, else `%s` if it has any, else `?`. In a query of `?`, the JSON operators
    `?|`, `?&` and `@?` stay what they are and the operator `?` is written `??`. A colon after a word, `)`, `]` or `"` is a
    slice and no name. ActionError of kind config when values and places do not fit each other.
    """
    if _UNSENDABLE.search(query):
        raise ActionError("config", "query holds a character that PostgreSQL does not take: NUL or half of a surrogate pair")
    if params and named:
        raise ActionError("config", "params and named_params cannot be given together")
    if not params and not named:
        return Sql(query)
    tokens = _tokens(query)
    if _several(tokens):
        raise ActionError("config", "a query with parameters is one statement", hint="use one step for each statement")
    return _named(query, tokens, named) if named else _positional(query, tokens, params)


def _positional(query: str, tokens: list[_Token], params: Sequence[Any]) -> Sql:
    kinds = {token.kind for token in tokens}
    kind = next((kind for kind in _POSITIONAL if kind in kinds), None)
    places = [token for token in tokens if token.kind == kind]
    if kind == "number":
        _check_numbers({int(place.text[1:]) for place in places}, len(params))
        return Sql(query, tuple(params))
    if len(places) != len(params) or len(params) > _LONGEST:
        raise ActionError(
            "config",
            f"the query has {len(places)} places for parameters and params {len(params)} values",
            hint="write the operator ? of JSON as ??, or use $1, $2, ..." if kind == "question" else None,
        )
    new = {place.begin: f"${number}" for number, place in enumerate(places, 1)}
    if kind == "question":
        new.update({token.begin: "?" for token in tokens if token.kind == "escaped"})
    return _rewritten(query, tokens, new, tuple(params))


def _check_numbers(used: set[int], given: int) -> None:
    if wrong := used.symmetric_difference(range(1, given + 1)):
        first = min(wrong)
        problem = f"uses ${first}, which params does not have" if first in used else f"does not use ${first}"
        raise ActionError("config", f"params has {given} values, and the query {problem}")


def _named(query: str, tokens: list[_Token], named: Mapping[str, Any]) -> Sql:
    places = [token for token in tokens if token.kind == "name"]
    order = {name: number for number, name in enumerate(dict.fromkeys(place.text[1:] for place in places), 1)}
    if missing := order.keys() - named.keys():
        known = ", ".join(f":{name}" for name in sorted(named))
        raise ActionError("config", f"the query uses :{min(missing)}, named_params has {known}")
    if unused := named.keys() - order.keys():
        raise ActionError("config", f"the query does not use :{min(unused)} of named_params")
    new = {place.begin: f"${order[place.text[1:]]}" for place in places}
    return _rewritten(query, tokens, new, tuple(named[name] for name in order))


def _rewritten(query: str, tokens: list[_Token], new: Mapping[int, str], values: tuple[Any, ...]) -> Sql:
    parts: list[str] = []
    moved = [(0, 0)]
    length = 0
    for token in tokens:
        part = new.get(token.begin, token.text)
        parts.append(part)
        length += len(part)
        if len(part) != len(token.text):
            moved.append((length, token.end))
    return Sql("".join(parts), values, tuple(moved))


def _several(tokens: list[_Token]) -> bool:
    """Whether something follows the end of a statement."""
    solid = [token.kind for token in tokens if token.kind != "blank"]
    return any(one == "end" != other for one, other in pairwise(solid))


def _tokens(query: str) -> list[_Token]:
    """The query in pieces, all of it. ActionError for a literal or comment that does not end."""
    tokens: list[_Token] = []
    at = 0
    while match := _TOKEN.match(query, at):
        kind, end = match.lastgroup or "other", match.end()
        if kind == "comment":
            kind, end = "blank", _comment_end(query, at)
        elif kind == "dollar":
            kind, end = "text", _dollar_end(query, match)
        elif kind == "open":
            raise _endless("a quoted text or name", at)
        tokens.append(_Token(kind, at, end, query[at:end]))
        at = end
    return tokens


def _comment_end(query: str, begin: int) -> int:
    """Comments nest in PostgreSQL."""
    depth = 0
    for match in _COMMENT.finditer(query, begin):
        depth += 1 if match.group() == "/*" else -1
        if not depth:
            return match.end()
    raise _endless("a comment", begin)


def _dollar_end(query: str, begin: re.Match[str]) -> int:
    end = query.find(begin.group(), begin.end())
    if end < 0:
        raise _endless(f"the text in {begin.group()}", begin.start())
    return end + len(begin.group())


def _endless(what: str, begin: int) -> ActionError:
    return ActionError("config", f"query: {what} begins at character {begin + 1} and does not end")
