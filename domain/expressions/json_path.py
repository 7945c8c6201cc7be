"""JSONPath by RFC 9535: queries that may select several values, with patterns that cannot hang."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from domain.expressions.errors import Fault
from domain.limits import LIMITS


def check_query(query: str, offset: int, text: str) -> None:
    """ExpressionError if the query is not JSONPath."""
    try:
        compiled(query)
    except Fault as fault:
        raise fault.at(offset, text) from None


@lru_cache(maxsize=512)
def compiled(query: str) -> Any:
    """The compiled query. Fault of kind syntax if it is none."""
    from jsonpath_rfc9535 import JSONPathEnvironment, JSONPathError  # loaded only when a query is used

    environment = JSONPathEnvironment()
    for name in ("match", "search"):
        environment.function_extensions[name] = _pattern_function(name)
    try:
        return environment.compile(query)
    except (JSONPathError, RecursionError) as error:
        raise Fault("syntax", f"not a valid JSONPath: {str(error)[:200]}", "see RFC 9535") from None


def select(query: str, root: Any) -> list[Any]:
    """All values that the query selects, in document order."""
    try:
        found = [node.value for node in compiled(query).finditer(root)]
    except RecursionError:
        raise Fault("limit", "the value is nested too deeply for this JSONPath") from None
    if len(found) > LIMITS.expression_steps:
        raise Fault("limit", "the JSONPath selects too many values")
    return found


def _pattern_function(name: str) -> Any:
    """match() and search() over RE2 instead of a pattern engine that can hang."""
    from jsonpath_rfc9535.function_extensions import ExpressionType, FilterFunction

    from domain.expressions.operators import pattern

    class Patterns(FilterFunction):
        arg_types = [ExpressionType.VALUE, ExpressionType.VALUE]
        return_type = ExpressionType.LOGICAL

        def __call__(self, value: object, expression: object) -> bool:
            if not isinstance(value, str) or not isinstance(expression, str):
                return False
            try:
                compiled_pattern = pattern(expression)
            except Fault:
                return False
            return (compiled_pattern.fullmatch if name == "match" else compiled_pattern.search)(value) is not None

    return Patterns()
