"""Assertions of a step: all of them evaluated, every failure explained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from domain.definition import Assertion, FlowDefinition, Step
from domain.expressions import Explanation, ExpressionError, Scope, evaluate, explain, render
from domain.outcome import AssertionOutcome

Mask = Callable[[Any], Any]


def check(step: Step, definition: FlowDefinition, scope: Scope, mask: Mask) -> tuple[AssertionOutcome, ...]:
    """Outcomes of `assert`, `assert_any` (at least one) and `assert_none` (not one), in the order of the document."""
    outcomes = [_outcome(assertion, definition, scope, mask) for assertion in step.asserts]
    if step.assert_any:
        outcomes.extend(_any(step.assert_any, definition, scope, mask))
    if step.assert_none:
        outcomes.extend(_none(assertion, definition, scope, mask) for assertion in step.assert_none)
    return tuple(outcomes)


def _outcome(assertion: Assertion, definition: FlowDefinition, scope: Scope, mask: Mask) -> AssertionOutcome:
    try:
        value = evaluate(assertion.expression, scope)
    except ExpressionError as error:
        return _failed(assertion, definition, scope, mask, error)
    if value is True:
        return AssertionOutcome(assertion.expression, True)
    return _failed(assertion, definition, scope, mask, None if value is False else _not_a_truth(assertion, value))


def _not_a_truth(assertion: Assertion, value: Any) -> ExpressionError:
    return ExpressionError(
        f"an assertion must be true or false, this one is {value!r:.100}", 0, assertion.expression, kind="type"
    )


def _failed(
    assertion: Assertion, definition: FlowDefinition, scope: Scope, mask: Mask, error: ExpressionError | None
) -> AssertionOutcome:
    from application.flow_documents import place_in

    try:
        found: Explanation | None = explain(assertion.expression, scope)
    except ExpressionError as explaining:
        found, error = None, error or explaining
    offset = error.offset if error else 0
    place = place_in(definition, assertion.path, assertion.expression, offset)
    expected = found.expected if found and found.expected is not Explanation.MISSING else None
    actual = found.actual if found and found.actual is not Explanation.MISSING else None
    operator = found.operator if found else ""
    return AssertionOutcome(
        assertion.expression,
        False,
        message=_message(assertion, scope, mask),
        error=mask(str(error)) if error else None,
        line=place.line,
        column=place.column,
        offset=offset,
        expected=mask(expected),
        actual=mask(actual),
        operator=operator,
        values=tuple((text, mask(value)) for text, value in found.values) if found else (),
        diff=(*_diff(expected, actual, mask, operator), *(mask(note) for note in (found.notes if found else ()))),
    )


def _message(assertion: Assertion, scope: Scope, mask: Mask) -> str | None:
    if assertion.message is None:
        return None
    try:
        return str(mask(render(assertion.message, scope)))
    except ExpressionError:
        return assertion.message


def _any(assertions: Sequence[Assertion], definition: FlowDefinition, scope: Scope, mask: Mask) -> list[AssertionOutcome]:
    outcomes = [_outcome(assertion, definition, scope, mask) for assertion in assertions]
    passed = [outcome for outcome in outcomes if outcome.passed]
    return passed[:1] or outcomes


def _none(assertion: Assertion, definition: FlowDefinition, scope: Scope, mask: Mask) -> AssertionOutcome:
    outcome = _outcome(assertion, definition, scope, mask)
    if outcome.error is not None:
        return outcome
    if not outcome.passed:
        return AssertionOutcome(assertion.expression, True)
    failed = _failed(assertion, definition, scope, mask, None)
    note = f"must not hold: {failed.message}" if failed.message else "must not hold"
    return AssertionOutcome(assertion.expression, False, note, line=failed.line, column=failed.column, values=failed.values)


def _diff(expected: Any, actual: Any, mask: Mask, operator: str) -> tuple[str, ...]:
    """Where two lists or objects differ, path by path; what may be there beside a part is no difference."""
    if not isinstance(expected, dict | list) or type(expected) is not type(actual):
        return ()
    if operator not in ("", "==", "contains") or (operator == "contains" and isinstance(expected, list)):
        return ()
    return differences(mask(expected), mask(actual), more=operator == "contains")


def differences(expected: Any, actual: Any, limit: int = 20, *, more: bool = False) -> tuple[str, ...]:
    """Where two values differ, path by path; nothing when they are equal. With `more`, objects may have more fields."""
    lines: list[str] = []
    _walk("$", expected, actual, lines, limit, more)
    return tuple(lines[:limit])


def _walk(path: str, expected: Any, actual: Any, lines: list[str], limit: int, more: bool) -> None:
    if len(lines) > limit or expected == actual:
        return
    if isinstance(expected, dict) and isinstance(actual, dict):
        for key in [*expected, *(key for key in actual if key not in expected)]:
            if key not in actual:
                lines.append(f"{path}.{key}: missing, expected {expected[key]!r:.80}")
            elif key not in expected and more:
                continue
            elif key not in expected:
                lines.append(f"{path}.{key}: unexpected {actual[key]!r:.80}")
            else:
                _walk(f"{path}.{key}", expected[key], actual[key], lines, limit, more)
    elif isinstance(expected, list) and isinstance(actual, list):
        for index in range(max(len(expected), len(actual))):
            if index >= len(actual):
                lines.append(f"{path}[{index}]: missing, expected {expected[index]!r:.80}")
            elif index >= len(expected):
                lines.append(f"{path}[{index}]: unexpected {actual[index]!r:.80}")
            else:
                _walk(f"{path}[{index}]", expected[index], actual[index], lines, limit, more)
    else:
        lines.append(f"{path}: expected {expected!r:.80}, got {actual!r:.80}")
