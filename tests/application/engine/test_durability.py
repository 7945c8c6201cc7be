"""What is committed before a step may act: all that its teardown would need; otherwise at most one commit is in flight."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

import pytest
from eventsourcing.domain import Aggregate

from application.attempts import Attempt
from application.log import LostTail, SideWrite
from application.memory_log import MemoryLog
from domain.execution import Execution
from tests.support.local import BY, Local, finished, flow, topics

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
