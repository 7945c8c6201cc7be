"""What is committed before a step may act: all that its teardown would need; otherwise at most one commit is in flight."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any
from uuid import UUID

import psycopg
import pytest
from eventsourcing.domain import Aggregate

from application import recorder
from application.actions.registry import ACTIONS
from application.attempts import Attempt
from application.flow_documents import read_flow
from application.log import A, LostTail, SideWrite
from application.memory_log import MemoryLog
from domain.definition import FlowDefinition
from domain.execution import Execution
from tests.support.local import BY, Local, finished, flow, small_actions, topics

THREE = "\n".join(f"- {{id: s{n}, action: say, config: {{message: {n}}}, output: {{o{n}: $}}}}" for n in (1, 2, 3))


class SlowLog(MemoryLog):
    """Commits of appends from the n-th on wait until they are let through."""

    def __init__(self) -> None:
        super().__init__("executions")
        self.appends = 0
        self.slow_from = 10_000
        self.waiting: list[tuple[Future[int], Future[int]]] = []

    def submit(self, *aggregates: Aggregate, side: Sequence[SideWrite] = (), patience: float = 3.0) -> Future[int]:
        """As usual, but the answer of a slow append is kept back."""
        done = super().submit(*aggregates, side=side, patience=patience)
        self.appends += 1
        if self.appends < self.slow_from:
            return done
        answer: Future[int] = Future()
        self.waiting.append((answer, done))
        return answer

    def let_through(self) -> None:
        """Answer everything that was kept back."""
        self.slow_from = 10_000
        for answer, done in self.waiting:
            answer.set_result(done.result())
        self.waiting.clear()


@pytest.fixture
def local() -> Local:
    made = Local()
    made.log = made.executions.log = SlowLog()
    made.tools = type(made.tools)(made.log, made.payloads, made.actions, made.tools.egress, b"k" * 32)
    return made


async def _seen_when_stalled(local: Local, text: str, slow_from: int) -> list[Any]:
    """What steps did while every commit from the n-th append of the attempt on does not come back."""
    log: Any = local.log
    attempt = local.attempt(text)
    log.slow_from = log.appends + slow_from
    task = asyncio.create_task(attempt.run())
    while not log.waiting:
        await asyncio.sleep(0.001)
    seen: list[Any] = []
    quiet = 0
    while quiet < 5:  # what may still begin has begun when nothing moved for a while
        await asyncio.sleep(0.02)
        quiet = quiet + 1 if seen == local.calls.seen else 0
        seen = list(local.calls.seen)
    log.let_through()
    await task
    assert finished(local.events()).verdict == "passed"
    return seen


@pytest.mark.parametrize(("stalled", "done"), [(1, [1]), (2, [1]), (3, [1, 2]), (4, [1, 2]), (5, [1, 2, 3])])
async def test_without_a_reader_one_commit_may_be_in_flight(local: Local, stalled: int, done: list[int]) -> None:
    assert await _seen_when_stalled(local, flow(THREE), stalled) == done


@pytest.mark.parametrize(("stalled", "done"), [(1, [1]), (2, [1]), (3, [1]), (4, [1, 2]), (5, [1, 2])])
async def test_from_the_step_that_teardown_reads_on_everything_is_committed_first(
    local: Local, stalled: int, done: list[int]
) -> None:
    text = flow(THREE, teardown="- {id: down, action: say, config: {message: '${o2 ?? 0}'}}")
    assert await _seen_when_stalled(local, text, stalled) == done


class BreakingLog(MemoryLog):
    """The n-th append of the attempt fails as if another worker owned it."""

    breaks_at = 10_000
    appends = 0
    error: type[Exception] = LostTail

    def submit(self, *aggregates: Aggregate, side: Sequence[SideWrite] = (), patience: float = 3.0) -> Future[int]:
        """As usual, until it breaks."""
        self.appends += 1
        if self.appends < self.breaks_at:
            return super().submit(*aggregates, side=side, patience=patience)
        failed: Future[int] = Future()
        failed.set_exception(self.error("lost"))
        for aggregate in aggregates:
            aggregate.collect_events()
        return failed


class RivalLog(MemoryLog):
    """Somebody cancels just before the n-th append, and the database is away when the execution is to be loaded again."""

    rival_at = 10_000
    appends = 0
    away = 0

    def submit(self, *aggregates: Aggregate, side: Sequence[SideWrite] = (), patience: float = 3.0) -> Future[int]:
        """As usual; the cancel comes first."""
        self.appends += 1
        if self.appends == self.rival_at:
            rival = super().load(Execution, aggregates[0].id)
            rival.request_cancel(BY)
            super().submit(rival)
            self.away = 3
        return super().submit(*aggregates, side=side, patience=patience)

    def load(self, kind: type[A], id: UUID) -> A:
        """As usual, unless the database is away."""
        if self.away:
            self.away -= 1
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        return super().load(kind, id)


@pytest.mark.parametrize("rival_at", range(1, 9))
async def test_a_conflict_while_the_database_is_away_costs_no_attempt(rival_at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "LOAD_AGAIN_SECONDS", 0.0)
    local = Local()
    log = RivalLog("executions")
    local.log = local.executions.log = log
    local.tools = type(local.tools)(log, local.payloads, local.actions, local.tools.egress, b"k" * 32)
    attempt = local.attempt(
        flow(
            "- {id: make, action: say, config: {message: made}}", teardown="- {id: down, action: say, config: {message: down}}"
        )
    )
    log.rival_at = log.appends + rival_at
    assert await attempt.run() is not None
    events = local.events()
    assert (finished(events).verdict, log.away) == ("passed", 0)
    assert topics(events).count("cancel_requested") == (1 if log.appends >= log.rival_at else 0)


@pytest.mark.parametrize("breaks_at", range(1, 9))
async def test_wherever_an_attempt_breaks_off_its_teardown_knows_what_was_done(breaks_at: int) -> None:
    local = Local()
    log = BreakingLog("executions")
    local.log = local.executions.log = log
    local.tools = type(local.tools)(log, local.payloads, local.actions, local.tools.egress, b"k" * 32)
    text = flow(
        "- {id: make, action: say, config: {message: made}, output: {made: $}}\n"
        "- {id: use, action: say, config: {message: used}}",
        teardown="- {id: down, action: say, config: {message: 'down ${made ?? \"nothing\"}'}}",
    )
    attempt = local.attempt(text)
    log.breaks_at = log.appends + breaks_at
    await attempt.run()
    log.breaks_at = 10_000
    execution = log.load(Execution, attempt.execution_id)
    assert execution.status == "running", "it breaks off before its end"
    before = list(local.calls.seen)
    execution.abandon(BY, 1, "worker_lost")
    log.put(execution)
    if execution.status == "owes_teardown":
        execution.start_teardown(BY, 1, "other", 1)
        log.put(execution)
        await Attempt(local.tools, execution, "other", teardown=1).run()
        assert topics(local.events())[-1] == "requeued"
    torn = [text for text in local.calls.seen[len(before) :] if str(text).startswith("down")]
    if "used" in before:
        assert torn == ["down made"], "the second step acted, so what the first made must be known"
    assert len(torn) == (0 if execution.status == "queued" and not before and not torn else 1)


INNER = """flow:
  name: inner
  inputs: {who: nobody}
  env: {made_at: "${TIMESTAMP_MS}"}
  steps:
    - {id: make, action: say, config: {message: "made for ${who}"}, output: {made: $}}
    - {id: use, action: say, config: {message: "used by ${who} at ${made_at}"}}
  teardown: [{id: down, action: say, config: {message: "down ${who} ${made ?? 'nothing'} ${made_at}"}}]
