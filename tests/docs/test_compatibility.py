"""What the page on compatibility says is so: its tests exist, what it calls refused is refused, and its values hold."""

from __future__ import annotations

import ast
from datetime import UTC, datetime

import pytest

from application.actions.registry import ACTIONS
from application.flow_documents import read_flow
from domain.errors import InvalidFlow
from domain.expressions import Builtins, Scope, evaluate
from tests.support.documentation import DOCS, ROOT, as_flow, tables

PAGE = DOCS / "compatibility.md"
ACCEPTED = list(tables(PAGE, "construct", "there, as documented", "here", "test"))
REFUSED = list(tables(PAGE, "there", "what validate says"))
VALUES = list(tables(PAGE, "name", "there", "here", "holds"))


def test_the_tables_are_found() -> None:
    assert (len(ACCEPTED) > 60, len(REFUSED) > 0, len(VALUES) > 0) == (True, True, True)


@pytest.mark.parametrize("named", sorted({row["test"] for _, row in ACCEPTED}))
def test_a_test_that_is_named_exists(named: str) -> None:
    file, _, name = named.partition("::")
    tree = ast.parse((ROOT / file).read_text())
    known = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert name.startswith("test_")
    assert name in known, f"{file} has no test {name}: name the one that shows it now in {PAGE.name}"


@pytest.mark.parametrize(("line", "row"), REFUSED, ids=lambda value: str(value)[:60])
def test_what_is_not_there_yet_is_refused(line: int, row: dict[str, str]) -> None:
    with pytest.raises(InvalidFlow) as raised:
        read_flow(as_flow(row["there"]), actions=ACTIONS)
    assert row["what validate says"] in raised.value.message


@pytest.mark.parametrize(("line", "row"), VALUES, ids=lambda value: str(value)[:60])
def test_a_value_is_as_it_is_said(line: int, row: dict[str, str]) -> None:
    builtins = Builtins("seed", 1, datetime.now(UTC), lambda: 0.0).at("here")
    assert evaluate(row["holds"], Scope({"prices": [1, 2]}, {"time": 12.5}, builtins)) is True
