"""The Execution aggregate: who may run it, what follows a lost attempt, and that it ends exactly once."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from domain.errors import Conflict
from domain.events import Actor
from domain.execution import AttemptNotMine, Execution, ExecutionFinished
from tests.support.given_when_then import given

BY = Actor("test")


def requested(**changes: Any) -> Execution:
    values: dict[str, Any] = {
        "project": "",
        "flow_id": None,
        "flow_revision": None,
        "flow_name": "checkout",
        "file": "checkout.yaml",
        "document": {"id": "ab", "size": 2},
        "variables": {},
        "tags": [],
        "trigger": "test",
        "request_digest": "",
        "seed": "s",
        "on_worker_lost": "restart",
        "max_attempts": 3,
        "timeout": 60.0,
        "teardown_timeout": 10.0,
        "case": "",
    }
    return Execution.request_run(BY, id=uuid4(), workspace="w", **{**values, **changes})


def started(attempt: int = 1, worker: str = "a"):
    return lambda e: e.start_attempt(BY, attempt, worker)


def stepped(attempt: int = 1, worker: str = "a"):
    values = {"path": "login", "phase": "steps", "number": 1, "name": "Log in", "action": "http_request"}
    return lambda e: e.start_step(BY, attempt, worker, **values)


def abandoned(attempt: int = 1, why: str = "worker_lost"):
    return lambda e: e.abandon(BY, attempt, why)


def teardown_claimed(attempt: int = 1, number: int = 1, worker: str = "b"):
    return lambda e: e.start_teardown(BY, attempt, worker, number)


def teardown_finished(attempt: int = 1, number: int = 1, worker: str = "b"):
    return lambda e: e.finish_teardown(BY, attempt, worker, number, "passed")


def test_a_queued_attempt_is_claimed_by_one_worker():
    given(requested()).when(started()).then(Execution.AttemptStarted)
    given(requested(), started()).when(started(worker="b")).refused(AttemptNotMine)


def test_a_claim_of_another_attempt_is_refused():
    given(requested()).when(started(attempt=2)).refused(AttemptNotMine)


def test_a_verdict_is_the_end():
    ended = given(requested(), started(), lambda e: e.finish(BY, 1, "a", "passed"))
    assert ended.aggregate.verdict == "passed"
    for command in (started(), stepped(), abandoned(), lambda e: e.request_cancel(BY)):
        assert isinstance(given(ended.aggregate).when(command).refusal, Conflict)
    given(ended.aggregate).when(lambda e: e.request_cancel(BY)).refused(ExecutionFinished)


def test_a_lost_attempt_without_a_step_is_queued_again_at_once():
    events = given(requested(), started()).when(abandoned()).then(Execution.AttemptAbandoned, Execution.Requeued)
    assert (events[0].then, events[1].attempt, events[1].counts) == ("retry", 2, True)


def test_a_lost_attempt_that_began_a_step_owes_its_teardown_first():
    lost = given(requested(), started(), stepped()).when(abandoned())
    lost.then(Execution.AttemptAbandoned)
    assert lost.aggregate.status == "owes_teardown"
    given(lost.aggregate).when(started(attempt=2)).refused(AttemptNotMine)
    given(lost.aggregate, teardown_claimed()).when(teardown_finished()).then(Execution.TeardownFinished, Execution.Requeued)


def test_a_replaced_worker_can_record_nothing():
    lost = given(requested(), started(), stepped(), abandoned()).aggregate
    for command in (stepped(), lambda e: e.finish(BY, 1, "a", "passed"), teardown_finished(worker="a", number=0)):
        given(lost).when(command).refused(AttemptNotMine)


def test_a_call_is_open_from_its_first_step_until_the_step_that_made_it_ends():
    def began(path: str, state: dict[str, object] | None = None):
        values = {"path": path, "phase": "steps", "number": 1, "name": path, "action": "run_flow", "state": state}
        return lambda e: e.start_step(BY, 1, "a", **values)

    def ended(path: str, **state: object):
        return lambda e: e.finish_step(BY, 1, "a", path=path, phase="steps", outcome={}, state=state)

    execution = given(requested(), started(), began("c"), ended("s", mine=1)).aggregate
    assert not execution.calls_open
    given(execution, began("c/one", {"c/": {"file": "f"}, "c/who": "Ada"}), ended("c/one", **{"c/made": 1}))
    given(execution, began("c/two"), began("c/two/x", {"c/two/": {"file": "g"}}), ended("c/two/x"))
    assert set(execution.outputs) == {"mine", "c/", "c/who", "c/made", "c/two/"}
    given(execution, ended("c/two"))
    assert execution.calls_open
    given(execution, began("c/one", {"c/": {"file": "f"}, "c/who": "Bob"}))
    assert execution.outputs == {"mine": 1, "c/": {"file": "f"}, "c/who": "Bob"}, "tried again, it begins anew"
    given(execution, ended("c"))
    assert (execution.outputs, execution.calls_open) == ({"mine": 1}, False)


def test_a_teardown_lost_twice_is_given_up_and_said_so():
    execution = given(requested(), started(), stepped(), abandoned(), teardown_claimed()).aggregate
    given(execution).when(abandoned()).then(Execution.AttemptAbandoned)
    given(execution, teardown_claimed(number=2)).when(abandoned()).then(Execution.TeardownGivenUp, Execution.Requeued)


def test_the_third_lost_attempt_is_the_last():
    execution = requested()
    for attempt in (1, 2):
        given(execution, started(attempt), abandoned(attempt))
    _, finished = given(execution, started(3)).when(abandoned(3)).then(Execution.AttemptAbandoned, Execution.Finished)
    assert (finished.verdict, finished.cause) == ("error", "worker_lost")


def test_a_flow_may_refuse_to_be_restarted():
    execution = requested(on_worker_lost="fail")
    _, finished = given(execution, started()).when(abandoned()).then(Execution.AttemptAbandoned, Execution.Finished)
    assert (finished.verdict, finished.cause) == ("error", "worker_lost")


def test_a_drained_attempt_does_not_count_but_its_number_rises():
    execution = requested()
    for attempt in range(1, 6):
        *_, last = given(execution, started(attempt)).when(abandoned(attempt, "drain")).events
        assert isinstance(last, Execution.Requeued)
        assert (last.attempt, last.counts) == (attempt + 1, False)


def test_a_passed_deadline_ends_as_timed_out_after_teardown():
    execution = given(requested(), started(), stepped(), abandoned(why="deadline"), teardown_claimed()).aggregate
    _, finished = given(execution).when(teardown_finished()).then(Execution.TeardownFinished, Execution.Finished)
    assert finished.verdict == "timed_out"


def test_cancel_ends_a_waiting_execution_at_once_and_a_running_one_through_its_worker():
    given(requested()).when(lambda e: e.request_cancel(BY)).then(Execution.CancelRequested, Execution.Finished)
    given(requested(), started()).when(lambda e: e.request_cancel(BY)).then(Execution.CancelRequested)


def test_cancel_while_teardown_is_owed_waits_for_it():
    execution = given(requested(), started(), stepped(), abandoned(), lambda e: e.request_cancel(BY)).aggregate
    _, finished = (
        given(execution, teardown_claimed()).when(teardown_finished()).then(Execution.TeardownFinished, Execution.Finished)
    )
    assert finished.verdict == "cancelled"


COMMANDS = st.sampled_from(["start", "step", "finish", "abandon", "drain", "deadline", "cancel", "claim", "torn_down"])


@for_all(st.lists(COMMANDS, max_size=40))
@settings(max_examples=300, deadline=None)
def test_whatever_happens_there_is_at_most_one_end_and_teardown_comes_before_it(commands: list[str]):
    execution = requested()
    for number, name in enumerate(commands):
        try:
            _apply(execution, name, f"w{number}")
        except Conflict:
            continue
    topics = [type(event) for event in execution.collect_events()]
    assert topics.count(Execution.Finished) <= 1
    if Execution.Finished in topics:
        assert topics[-1] is Execution.Finished
        assert execution.status == "finished"
    _assert_teardown_before_next(topics)
    assert execution.lost < 3


def _apply(execution: Execution, name: str, worker: str) -> None:
    attempt, owner = execution.attempt, execution.worker
    {
        "start": lambda: execution.start_attempt(BY, attempt, worker),
        "step": lambda: stepped(attempt, owner)(execution),
        "finish": lambda: execution.finish(BY, attempt, owner, "passed"),
        "abandon": lambda: execution.abandon(BY, attempt, "worker_lost"),
        "drain": lambda: execution.abandon(BY, attempt, "drain"),
        "deadline": lambda: execution.abandon(BY, attempt, "deadline"),
        "cancel": lambda: execution.request_cancel(BY),
        "claim": lambda: execution.start_teardown(BY, attempt, worker, execution.teardowns + 1),
        "torn_down": lambda: execution.finish_teardown(BY, attempt, owner, max(1, execution.teardowns), "passed"),
    }[name]()


def _assert_teardown_before_next(topics: list[type[Any]]) -> None:
    """After an abandoned attempt that had begun a step, its teardown ends or is given up before anything new."""
    owed = began = False
    for topic in topics:
        if topic is Execution.StepStarted:
            began = True
        elif topic is Execution.AttemptAbandoned:
            owed = owed or began
        elif topic in (Execution.TeardownFinished, Execution.TeardownGivenUp):
            owed = began = False
        elif topic in (Execution.AttemptStarted, Execution.Requeued, Execution.Finished):
            assert not owed
            if topic is not Execution.AttemptStarted:
                began = False


@pytest.mark.parametrize("status", ["queued", "owes_teardown"])
def test_what_is_not_running_cannot_be_abandoned(status: str):
    past = [] if status == "queued" else [started(), stepped(), abandoned()]
    given(requested(), *past).when(abandoned()).refused(AttemptNotMine)


def test_a_worker_that_claimed_the_teardown_of_an_attempt_it_lost_cannot_go_on_with_the_attempt():
    past = (started(), stepped(), abandoned(), teardown_claimed(worker="a"))
    given(requested(), *past).when(stepped()).refused(AttemptNotMine)
    given(requested(), *past).when(lambda e: e.finish(BY, 1, "a", "passed")).refused(AttemptNotMine)
    given(requested(), *past).when(lambda e: e.write_log(BY, 1, "a", path="p", lines=[])).refused(AttemptNotMine)
    given(requested(), *past).when(lambda e: e.give_back(BY, 1, "a")).refused(AttemptNotMine)
    given(requested(), *past).when(teardown_finished(worker="a")).then(Execution.TeardownFinished, Execution.Requeued)


def test_only_the_owner_gives_an_attempt_back():
    given(requested(), started()).when(lambda e: e.give_back(BY, 1, "b")).refused(AttemptNotMine)
    given(requested(), started()).when(lambda e: e.give_back(BY, 1, "a")).then(Execution.AttemptAbandoned, Execution.Requeued)
