"""Every row of the page on expressions has the value that it shows, and every function has a row."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from domain.expressions import Builtins, ExpressionError, Scope, evaluate
from domain.expressions.calls import EXTERNAL, FUNCTIONS, METHODS_ONLY
from tests.support.documentation import DOCS, blocks, read_value, tables

PAGE = DOCS / "expressions.md"
NAMES: dict[str, Any] = read_value(blocks(PAGE)[0].text)["env"]
EXAMPLES = list(tables(PAGE, "function", "gives", "example", "value"))
ROWS = [
    *((number, row["expression"], row["value"]) for number, row in tables(PAGE, "expression", "value")),
    *((number, row["example"], row["value"]) for number, row in EXAMPLES),
]
ERROR = "error: "


@pytest.mark.parametrize(("line", "expression", "shown"), ROWS, ids=lambda value: str(value))
def test_a_row_shows_the_value(line: int, expression: str, shown: str) -> None:
    scope = Scope(NAMES, builtins=Builtins("seed", 1, datetime.now(UTC), lambda: 0.0).at("here"))
    if shown.startswith(ERROR):
        with pytest.raises(ExpressionError) as raised:
            evaluate(expression, scope)
        assert raised.value.message == shown.removeprefix(ERROR)
    else:
        found, wanted = evaluate(expression, scope), read_value(shown)
        assert (type(found), found) == (type(wanted), wanted)


def test_there_are_rows() -> None:
    assert len(ROWS) > 100


def test_every_function_has_a_row_with_an_example_that_calls_it() -> None:
    assert {row["function"] for _, row in EXAMPLES} == FUNCTIONS.keys() - METHODS_ONLY - EXTERNAL.keys()
    assert [row["function"] for _, row in EXAMPLES if f"{row['function']}(" not in row["example"]] == []
