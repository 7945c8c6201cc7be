"""Translated tests against what newman said of the same scripts and bodies: `fixtures/newman_verdicts.json`, recorded by it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from application.importing.postman_scripts import ScriptReader
from domain.expressions import ExpressionError, Scope, evaluate

RECORDED = json.loads((Path(__file__).parent / "fixtures" / "newman_verdicts.json").read_text())
BODIES: list[Any] = RECORDED["bodies"]
VERDICTS: dict[str, str] = RECORDED["verdicts"]
LENIENT = ("length", "to.include('a')", "to.contain('b')", ".includes('a')", "include('z')")
"""Where an object comes in place of a list, `len` counts its keys and `contains` looks among them, which chai refuses."""


def said(expressions: list[str], body: Any) -> str:
    """`+` passes, `-` fails, `!` cannot be evaluated."""
    text = json.dumps(body)
    names = {"body": body, "text": text, "status": 200, "time": 5, "size": len(text), "cookies": {}}
    scope = Scope({**names, "headers": {"Content-Type": "application/json"}}, names)
    try:
        return "+" if all([evaluate(expression, scope) is True for expression in expressions]) else "-"
    except ExpressionError:
        return "!"


def translated(script: str) -> list[str] | None:
    """The expressions of a script; None when a part of it is left."""
    found = ScriptReader(lambda name: name).read(f"pm.test('t', () => {{ {script} }});")
    assert bool(found.left) or found.checks, "neither translated nor left"
    return None if found.left else [check.expression for check in found.checks]


@pytest.mark.parametrize("script", VERDICTS)
def test_a_translation_passes_where_newman_passes_and_fails_where_it_fails(script: str) -> None:
    expressions = translated(script)
    if expressions is None:
        return
    for body, verdict in zip(BODIES, VERDICTS[script], strict=True):
        ours = said(expressions, body)
        if ours == "!":
            continue  # the step fails and says what is missing, also where JavaScript goes on with `undefined`
        lenient = verdict == "-" and any(part in script for part in LENIENT)
        assert ours == verdict or lenient, (expressions, body)


@pytest.mark.parametrize("script", VERDICTS)
def test_a_translation_can_be_evaluated_unless_it_denies_something_of_a_part_that_is_not_there(script: str) -> None:
    expressions = translated(script)
    if expressions is not None and VERDICTS[script][0] == "+" and said(expressions, BODIES[0]) == "!":
        assert re.search(r"missing|gone|items\.id", script)
        assert re.search(r"\bnot\.|\.false\b", script)


def test_most_is_translated() -> None:
    left = [script for script in VERDICTS if translated(script) is None]
    assert len(left) < len(VERDICTS) / 12, left


@pytest.mark.parametrize(
    "script",
    [
        "pm.expect(pm.response.json().items.find(i => i.id === 9)).to.be.null",
        "pm.expect(pm.response.json().tags).to.equal(['a','b'])",
        "pm.expect(pm.response.json().name).to.be.string",
        "pm.expect(pm.response.json().id + 1 === 8).to.be.true",
        "let ok = true; pm.response.json().items.forEach(i => { if (i.p > 2) ok = false; }); pm.expect(ok).to.be.true",
        "pm.response.to.have.jsonSchema({properties:{name:{format:'int32'}}})",
        "pm.expect(pm.response.json().name).to.match(/^A(?=d)/)",
    ],
)
def test_what_would_mean_something_else_is_left(script: str) -> None:
    assert translated(script) is None
