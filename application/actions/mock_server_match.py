"""What a request must have: its method, and parts of its query, headers and body, or an expression over it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from application.actions.config_values import known_keys, read_expression, untrue
from application.actions.partial import missing, missing_text
from application.engine.action import ActionError
from domain.definition import Path as Place
from domain.expressions.errors import did_you_mean
from domain.values import dataclass

_MATCH = ("query", "headers", "body", "expression")
_METHODS = frozenset(["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "ANY", "*"])
ANY: frozenset[str] = frozenset()
"""No method is named, so that any will do."""


@dataclass(frozen=True, slots=True)
class Match:
    """An expression, or parts of query, headers and body; their templates are not resolved yet."""

    expression: str | None = None
    query: Mapping[str, Any] | None = None
    headers: Mapping[str, Any] | None = None
    body: Any = None

    def refusal(
        self, request: Mapping[str, Any], body: Any, render: Callable[[Any], Any], evaluate: Callable[[str], Any]
    ) -> str:
        """Why a request, whose body as JSON is `body`, is not meant; empty when it is. ExpressionError passes through."""
        return (
            (self.query and missing_text(render(self.query), request["query"], "the query"))
            or (self.headers and missing_text(render(self.headers), request["headers"], "the header", any_case=True))
            or (self.body is not None and missing(render(self.body), body, "body"))
            or (self.expression is not None and untrue(self.expression, evaluate))
            or ""
        )


def match_expressions(value: Any) -> Iterator[tuple[Place, str]]:
    """The expression in a `match` as it is written, with its path below the object that holds it."""
    if isinstance(value, str):
        yield ("match",), value
    elif isinstance(value, Mapping) and isinstance(value.get("expression"), str):
        yield ("match", "expression"), value["expression"]


def read_methods(value: Any, where: str) -> frozenset[str]:
    """One method, several, or ANY; none given means any. ActionError `config` for others."""
    given = value if isinstance(value, list | tuple) else [] if value is None else [value]
    methods = frozenset(str(method).upper() for method in given)
    if unknown := sorted(methods - _METHODS):
        hint = did_you_mean(unknown[0], _METHODS) or "ANY stands for all"
        raise ActionError("config", f"{where}: not a method: {unknown[0][:40]!r}", hint=hint)
    return ANY if methods & {"ANY", "*"} else methods


def read_match(value: Any, where: str) -> Match:
    """What `match` means. ActionError `config` for what cannot be matched."""
    if value is None:
        return Match()
    if isinstance(value, str | bool):
        return Match(expression=read_expression(value, f"{where}: match"))
    if not isinstance(value, Mapping):
        raise ActionError("config", f"{where}: match is an expression, or an object of {', '.join(_MATCH)}")
    known_keys(value, _MATCH, f"{where}: match")
    for name in ("query", "headers"):
        if not isinstance(value.get(name, {}), Mapping):
            raise ActionError("config", f"{where}: match.{name} is an object of names and values")
    expression = value.get("expression")
    text = None if expression is None else read_expression(expression, f"{where}: match.expression")
    return Match(text, value.get("query"), value.get("headers"), value.get("body"))
