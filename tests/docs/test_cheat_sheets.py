"""Our side of the guides for users of other tools: pieces of flows are valid, expressions can be read."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from application.actions.registry import ACTIONS, all_actions
from application.documents.grammar import FLOW, STEP
from application.flow_documents import read_flow
from domain.expressions import parse, template_errors
from tests.support.documentation import DOCS, as_flow, tables

_CODE = re.compile(r"`([^`]+)`")
CONFIG_KEYS = {key for action in all_actions() for key in action.keys}
SPANS = [
    (page.stem, number, span)
    for page in sorted((DOCS / "coming-from").glob("*.md"))
    for number, row in tables(page, page.stem, "here", bare=False)
    for span in _CODE.findall(row["here"])
]


def _value(span: str) -> Any:
    try:
        return yaml.safe_load(span)
    except yaml.YAMLError:
        return None


@pytest.mark.parametrize(("page", "line", "span"), SPANS)
def test_a_piece_of_code_is_ours(page: str, line: int, span: str) -> None:
    if span.startswith(("testmesh ", "-")):
        return  # looked at with the commands
    value = _value(span)
    if isinstance(value, dict) and (value.keys() <= FLOW.keys.keys() or value.keys() <= STEP.keys.keys()):
        read_flow(as_flow(span), actions=ACTIONS)
    elif isinstance(value, dict) and "{{" not in span:
        assert value.keys() <= CONFIG_KEYS
    elif "{{" in span or "${" in span:
        assert template_errors(span) == []
    else:
        _read(span)


def _read(span: str) -> None:
    """An expression, or one whose left side is left out."""
    begins = re.match(r"(contains|matches|is|exists)\b", span)
    parse(f"x {span}" if begins else span)


def test_there_are_many() -> None:
    assert len(SPANS) > 80
