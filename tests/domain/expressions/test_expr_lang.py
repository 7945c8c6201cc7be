"""Our evaluator against expr-lang itself: its answers as a table, and every difference with its reason.

The answers came from the Go package that the table names, which compiled and ran each expression over the table's names.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from domain.expressions import ExpressionError, Scope, evaluate

TABLE = json.loads((Path(__file__).parent / "expr_lang.json").read_text(encoding="utf-8"))
DIFFERENT: dict[str, str] = TABLE["differences"]


def ours(expression: str) -> dict[str, Any]:
    try:
        return {"value": evaluate(expression, Scope(TABLE["names"]))}
    except ExpressionError:
        return {"error": True}


def agree(one: dict[str, Any], other: dict[str, Any]) -> bool:
    if "error" in one or "error" in other:
        return one.keys() == other.keys()
    kinds = [isinstance(answer["value"], bool) for answer in (one, other)]
    return bool(one["value"] == other["value"]) and kinds[0] is kinds[1]


@pytest.mark.parametrize(("expression", "theirs"), TABLE["answers"], ids=lambda value: str(value)[:40])
def test_it_agrees_unless_a_reason_is_given(expression: str, theirs: dict[str, Any]) -> None:
    assert agree(ours(expression), theirs) is (expression not in DIFFERENT)


def test_every_difference_has_a_reason_and_is_in_the_table() -> None:
    assert set(DIFFERENT) <= {expression for expression, _ in TABLE["answers"]}
    assert all(len(reason) > 20 for reason in DIFFERENT.values())
    assert len(TABLE["answers"]) > 250
