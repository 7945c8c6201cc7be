"""The action `assert`: checks over everything that is known, and all that do not hold are told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from application.engine.action import Action, ActionContext, ActionError, ActionFailed, Key
from domain.expressions import Explanation, ExpressionError, Scope, explain, parse, render, template_names
from domain.values import dataclass

_LONGEST = 200


async def run(config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
    """Evaluate every assertion; ActionFailed tells each that does not hold, with the values of its parts."""
    data = config.get("data") or {}
    if not isinstance(data, Mapping):
        raise ActionError("config", "data must be an object of names and values")
    checks = list(_checks(config["assertions"]))
    told = {number: _Checking(check, data, context).failure() for number, check in enumerate(checks)}
    failures = {number: why for number, why in told.items() if why is not None}
    if failures:
        title = f"{len(failures)} of {len(checks)} assertions do not hold"
        result = {"passed": False, "checked": len(checks)}
        first = checks[min(failures)].place
        raise ActionFailed("\n".join((title, *failures.values())), result=result, place=("assertions", *first))
    return {"passed": True, "checked": len(checks)}


@dataclass(frozen=True, slots=True)
class _Check:
    expression: str
    place: tuple[str | int, ...]
    """Where it stands below `assertions`."""
    message: str | None = None


def _checks(given: Any) -> Iterator[_Check]:
    items = given if isinstance(given, list | tuple) else [given]
    if not items:
        raise ActionError("config", "assertions is empty, and an assert without any would always pass")
    for number, item in enumerate(items, 1):
        if isinstance(item, Mapping):
            yield _from_object(item, number)
        else:
            yield _Check(_expression(item, number), (number - 1,))


def _from_object(item: Mapping[str, Any], number: int) -> _Check:
    if unknown := sorted(map(str, item.keys() - {"expression", "that", "message"})):
        raise ActionError("config", f"assertion {number} has no key {unknown[0]!r}: it has expression and message")
    message = item.get("message")
    key = "expression" if "expression" in item else "that"
    return _Check(_expression(item.get(key), number), (number - 1, key), None if message is None else str(message))


def _expression(value: Any, number: int) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str) or not value.strip():
        raise ActionError("config", f"assertion {number} must be an expression, or an object with expression and message")
    return value


class _Checking:
    """One check with the names that it may use."""

    def __init__(self, check: _Check, data: Mapping[str, Any], context: ActionContext) -> None:
        self._check = check
        self._data = data
        self._context = context

    def failure(self) -> str | None:
        """Why it does not hold; None when it holds."""
        try:
            value = self._context.evaluate(self._check.expression, self._data)
        except ExpressionError as error:
            return self._told(str(error))
        if value is True:
            return None
        return self._told(None if value is False else f"it must be true or false, and is {_shown(value)}")

    def _told(self, error: str | None) -> str:
        lines = [f"- {self._message()}{self._check.expression}"]
        if error is not None:
            return "\n".join((*lines, f"    {error}"))
        found = self._explained()
        if found.expected is not Explanation.MISSING and found.actual is not Explanation.MISSING:
            how = "" if found.operator in ("", "==") else f"{found.operator} "
            lines.append(f"    expected {how}{_shown(found.expected)}, got {_shown(found.actual)}")
        lines.extend(f"    {text} = {_shown(value)}" for text, value in found.values)
        lines.extend(f"    {note}" for note in found.notes)
        return "\n".join(lines)

    def _explained(self) -> Explanation:
        expression = self._check.expression
        return explain(expression, self._scope(parse(expression).names()))

    def _message(self) -> str:
        message = self._check.message
        if message is None:
            return ""
        try:
            return f"{render(message, self._scope(template_names(message)))}: "
        except ExpressionError:
            return f"{message}: "

    def _scope(self, names: frozenset[str]) -> Scope:
        """The values that the names have now."""
        values: dict[str, Any] = {}
        for name in names:
            try:
                values[name] = self._context.evaluate(name, self._data)
            except ExpressionError:
                continue
        return Scope(values)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


ASSERT = Action(
    name="assert",
    description="Checks expressions over variables, outputs and results of earlier steps.",
    keys={
        "assertions": Key(
            ("assertions",),
            required=True,
            description="Expressions, or objects with an expression and a message for its failure.",
        ),
        "data": Key(("object",), description="More names for the expressions."),
    },
    run=run,
    result={"passed": "True; a failed assertion fails the step.", "checked": "How many assertions there were."},
    unresolved=("assertions",),
)
