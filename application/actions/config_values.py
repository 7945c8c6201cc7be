"""Values of configs that several actions read in the same way: known keys, expressions, counts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from application.actions.partial import missing
from application.engine.action import ActionContext, ActionError
from domain.expressions import ExpressionError, parse
from domain.expressions.errors import Absent, did_you_mean


def known_keys(item: Mapping[str, Any], known: Collection[str], where: str) -> None:
    """ActionError `config` for a key that is not known, with what was meant."""
    for key in item:
        if key not in known:
            hint = did_you_mean(str(key), known) or f"it knows {', '.join(known)}"
            raise ActionError("config", f"{where} has no key {str(key)[:80]!r}", hint=hint)


def read_expression(value: Any, where: str) -> str:
    """An expression that can be parsed. ActionError `config` says why it cannot."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str) or not value.strip():
        raise ActionError("config", f"{where} must be an expression")
    try:
        parse(value)
    except ExpressionError as error:
        raise ActionError("config", f"{where}: {error.message} in `{value[:200]}`", hint=error.hint) from None
    return value


def is_mistake(error: ExpressionError) -> bool:
    """Whether a name is unknown, so that no request could make it right; a part that a request lacks is no mistake."""
    return isinstance(error, Absent) and error.root


def untrue(expression: str, evaluate: Callable[[str], Any]) -> str:
    """What an expression is, if it is not true."""
    value = evaluate(expression)
    return "" if value is True else f"{expression} is {value!r:.80}"


def read_count(value: Any, most: int) -> int:
    """How many messages or events are meant, 1 by default. ActionError `config` for no such number."""
    number = int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 10 else value
    number = 1 if number is None else number
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= most:
        raise ActionError("config", f"count must be a number from 1 to {most}")
    return number


def refusal(expect: Any, value: Any, names: Mapping[str, Any], context: ActionContext) -> str:
    """Why a value is not as expected, by an expression over the names, or a part of the value; empty when it is."""
    try:
        if isinstance(expect, str):
            return untrue(expect, lambda text: context.evaluate(text, names))
        return missing(context.render(expect, names), value)
    except ExpressionError as error:
        if is_mistake(error):
            raise
        return error.message