"""
MIDDLE = """flow:
  name: middle
  inputs: {who: somebody}
  steps: [{id: deeper, action: run_flow, config: {flow: inner.yaml, inputs: {who: "${who}"}}}]
  teardown: [{id: mid, action: say, config: {message: "middle of ${who}"}}]
"""


class Flows:
    """The flows that may be called, by file."""

    def __init__(self, local: Local) -> None:
        texts = {"inner.yaml": INNER, "middle.yaml": MIDDLE}
        self._flows = {file: read_flow(text, file=file, actions=local.actions)[0] for file, text in texts.items()}

    def find(self, reference: str, near: str) -> FlowDefinition:
        return self._flows[reference]


def local_with_flows(log: MemoryLog) -> Local:
    local = Local()
    local.actions = {**ACTIONS, **small_actions(local.calls)}
    local.log = local.executions.log = log
    local.tools = type(local.tools)(log, local.payloads, local.actions, local.tools.egress, b"k" * 32, flows=Flows(local))
    return local


async def lose(local: Local, text: str, breaks_at: int) -> tuple[list[Any], list[Any]]:
    """What was done until an attempt broke off, and by the teardown on another worker."""
    log: Any = local.log
    attempt = local.attempt(text)
    log.breaks_at = log.appends + breaks_at
    await attempt.run()
    log.breaks_at = 10_000
    execution = log.load(Execution, attempt.execution_id)
    before = list(local.calls.seen)
    if execution.status == "running":
        execution.abandon(BY, 1, "worker_lost")
        log.put(execution)
    if execution.status == "owes_teardown":
        execution.start_teardown(BY, 1, "other", 1)
        log.put(execution)
        await Attempt(local.tools, execution, "other", teardown=1).run()
        assert topics(local.events())[-1] == "requeued"
    return before, local.calls.seen[len(before) :]


@pytest.mark.parametrize("breaks_at", range(1, 27))
async def test_wherever_an_attempt_breaks_off_called_flows_are_torn_down_with_what_they_were_given_and_made(
    breaks_at: int,
) -> None:
    text = flow(
        "- action: for_each\n  config: {items: [Ada, Bob], steps: [{id: c, action: run_flow, config: {flow: middle.yaml,"
        " inputs: {who: '${item}'}}}]}",
        teardown="- {id: outer, action: say, config: {message: outer}}",
    )
    before, torn = await lose(local_with_flows(BreakingLog("executions")), text, breaks_at)
    assert torn[-1:] in ([], ["outer"])
    for who in ("Ada", "Bob"):
        if f"made for {who}" not in before:
            continue
        (down, *more) = [line for line in (*torn, *before) if line.startswith(f"down {who} ")]
        assert f"middle of {who}" in (*before, *torn)
        assert torn.count(f"middle of {who}") <= 1
        used = [line.removeprefix(f"used by {who} at ") for line in before if line.startswith(f"used by {who}")]
        assert not used or {down, *more} == {f"down {who} made for {who} {used[0]}"}


async def test_a_call_that_has_ended_is_not_torn_down_again_and_one_that_is_tried_again_only_once() -> None:
    text = flow(
        "- {id: c, action: run_flow, config: {flow: inner.yaml, inputs: {who: Ada}}, retry: {max_attempts: 2, delay: 1ms},"
        " assert: [1 == 2], on_error: continue}\n- {id: nap, action: nap, config: {seconds: 0}}\n"
        "- {id: last, action: say, config: {message: last}}",
        teardown="- {id: outer, action: say, config: {message: outer}}",
    )
    local = local_with_flows(MemoryLog("executions"))
    attempt = local.attempt(text)
    task = asyncio.create_task(attempt.run())
    while "nap" not in local.calls.seen:
        await asyncio.sleep(0)
    attempt.stop("lost")
    await task
    execution = local.log.load(Execution, attempt.execution_id)
    assert [name for name in execution.outputs if "/" in name] == []
    assert sum(str(line).startswith("down Ada") for line in local.calls.seen) == 2


async def test_names_of_called_flows_are_not_those_of_the_flow_outside() -> None:
    text = flow(
        "- {id: make, action: say, config: {message: mine}, output: {made: $}}\n"
        "- {id: c, action: run_flow, config: {flow: inner.yaml}}\n- {id: use, action: say, config: {message: used}}",
        teardown="- {id: outer, action: say, config: {message: 'outer ${made}'}}",
    )
    for breaks_at in range(6, 14):
        before, torn = await lose(local_with_flows(BreakingLog("executions")), text, breaks_at)
        assert not torn or torn[-1] == "outer mine", before


@pytest.mark.parametrize("called", [False, True])
async def test_another_worker_masks_the_secrets_that_the_lost_one_made(called: bool) -> None:
    steps = (
        "- {id: login, action: say, config: {message: canary-token}, output: {token: $}, secret_outputs: [token]}\n"
        "- {id: use, action: nap, config: {seconds: 60}}"
    )
    down = "- {id: down, action: say, config: {message: 'bye ${token} ${login.body}'}}"
    local = local_with_flows(MemoryLog("executions"))
    flows: Any = local.tools.flows
    inner = flow(steps, teardown=down)
    flows._flows["secret.yaml"] = read_flow(inner, file="secret.yaml", actions=local.actions)[0]
    text = flow("- {id: c, action: run_flow, config: {flow: secret.yaml}}") if called else inner
    attempt = local.attempt(text)
    task = asyncio.create_task(attempt.run())
    while "nap" not in local.calls.seen:
        await asyncio.sleep(0.001)
    attempt.stop("lost")
    await task
    execution = local.log.load(Execution, attempt.execution_id)
    execution.abandon(BY, 1, "worker_lost")
    execution.start_teardown(BY, 1, "other", 1)
    local.log.put(execution)
    await Attempt(local.tools, execution, "other", teardown=1).run()
    assert local.calls.seen[-1] == "bye canary-token canary-token"
    assert "canary-token" not in str([vars(event) for event in local.events() if not isinstance(event, Execution.Requested)])


async def test_a_conflict_that_leaves_the_attempt_ours_is_decided_again(local: Local) -> None:
    """A cancel that is recorded between two appends: the worker loads again and goes on as the owner."""
    log: Any = local.log
    text = flow("- {id: one, action: say, config: {message: 1}}\n- {id: two, action: nap, config: {seconds: 0.05}}")
    attempt = local.attempt(text)
    task = asyncio.create_task(attempt.run())
    while "nap" not in local.calls.seen:
        await asyncio.sleep(0.001)
    other = log.load(Execution, attempt.execution_id)
    other.request_cancel(BY)
    log.put(other)
    await task
    names = topics(local.events())
    assert names[-3:] == ["cancel_requested", "step_finished", "finished"]
