"""What a step tells when it does not get what it wants: assertions before outputs, what `until` saw, what was on its way."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.local import Local, finished, flow, outcomes


@pytest.fixture
def local() -> Local:
    return Local()


async def tried(local: Local, step: str) -> dict[str, Any]:
    """The outcome of a flow of one step."""
    found: dict[str, Any] = outcomes(await local.run(flow(step)))["one"]
    return found


async def test_an_assertion_that_does_not_hold_is_told_although_an_output_is_missing(local: Local) -> None:
    step = "- {id: one, action: say, config: {message: no}, assert: [body == 'yes'], output: {id: body.id, all: body}}"
    events = await local.run(flow(step))
    found = outcomes(events)["one"]
    assert (found["verdict"], found["error"], finished(events).verdict) == ("failed", None, "failed")
    assert found["tries"][0]["assertions"][0]["actual"] == "no"
    assert found["outputs"] == {"all": "no"}
    lines = [line for event in events if hasattr(event, "lines") for line in event.lines]
    assert lines[-1]["level"] == "warning"
    assert lines[-1]["message"].startswith("output id: ")


async def test_a_missing_output_alone_is_an_error_where_it_is_written(local: Local) -> None:
    found = await tried(
        local, "- id: one\n  action: say\n  config: {message: hi}\n  assert: [body == 'hi']\n  output:\n    id: body.id"
    )
    assert (found["verdict"], found["error"]["kind"]) == ("error", "expression")
    assert (found["error"]["line"], found["error"]["column"]) == (9, 18)
    assert found["tries"][0]["assertions"][0]["passed"] is True


async def test_an_assertion_over_a_missing_output_is_not_its_cause(local: Local) -> None:
    found = await tried(local, "- {id: one, action: say, config: {message: hi}, assert: [found > 1], output: {found: body.id}}")
    assert found["verdict"] == "error"
    assert "body.id" in found["error"]["message"]


async def test_a_failed_assertion_is_tried_again_although_an_output_is_missing(local: Local) -> None:
    step = """- id: one
  action: say
  config: {message: hi}
  assert: [1 == 2]
  output: {id: body.id}
  retry: {max_attempts: 3, delay: 1ms, retry_on: [assertion]}"""
    assert len((await tried(local, step))["tries"]) == 3


async def test_until_says_how_often_it_looked_and_what_it_saw(local: Local) -> None:
    step = """- id: one
  action: say
  config: {message: {state: new}}
  until: {condition: body.state == 'done', interval: 10ms, timeout: 100ms}"""
    found = await tried(local, step)
    first, *more = found["error"]["message"].splitlines()
    assert first.startswith("until: body.state == 'done' was not true within 0.1 s (")
    assert first.endswith(" tries)")
    assert more == ["  body.state = 'new'"]
    assert (found["error"]["line"], found["error"]["column"]) == (7, 26)
    assert found["verdict"] == "failed"


async def test_until_reads_the_outputs_of_its_own_step(local: Local) -> None:
    step = """- id: one
  action: flaky
  config: {works_at: 1}
  output: {looked: attempts}
  until: {condition: looked >= 3, interval: 1ms, timeout: 2s}"""
    assert (await tried(local, step))["verdict"] == "passed"
    assert local.calls.attempts == 3


async def test_an_output_that_until_reads_and_that_is_missing_is_an_error_at_the_output(local: Local) -> None:
    step = """- {id: before, action: say, config: {message: {state: done}}, output: {state: body.state}}
- id: one
  action: say
  config: {message: {status: new}}
  output: {state: body.state}
  until: {condition: state == 'done', interval: 1ms, timeout: 2s}"""
    error = (await tried(local, step))["error"]
    assert error["message"] == 'there is no "state" in `body.state`'
    assert (error["line"], error["column"]) == (8, 28)


async def test_until_that_cannot_be_evaluated_is_an_error_at_its_condition(local: Local) -> None:
    step = """- id: one
  action: say
  config: {message: {state: new}}
  until:
    condition: body.stat == 'done'"""
    error = (await tried(local, step))["error"]
    assert error["message"].startswith('there is no "stat"')
    assert (error["line"], error["column"]) == (8, 25)


@pytest.mark.parametrize(("reason", "tries"), [("looked == 1", 2), ("looked == 7", 1), ("one.looked < 3", 3)])
async def test_retry_on_reads_the_outputs_of_its_own_step(local: Local, reason: str, tries: int) -> None:
    step = f"""- id: one
  action: flaky
  config: {{works_at: 1}}
  output: {{looked: attempts}}
  assert: [looked == 9]
  retry: {{max_attempts: 5, delay: 1ms, retry_on: ["{reason}"]}}"""
    assert len((await tried(local, step))["tries"]) == tries


async def test_a_step_that_is_stopped_while_it_waits_says_so(local: Local) -> None:
    step = "- {id: one, action: say, config: {message: 1}, until: {condition: body == 2, interval: 10ms, timeout: 20s}}"
    attempt = local.attempt(flow(step))
    running = asyncio.create_task(attempt.run())
    await asyncio.sleep(0.1)
    attempt.stop("cancelled")
    await running
    assert "until: body == 2 was not true until then (" in outcomes(local.events())["one"]["reason"]


async def test_the_time_limit_of_a_step_says_what_it_waited_for(local: Local) -> None:
    step = "- {id: one, action: say, timeout: 100ms, config: {message: 1}, until: {condition: body == 2, interval: 10ms}}"
    error = (await tried(local, step))["error"]
    assert error["kind"] == "timeout"
    assert "until: body == 2 was not true until then (" in error["message"]
