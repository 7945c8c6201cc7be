"""The action `assert`, alone and in the engine."""

from __future__ import annotations

from typing import Any

import pytest

from application.actions.assertion import ASSERT
from application.engine.action import ActionFailed
from tests.support.action_context import Bench
from tests.support.local import Local, finished, flow, outcomes

NAMES = {"total": 25, "order": {"id": 7, "items": ["a", "b"]}, "state": "open"}


async def failure(*assertions: Any, **config: Any) -> str:
    with pytest.raises(ActionFailed) as failed:
        await Bench(names=NAMES).run(ASSERT, {"assertions": list(assertions), **config})
    assert failed.value.result == {"passed": False, "checked": len(assertions)}
    return failed.value.message


async def test_assertions_that_hold_are_counted() -> None:
    assertions = ["total == 25", {"expression": "order.items contains 'a'"}, {"that": "limit > total"}, True]

    result = await Bench(names=NAMES).run(ASSERT, {"assertions": assertions, "data": {"limit": 30}})

    assert result == {"passed": True, "checked": 4}


async def test_every_failure_is_told_with_its_values() -> None:
    message = await failure("total == 30", "state == 'open'", "order.id > 7 || state == 'shut'")

    assert message == (
        "2 of 3 assertions do not hold\n"
        "- total == 30\n"
        "    expected 30, got 25\n"
        "    total = 25\n"
        "- order.id > 7 || state == 'shut'\n"
        "    order.id = 7\n"
        "    state = 'open'"
    )


async def test_the_author_s_message_comes_first_and_its_templates_are_resolved() -> None:
    check = {"expression": "total == 30", "message": "order ${order.id} adds up to {{total}}"}

    assert "- order 7 adds up to 25: total == 30\n" in await failure(check)
    assert "- ${nobody}: total == 30\n" in await failure({"expression": "total == 30", "message": "${nobody}"})


async def test_a_long_value_is_shortened() -> None:
    assert len(await failure("text == 'x'", data={"text": "y" * 10_000})) < 600


async def test_what_cannot_be_evaluated_or_is_no_truth_fails() -> None:
    message = await failure("totl == 25", "total", "total ==")

    assert "totl" in message
    assert "it must be true or false, and is 25" in message
    assert "3 of 3" in message


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"assertions": []}, "empty"),
        ({"assertions": [7]}, "assertion 1 must be an expression"),
        ({"assertions": ["true", {"message": "x"}]}, "assertion 2 must be an expression"),
        ({"assertions": [{"expression": "true", "mesage": "x"}]}, "no key 'mesage'"),
        ({"assertions": ["true"], "data": [1]}, "data must be an object"),
    ],
)
async def test_a_config_that_cannot_be_carried_out_is_told(config: dict[str, Any], message: str) -> None:
    error = await Bench(names=NAMES).error(ASSERT, config)

    assert error.kind == "config"
    assert message in error.message


async def test_the_engine_leaves_expressions_to_the_action_and_resolves_data() -> None:
    local = Local(actions={"assert": ASSERT})
    steps = """
- id: good
  action: assert
  config:
    assertions: ["limit > total", "'${word}' == word", "${limit} == 30"]
    data: {limit: "${total + 5}"}
- id: bad
  action: assert
  config: {assertions: ["word == '${total} pieces'"]}
"""
    events = await local.run(flow(steps, env="total: 25\nword: it's {{ '{{' }} here"))

    good, bad = outcomes(events)["good"], outcomes(events)["bad"]
    assert good["result"] == {"passed": True, "checked": 3}
    assert bad["verdict"] == "failed"
    assert "expected '25 pieces', got \"it's {{ here\"" in bad["tries"][0]["error"]["message"]
    assert finished(events).verdict == "failed"


async def test_a_failure_stands_where_the_first_assertion_that_does_not_hold_is_written() -> None:
    step = """- id: one
  action: assert
  config:
    assertions:
      - 1 == 1
      - {message: no, expression: 1 == 2}
      - 1 == 3"""
    error = outcomes(await Local(actions={"assert": ASSERT}).run(flow(step)))["one"]["error"]
    assert (error["line"], error["column"]) == (9, 39)
