"""Parameters of SQL: `?`, `$1`, `%s` and `:name`, found outside of literals and comments."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from application.actions.sql_dialect import POSTGRESQL, Dialect
from application.engine.action import ActionError
from domain.values import dataclass

_COMMENT = re.compile(r"/\*|\*/")
_UNSENDABLE = re.compile("[\0\ud800-\udfff]")
_POSITIONAL = ("number", "percent", "question")


@dataclass(frozen=True, slots=True)
class Sql:
    """A query as it is sent: text with the places of its dialect, and the values in their order."""

    text: str
    values: tuple[Any, ...] = ()
    moved: tuple[tuple[int, int], ...] = ((0, 0),)
    """Pairs (offset in `text`, offset in the query as written), rising."""

    def written_at(self, offset: int) -> int:
        """Where an offset of the text stands in the query as it was written; characters, from 0."""
        sent, written = self.moved[bisect_right(self.moved, offset, key=lambda pair: pair[0]) - 1]
        return written + offset - sent


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a query; offsets in characters, from 0."""

    kind: str
    begin: int
    end: int
    text: str


def bind(query: str, params: Sequence[Any] = (), named: Mapping[str, Any] | None = None, dialect: Dialect = POSTGRESQL) -> Sql:
    """The query with its values, one statement; without values any number of statements, exactly as written.

    A query uses one spelling: `$1` if it has any, else `%s` if it has any, else `?`. In a query of `?` for
    PostgreSQL, the JSON operators `?|`, `?&` and `@?` stay what they are and the operator `?` is written `??`. A colon after
    a word, `)`, `]` or `"` is a slice and no name. ActionError of kind config when values and places do not fit each other.
    """
    if _UNSENDABLE.search(query):
        raise ActionError("config", "query holds a character that no database takes: NUL or half of a surrogate pair")
    if params and named:
        raise ActionError("config", "params and named_params cannot be given together")
    if not params and not named:
        return Sql(query)
    tokens = tokens_of(query, dialect)
    if _several(tokens):
        raise ActionError("config", "a query with parameters is one statement", hint="use one step for each statement")
    return _named(query, tokens, named, dialect) if named else _positional(query, tokens, params, dialect)


def _positional(query: str, tokens: list[Token], params: Sequence[Any], dialect: Dialect) -> Sql:
    kinds = {token.kind for token in tokens}
    kind = next((kind for kind in _POSITIONAL if kind in kinds), None)
    places = [token for token in tokens if token.kind == kind]
    if kind == "number":
        _check_numbers({int(place.text[1:]) for place in places}, len(params))
        return _rewritten(query, tokens, {place.begin: dialect.place(int(place.text[1:])) for place in places}, tuple(params))
    if len(places) != len(params) or len(params) > dialect.most_values:
        raise ActionError(
            "config",
            f"the query has {len(places)} places for parameters and params {len(params)} values",
            hint="write the operator ? of JSON as ??, or use $1, $2, ..."
            if kind == "question" and dialect.question_operators
            else None,
        )
    new = {place.begin: dialect.place(number) for number, place in enumerate(places, 1)}
    if kind == "question":
        new.update({token.begin: "?" for token in tokens if token.kind == "escaped"})
    return _rewritten(query, tokens, new, tuple(params))


def _check_numbers(used: set[int], given: int) -> None:
    if wrong := used.symmetric_difference(range(1, given + 1)):
        first = min(wrong)
        problem = f"uses ${first}, which params does not have" if first in used else f"does not use ${first}"
        raise ActionError("config", f"params has {given} values, and the query {problem}")


def _named(query: str, tokens: list[Token], named: Mapping[str, Any], dialect: Dialect) -> Sql:
    places = [token for token in tokens if token.kind == "name"]
    order = {name: number for number, name in enumerate(dict.fromkeys(place.text[1:] for place in places), 1)}
    if missing := order.keys() - named.keys():
        known = ", ".join(f":{name}" for name in sorted(named))
        raise ActionError("config", f"the query uses :{min(missing)}, named_params has {known}")
    if unused := named.keys() - order.keys():
        raise ActionError("config", f"the query does not use :{min(unused)} of named_params")
    new = {place.begin: dialect.place(order[place.text[1:]]) for place in places}
    return _rewritten(query, tokens, new, tuple(named[name] for name in order))


def _rewritten(query: str, tokens: list[Token], new: Mapping[int, str], values: tuple[Any, ...]) -> Sql:
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


def _several(tokens: list[Token]) -> bool:
    """Whether something follows the end of a statement."""
    solid = [token.kind for token in tokens if token.kind != "blank"]
    return any(one == "end" != other for one, other in pairwise(solid))


def tokens_of(query: str, dialect: Dialect) -> list[Token]:
    """The query in pieces, all of it. ActionError for a literal or comment that does not end."""
    tokens: list[Token] = []
    at = 0
    while match := dialect.token.match(query, at):
        kind, end = match.lastgroup or "other", match.end()
        if kind == "comment":
            kind, end = "blank", _comment_end(query, at, nested=dialect.nested_comments)
        elif kind == "dollar":
            kind, end = "text", _dollar_end(query, match)
        elif kind == "open":
            raise _endless("a quoted text or name", at)
        tokens.append(Token(kind, at, end, query[at:end]))
        at = end
    return tokens


def _comment_end(query: str, begin: int, *, nested: bool) -> int:
    if not nested:
        end = query.find("*/", begin + 2)
        if end < 0:
            raise _endless("a comment", begin)
        return end + 2
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


def place_at(sql: Sql, offset: int) -> str:
    """The words for a place in the query as written, for an offset in the text that was sent."""
    line_begin = sql.text.rfind("\n", 0, offset) + 1
    line = sql.text.count("\n", 0, offset) + 1
    return f" at line {line}, column {sql.written_at(offset) - sql.written_at(line_begin) + 1} of the query"


def place_of(sql: Sql, piece: str, *, whole: bool = False) -> str:
    """The words for the place of a piece of the query that stands there once; `whole` when it must be a word of its own."""
    pattern = rf"(?<![\w$]){re.escape(piece)}(?![\w$])" if whole else re.escape(piece)
    found = [match.start() for match in re.finditer(pattern, sql.text)] if piece else []
    return place_at(sql, found[0]) if len(found) == 1 else ""
