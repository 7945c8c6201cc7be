"""Excerpts fit an event whatever was recorded, and keep the shape that readers rely on."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.excerpts import fit, fit_outcome, fits, plain, plain_outcome
from domain.outcome import AssertionOutcome, StepError, StepOutcome, Try
from interfaces.cli.reports.failure import failure_text
from interfaces.cli.reports.model import Execution, Step

BIG = "x" * 100_000


def check(number: int, passed: bool = True, value: Any = 1) -> dict[str, Any]:
    return {
        "expression": f"body[{number}] == 5",
        "passed": passed,
        "message": None,
        "error": None,
        "line": 1,
        "column": 1,
        "offset": 0,
        "expected": 5,
        "actual": value,
        "values": [[f"body[{number}]", value], ["body", [value] * 3]],
        "diff": [],
    }


def outcome(checks: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    made = {"number": 1, "verdict": "failed", "duration_ms": 1.0, "error": None, "assertions": checks}
    rest = {"outputs": {}, "result": None, "error": None, "reason": None, "exchange": None, "file": None}
    return {"verdict": "failed", "duration_ms": 1.0, "tries": [made], **rest, **more}


def test_what_fits_is_left_as_it_is() -> None:
    record = outcome([check(1)])
    assert fit_outcome(record) == record


@pytest.mark.parametrize("value", [BIG, [BIG] * 100, {"a": {"b": {"c": {"d": {"e": {"f": BIG}}}}}}])
def test_values_are_cut_and_stay_pairs(value: Any) -> None:
    record = fit_outcome(outcome([check(1, False, value)], result={"body": value}))
    assert fits(record)
    (kept,) = record["tries"][0]["assertions"]
    assert [len(pair) for pair in kept["values"]] == [2, 2]


def test_of_too_many_assertions_the_failed_ones_stay_and_the_rest_is_counted() -> None:
    checks = [check(number, passed=number != 777) for number in range(1000)]
    made = fit_outcome(outcome(checks))["tries"][0]
    assert "body[777] == 5" in [kept["expression"] for kept in made["assertions"]]
    assert len(made["assertions"]) + made["left_out"] == 1000
    step = Step("s", "steps", 1, "s", "say", 1, "failed", 1.0, fit_outcome(outcome(checks)))
    text = failure_text(Execution("id", "name", "f.yaml"), step, {})
    assert "assertion failed: body[777] == 5" in text
    assert f"{made['left_out']} more assertions are not in the record" in text


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=3000),
    lambda inner: st.lists(inner, max_size=30) | st.dictionaries(st.text(max_size=20), inner, max_size=30),
    max_leaves=60,
)


@given(values=st.lists(anything, max_size=60), result=anything)
def test_whatever_it_was_it_fits_and_can_be_shown(values: list[Any], result: Any) -> None:
    record = fit_outcome(outcome([check(n, False, value) for n, value in enumerate(values)], result=result))
    assert fits(record)
    orjson.dumps(record)
    failure_text(Execution("id"), Step("s", "steps", 1, "s", "say", 1, "failed", 1.0, record), {})
    assert fits(fit({"one": values, "two": result}))


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ({"a": [1, 2.5, None, True, "ü"], "b": {}}, {"a": [1, 2.5, None, True, "ü"], "b": {}}),
        ({"a": float("nan"), "b": [float("-inf"), None]}, {"a": "nan", "b": ["-inf", None]}),
        ([2**64 - 1, -(2**63), 2**64, 10**30], [2**64 - 1, -(2**63), str(2**64), str(10**30)]),
        (("x\x00y", "\ud800", "\\u0000"), ["x\ufffdy", "?", "\\u0000"]),
        ({1: {2: "x"}, "\x00": b"\xff"}, {"1": {"2": "x"}, "\ufffd": "\ufffd"}),
        ({"at": datetime(2026, 1, 2, tzinfo=UTC), "step": {3}}, {"at": "2026-01-02 00:00:00+00:00", "step": [3]}),
    ],
)
def test_a_value_becomes_what_every_store_keeps(value: Any, kept: Any) -> None:
    assert plain(value) == kept
    assert orjson.loads(orjson.dumps(plain(value))) == kept


def test_a_plain_value_is_a_copy() -> None:
    value = {"a": [1]}
    copy = plain(value)
    value["a"].append(2)
    assert copy == {"a": [1]}


def test_an_outcome_is_recorded_by_field() -> None:
    checks = (AssertionOutcome("a == b", False, expected=float("inf"), values=(("a", "\x00"),)),)
    tried = StepOutcome("failed", 1.0, (Try(1, "failed", 1.0, StepError("dns", "m"), checks),), {"n": 10**30}, [None])
    assert plain_outcome(tried) == {
        **outcome([]),
        "outputs": {"n": str(10**30)},
        "result": [None],
        "tries": [
            {
                "number": 1,
                "verdict": "failed",
                "duration_ms": 1.0,
                "error": {"kind": "dns", "message": "m", "hint": None, "line": None, "column": None, "excerpt": None},
                "assertions": [
                    {
                        "expression": "a == b",
                        "passed": False,
                        "message": None,
                        "error": None,
                        "line": 0,
                        "column": 0,
                        "offset": 0,
                        "expected": "inf",
                        "actual": None,
                        "operator": "",
                        "values": [["a", "\ufffd"]],
                        "diff": [],
                    }
                ],
            }
        ],
    }
    assert list(plain_outcome(tried)) == [one.name for one in fields(StepOutcome)]
