"""What else runs when a step fails: steps for an error, for a time-out, for the whole flow; and what they know."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.support.local import Local, finished, flow, outcomes


@pytest.fixture
def local() -> Local:
    return Local()


def say(id: str, text: str) -> str:
    return f"{{id: {id}, action: say, config: {{message: '{text}'}}}}"


async def test_steps_as_on_error_run_and_the_failure_stands(local: Local) -> None:
    events = await local.run(flow(f"- {{id: bad, action: fail, on_error: [{say('told', '${error.message}')}]}}"))
    assert finished(events).verdict == "failed"
    assert outcomes(events)["bad"]["verdict"] == "failed"
    assert outcomes(events)["bad/told"]["verdict"] == "passed"
    assert local.calls.seen == ["it does not hold"]


async def test_steps_for_a_time_out_run_before_the_error_steps_and_the_failure_stands(local: Local) -> None:
    text = flow(
        f"- {{id: slow, action: nap, config: {{seconds: 60}}, timeout: 20ms, on_timeout: [{say('late', '${error.kind}')}],"
        f" error_steps: [{say('told', 'error')}]}}"
    )
    events = await local.run(text)
    assert finished(events).verdict == "error"
    assert local.calls.seen == ["nap", "timeout", "error"]


async def test_steps_for_a_time_out_do_not_run_for_another_failure(local: Local) -> None:
    events = await local.run(flow(f"- {{id: bad, action: fail, on_timeout: [{say('late', 'late')}]}}"))
    assert set(outcomes(events)) == {"bad"}
    assert finished(events).verdict == "failed"


async def test_a_block_has_them_all(local: Local) -> None:
    block = f"{{action: continue, error_steps: [{say('told', 'error')}], on_timeout: [{say('late', 'late')}]}}"
    events = await local.run(flow(f"- {{id: slow, action: late, on_error: {block}}}\n- {say('next', 'next')}"))
    assert finished(events).verdict == "passed"
    assert outcomes(events)["slow"]["verdict"] == "tolerated"
    assert local.calls.seen == ["late", "error", "next"]


async def test_a_word_for_a_time_out_may_stand_beside_on_error(local: Local) -> None:
    events = await local.run(flow("- {id: slow, action: late, on_timeout: continue}\n- {id: bad, action: fail}"))
    assert [outcomes(events)[id]["verdict"] for id in ("slow", "bad")] == ["tolerated", "failed"]


async def test_error_steps_know_the_answer_of_the_step_that_failed(local: Local) -> None:
    steps = f"error_steps: [{say('told', '${response.body}')}]"
    await local.run(flow(f"- {{id: bad, action: say, config: {{message: hi}}, assert: [body == 'x'], {steps}}}"))
    assert local.calls.seen == ["hi", "hi"]


async def test_on_error_of_a_flow_runs_before_teardown_and_knows_the_step_that_failed(local: Local) -> None:
    text = flow(
        f"- {{id: bad, name: Pay, action: fail}}\n- {say('never', 'never')}",
        on_error=f"- {say('notify', '${failed_step.id} ${failed_step.name}: ${error.message}')}\n- {{id: also, action: fail}}\n"
        f"- {say('last', 'last')}",
        teardown=f"- {say('down', '${FLOW_STATUS}')}",
    )
    events = await local.run(text)
    assert finished(events).verdict == "failed"
    assert finished(events).message == "bad: it does not hold"
    assert list(outcomes(events)) == ["bad", "on_error/notify", "on_error/also", "on_error/last", "down"]
    assert local.calls.seen == ["bad Pay: it does not hold", "last", "failed"]


async def test_on_error_of_a_flow_runs_when_setup_failed(local: Local) -> None:
    text = flow(f"- {say('never', 'never')}", setup="- {id: bad, action: boom}", on_error=f"- {say('a', '${failed_step.id}')}")
    assert finished(await local.run(text)).verdict == "error"
    assert local.calls.seen == ["bad"]


async def test_on_error_of_a_flow_does_not_run_when_nothing_failed(local: Local) -> None:
    text = flow(
        f"- {{id: bad, action: fail, on_error: continue}}\n- {say('on', '${FLOW_STATUS}')}",
        on_error=f"- {say('no', 'no')}",
        teardown=f"- {say('down', '${FLOW_STATUS}')}",
    )
    assert finished(await local.run(text)).verdict == "passed"
    assert local.calls.seen == ["running", "passed"]


async def test_a_cancelled_flow_runs_its_teardown_and_not_its_on_error(local: Local) -> None:
    text = flow(
        "- {id: one, action: nap, config: {seconds: 60}}",
        on_error=f"- {say('no', 'no')}",
        teardown=f"- {say('down', '${FLOW_STATUS}')}",
    )
    attempt = local.attempt(text)
    task = asyncio.create_task(attempt.run())
    while "nap" not in local.calls.seen:
        await asyncio.sleep(0.001)
    attempt.stop("cancelled")
    await task
    assert local.calls.seen == ["nap", "failed"]


async def test_what_on_error_leaves_behind_is_known_to_teardown(local: Local) -> None:
    text = flow(
        "- {id: bad, action: fail}",
        on_error="- {id: note, action: say, config: {message: 5}, output: {number: body}}",
        teardown=f"- {say('down', '${number} ${note.body}')}",
    )
    await local.run(text)
    assert local.calls.seen == [5, "5 5"]


@pytest.mark.parametrize(("on_error", "verdict"), [("continue", "tolerated"), ("fail", "error")])
async def test_a_condition_that_cannot_be_evaluated_fails_the_step_and_may_be_tolerated(
    local: Local, on_error: str, verdict: str
) -> None:
    events = await local.run(flow(f"- {{id: one, action: boom, when: nobody.knows > 1, on_error: {on_error}}}"))
    assert outcomes(events)["one"]["verdict"] == verdict
    assert outcomes(events)["one"]["error"]["kind"] == "expression"
    assert finished(events).verdict == ("passed" if verdict == "tolerated" else "error")


@pytest.mark.parametrize(
    ("retry", "attempts"),
    [("{max_attempts: 3, delay: 0}", 3), ("{enabled: true, max_attempts: 3, delay: 0}", 3), ("{enabled: false}", 1)],
)
async def test_a_retry_block_that_is_off_is_none_whatever_the_flow_says(local: Local, retry: str, attempts: int) -> None:
    text = flow(
        f"- {{id: one, action: flaky, config: {{works_at: 9}}, retry: {retry}}}", config="retry: {max_attempts: 2, delay: 0}"
    )
    await local.run(text)
    assert local.calls.attempts == attempts


async def test_assertions_in_the_config_count_like_those_beside_it(local: Local) -> None:
    step = "{id: one, action: say, config: {message: 1, assert: [body == 1, body == 2]}, assert: [body == 3]}"
    events = await local.run(flow(f"- {step}"))
    assert _checks(events) == [("body == 3", False), ("body == 1", True), ("body == 2", False)]
    assert outcomes(events)["one"]["verdict"] == "failed"
    assert outcomes(events)["one"]["tries"][0]["assertions"][2]["line"] == 4


def _checks(events: list[Any]) -> list[tuple[str, bool]]:
    return [(check["expression"], check["passed"]) for check in outcomes(events)["one"]["tries"][0]["assertions"]]


async def test_outputs_may_read_the_error_of_the_step_which_is_null_when_there_is_none(local: Local) -> None:
    output = "output: {seen: result.seen, why: error.message, kind: error.kind}"
    text = flow(
        f"- {{id: bad, action: fail, on_error: continue, {output}}}\n- {say('a', '${bad.seen} ${bad.why} ${kind}')}\n"
        f"- {{id: good, action: say, config: {{message: hi}}, output: {{why: error.message}}, assert: [error not exists]}}\n"
        f"- {say('b', '${why is null}')}"
    )
    assert finished(await local.run(text)).verdict == "passed"
    assert local.calls.seen == ["1 it does not hold failed", "hi", True]


async def test_outputs_of_error_steps_read_the_error_that_they_deal_with(local: Local) -> None:
    step = "{id: told, action: say, config: {message: x}, output: {why: error.message}}"
    events = await local.run(flow(f"- {{id: bad, action: fail, error_steps: [{step}]}}"))
    assert outcomes(events)["bad/told"]["outputs"] == {"why": "it does not hold"}
