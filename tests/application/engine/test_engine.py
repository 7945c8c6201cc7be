"""The engine through its attempts: phases, verdicts, retry, waiting, time limits, cancel; seen in the recorded events."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from application.attempts import Attempt
from domain.execution import Execution
from tests.support.local import BY, Local, finished, flow, outcomes, topics


@pytest.fixture
def local() -> Local:
    return Local()


async def test_a_passing_flow_leaves_the_events_of_each_step(local: Local) -> None:
    events = await local.run(flow("- {id: one, action: say, config: {message: hello}, assert: [body == 'hello']}"))
    assert topics(events) == [
        "requested",
        "attempt_started",
        "step_started",
        "log_written",
        "step_finished",
        "finished",
    ]
    assert finished(events).verdict == "passed"
    assert outcomes(events)["one"]["tries"][0]["assertions"][0]["passed"] is True


async def test_a_failed_assertion_says_where_and_what(local: Local) -> None:
    events = await local.run(flow("- {id: one, action: say, config: {message: 1}, assert: ['body == 2', 'body > 5']}"))
    assert finished(events).verdict == "failed"
    first, second = outcomes(events)["one"]["tries"][0]["assertions"]
    assert (first["expected"], first["actual"], first["line"]) == (2, 1, 4)
    assert second["passed"] is False


async def test_teardown_runs_after_a_failed_step_and_does_not_hide_it(local: Local) -> None:
    text = flow(
        "- {id: bad, action: fail}\n- {id: never, action: say, config: {message: no}}",
        teardown="- {id: clean, action: boom}\n- {id: last, action: say, config: {message: bye}}",
    )
    events = await local.run(text)
    assert finished(events).verdict == "failed"
    assert set(outcomes(events)) == {"bad", "clean", "last"}
    assert outcomes(events)["clean"]["error"]["kind"] == "internal"
    assert "teardown_finished" in topics(events)
    assert local.calls.seen == ["bye"]


async def test_a_failing_teardown_of_a_passed_flow_is_not_a_pass(local: Local) -> None:
    text = flow("- {action: say, config: {message: x}}", teardown="- {id: clean, action: fail}")
    assert finished(await local.run(text)).verdict == "failed"


async def test_a_failed_setup_skips_the_steps_but_not_teardown(local: Local) -> None:
    text = flow(
        "- {id: never, action: say, config: {message: no}}",
        setup="- {id: up, action: fail}",
        teardown="- {id: down, action: say, config: {message: down}}",
    )
    assert finished(await local.run(text)).verdict == "failed"
    assert local.calls.seen == ["down"]


async def test_outputs_and_whole_results_are_known_to_later_steps(local: Local) -> None:
    text = flow(
        "- {id: one, action: say, config: {message: {id: 7}}, output: {number: $.id}}\n"
        "- {id: two, action: say, config: {message: '${one.number}-{{number}}-${one.body.id}'}, assert: [\"body == '7-7-7'\"]}"
    )
    assert finished(await local.run(text)).verdict == "passed"


async def test_an_undefined_name_is_an_error_of_its_step(local: Local) -> None:
    events = await local.run(flow("- {id: one, action: say, config: {message: '${later}'}}"))
    assert finished(events).verdict == "error"
    assert outcomes(events)["one"]["error"]["kind"] == "expression"


async def test_a_pass_on_a_later_try_is_said(local: Local) -> None:
    events = await local.run(
        flow("- {id: one, action: flaky, config: {works_at: 3}, retry: {max_attempts: 5, delay: 1ms}}"),
    )
    assert finished(events).verdict == "passed_on_retry"
    assert [made["verdict"] for made in outcomes(events)["one"]["tries"]] == ["error", "error", "passed"]


async def test_retry_stops_where_the_policy_says(local: Local) -> None:
    text = flow("- {id: one, action: flaky, config: {works_at: 3}, retry: {max_attempts: 5, delay: 1ms, retry_on: [timeout]}}")
    assert finished(await local.run(text)).verdict == "error"
    assert local.calls.attempts == 1


async def test_until_waits_without_being_a_retry(local: Local) -> None:
    step = "- {id: one, action: flaky, config: {works_at: 1}, until: {condition: attempts >= 3, interval: 1ms, timeout: 2s}}"
    events = await local.run(flow(step))
    assert finished(events).verdict == "passed"
    assert local.calls.attempts == 3


async def test_a_condition_skips_and_one_that_cannot_be_evaluated_is_an_error(local: Local) -> None:
    events = await local.run(flow("- {id: no, when: 1 > 2, action: boom}\n- {id: bad, when: nothing.here, action: boom}"))
    assert outcomes(events)["no"]["verdict"] == "skipped"
    assert outcomes(events)["bad"]["verdict"] == "error"


async def test_on_error_continue_tolerates_and_runs_its_error_steps(local: Local) -> None:
    text = flow(
        "- id: bad\n  action: fail\n  on_error:\n    action: continue\n"
        "    error_steps:\n      - {id: note, action: say, config: {message: '${error.kind}: ${error.message}'}}\n"
        "- {id: next, action: say, config: {message: went on}}"
    )
    events = await local.run(text)
    assert finished(events).verdict == "passed"
    assert outcomes(events)["bad"]["verdict"] == "tolerated"
    assert local.calls.seen == ["failed: it does not hold", "went on"]


async def test_a_hung_step_ends_at_its_timeout(local: Local) -> None:
    events = await local.run(flow("- {id: one, action: nap, config: {seconds: 60}, timeout: 20ms}"))
    assert finished(events).verdict == "error"
    assert outcomes(events)["one"]["error"]["kind"] == "timeout"


async def test_a_time_limit_that_an_action_ran_into_by_itself_is_an_error_of_its_step(local: Local) -> None:
    events = await local.run(flow("- {id: one, action: late}"))
    assert outcomes(events)["one"]["error"]["kind"] == "timeout"
    assert outcomes(events)["one"]["error"]["line"] == 4
    assert finished(events).verdict == "error"


async def test_the_flow_has_a_time_limit_and_still_tears_down(local: Local) -> None:
    text = flow(
        "- {id: one, action: nap, config: {seconds: 60}}",
        config="timeout: 50ms",
        teardown="- {id: down, action: say, config: {message: down}}",
    )
    events = await local.run(text)
    assert finished(events).verdict == "timed_out"
    assert outcomes(events)["one"]["verdict"] == "timed_out"
    assert local.calls.seen == ["nap", "down"]


async def test_a_hung_teardown_ends_at_its_own_limit(local: Local) -> None:
    text = flow(
        "- {action: say, config: {message: x}}",
        config="teardown_timeout: 50ms",
        teardown="- {id: down, action: nap, config: {seconds: 60}}",
    )
    events = await local.run(text)
    assert finished(events).verdict == "error"
    assert outcomes(events)["down"]["verdict"] == "timed_out"


HANGING = flow("- {id: one, action: nap, config: {seconds: 60}}", teardown="- {id: down, action: say, config: {message: down}}")


async def _stopped(local: Local, text: str, why: Any) -> list[Any]:
    attempt = local.attempt(text)
    task = asyncio.create_task(attempt.run())
    while "nap" not in local.calls.seen:
        await asyncio.sleep(0.001)
    attempt.stop(why)
    await task
    return local.events()


async def test_cancel_stops_the_step_and_tears_down(local: Local) -> None:
    events = await _stopped(local, HANGING, "cancelled")
    assert finished(events).verdict == "cancelled"
    assert outcomes(events)["one"]["verdict"] == "cancelled"
    assert local.calls.seen == ["nap", "down"]


async def test_a_lost_attempt_writes_nothing_more(local: Local) -> None:
    events = await _stopped(local, HANGING, "lost")
    assert topics(events) == ["requested", "attempt_started", "step_started"]
    assert local.calls.seen == ["nap"]


async def test_a_drained_attempt_is_given_back_without_counting(local: Local) -> None:
    events = await _stopped(local, HANGING, "drain")
    assert topics(events)[-1] == "attempt_abandoned"
    assert (events[-1].why, events[-1].counts, events[-1].then) == ("drain", False, "retry")


async def _taken_over(local: Local, text: str) -> Execution:
    """The execution when its worker was lost in a step that naps; another worker has torn it down."""
    attempt = local.attempt(text)
    task = asyncio.create_task(attempt.run())
    while "nap" not in local.calls.seen:
        await asyncio.sleep(0.001)
    attempt.stop("lost")
    await task
    lost = local.log.load(Execution, attempt.execution_id)
    lost.abandon(BY, 1, "worker_lost")
    lost.start_teardown(BY, 1, "other", 1)
    local.log.put(lost)
    await Attempt(local.tools, lost, "other", teardown=1).run()
    return lost


async def test_a_taken_over_teardown_knows_secrets_and_the_same_env(local: Local) -> None:
    text = flow(
        "- {id: make, action: say, config: {message: 'token-12345', secret: 'token-12345'}, output: {made: $}}\n"
        "- {id: hang, action: nap, config: {seconds: 60}}",
        env="run_id: '${UUID}'",
        teardown="- {id: down, action: say, config: {message: '${run_id} ${made}'}}",
    )
    assert "token-12345" not in repr((await _taken_over(local, text)).outputs)
    assert topics(local.events())[-2:] == ["teardown_finished", "requeued"]
    await local.run(text.replace("seconds: 60", "seconds: 0"))
    taken_over, own = [seen for seen in local.calls.seen if " token-12345" in str(seen)]
    assert taken_over == own


async def test_a_taken_over_teardown_knows_that_the_flow_failed_and_steps_in_every_spelling(local: Local) -> None:
    say = "action: say, config: {message"
    text = flow(
        f"- {{id: make-it, {say}: {{x: 1}}}}}}\n- {{id: hang, action: nap, config: {{seconds: 60}}}}",
        teardown=f"- {{id: down, {say}: '${{steps[\"make-it\"].response.body.x}} ${{FLOW_STATUS}}'}}}}",
    )
    await _taken_over(local, text)
    assert local.calls.seen[-1] == "1 failed"


async def test_a_secret_is_masked_in_everything_recorded(local: Local) -> None:
    text = flow("- {id: one, action: say, config: {message: hunter22, secret: hunter22}, assert: [\"body == 'x'\"]}")
    events = await local.run(text)
    recorded = repr([vars(event) for event in events if "step" in event.TOPIC or "log" in event.TOPIC])
    assert "hunter22" not in recorded
    assert "sid=12345" not in recorded
    assert "[secret:" in recorded


async def test_an_internal_error_of_an_action_is_an_error_of_the_step(local: Local) -> None:
    events = await local.run(flow("- {id: one, action: boom}"))
    assert outcomes(events)["one"]["error"]["kind"] == "internal"
    assert finished(events).verdict == "error"


async def test_the_same_seed_gives_the_same_values(local: Local) -> None:
    text = flow("- {id: one, action: say, config: {message: '${UUID} ${RANDOM_INT}'}}")
    await local.run(text)
    await local.run(text)
    await local.run(text, seed="another")
    first, second, third = local.calls.seen
    assert first == second != third


async def test_variables_win_over_env(local: Local) -> None:
    text = flow("- {id: one, action: say, config: {message: '${name} ${greeting}'}}", env="name: env\ngreeting: hi ${name}")
    await local.run(text, variables={"name": "given"})
    assert local.calls.seen == ["given hi given"]


async def test_the_process_environment_is_the_weakest_source(local: Local) -> None:
    local.tools = replace(local.tools, process_variables={"name": "process", "shell": "sh"})
    await local.run(flow("- {id: one, action: say, config: {message: '${name} ${shell}'}}", env="name: env"))
    assert local.calls.seen == ["env sh"]


async def test_a_big_result_is_kept_whole_outside_the_event(local: Local) -> None:
    text = flow("- {id: one, action: say, config: {message: '${repeat(\"abc\", 20000)}'}}")
    events = await local.run(text)
    (step,) = [event for event in events if isinstance(event, Execution.StepFinished)]
    assert len(step.outcome["result"]["body"]) < 3000
    assert len(local.payloads.open("w", step.payload)) > 60_000


async def test_a_step_is_known_by_its_id_in_every_spelling(local: Local) -> None:
    text = flow(
        "- {id: me, action: say, config: {message: {x: 1}}, output: {a: me.body.x, b: me.response.body.x, c: response.body.x},"
        " assert: [me.body.x == 1]}\n"
        "- {id: it-too, action: say, config: {message: '${me.body.x}${me.response.body.x}${me.result.body.x}${a}${b}${c}'}}\n"
        "- {id: last, action: say, config: {message: '${steps[\"it-too\"].response.body}'}}"
    )
    assert finished(await local.run(text)).verdict == "passed"
    assert local.calls.seen[1:] == ["111111", "111111"]


async def test_the_id_of_a_step_means_this_run_of_it_while_it_lasts(local: Local) -> None:
    text = flow("- {id: me, action: flaky, config: {works_at: 1}, until: me.attempts == 2, assert: [me.attempts == 2]}")
    text = text.replace("until: me.attempts == 2", "until: {condition: me.attempts == 2, interval: 0}")
    assert finished(await local.run(text)).verdict == "passed"


async def test_assertions_and_outputs_know_what_was_asked(local: Local) -> None:
    text = flow(
        "- {id: me, action: say, config: {message: {id: '${UUID}'}}, assert: [request.message.id == body.id],"
        " output: {sent: request.message.id}}"
    )
    events = await local.run(text)
    assert finished(events).verdict == "passed"
    assert outcomes(events)["me"]["outputs"]["sent"] == local.calls.seen[0]["id"]
