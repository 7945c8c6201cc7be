"""Workers of the model: what a worker process holds in memory, over the real claim, the real recorder and a log of its own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import wait
from typing import Any
from uuid import UUID, uuid4

import psycopg

from application.database import Database
from application.event_store import PostgresLog
from application.group_commit import GroupCommitter
from application.leases import release
from application.payloads import Payloads
from application.recorder import AttemptRecorder, Fenced
from domain.definition import Step
from domain.execution import Execution
from domain.masking import Masker
from domain.outcome import StepOutcome

SETUP, WORK, DOWN = "setup", "steps", "teardown"
ATTEMPT = (
    f"begin {SETUP}",
    f"end {SETUP}",
    f"begin {WORK}",
    f"end {WORK}",
    "tear",
    f"begin {DOWN}",
    f"end {DOWN}",
    "torn",
    "finish",
)
TAKEN_OVER = (f"begin {DOWN}", f"end {DOWN}", "finish teardown")


class LossyCommitter(GroupCommitter):
    """Group commit over a wire that can swallow the acknowledgement of a commit."""

    drop = 0
    """How many of the next acknowledgements are lost."""

    def _write(self, batch: Any) -> list[int]:
        positions = super()._write(batch)
        if self.drop:
            self.drop -= 1
            raise psycopg.OperationalError("the acknowledgement was lost")
        return positions


class Session:
    """A claimed attempt, or the teardown of a lost one, that goes on one record at a time."""

    def __init__(self, recorder: AttemptRecorder, execution: Execution, worker: str, teardown: int) -> None:
        self.id = execution.id
        self.recorder = recorder
        self.attempt = execution.attempt
        self.teardown = teardown
        self._side = [release(execution.id, worker)]
        self._script = TAKEN_OVER if teardown else ATTEMPT
        self._next = 0
        self._verdict: Any = "passed"
        self.over = False
        self.fenced = False

    def cancel(self) -> None:
        """A cancelled attempt goes straight to its teardown; a taken-over teardown goes on."""
        if not self.teardown and self._verdict == "passed":
            self._verdict = "cancelled"
            self._next = max(self._next, ATTEMPT.index("tear"))

    async def advance(self) -> None:
        """The next record. A fenced session is over."""
        word, _, phase = self._script[self._next].partition(" ")
        self._next += 1
        try:
            await self._record(word, phase)
        except Fenced:
            self.over = self.fenced = True
        if self._next == len(self._script):
            self.over = True
        if self.recorder._flight is not None:
            wait([self.recorder._flight[0]])

    async def give_back(self) -> None:
        """What a worker that drains does; a taken-over teardown goes on instead."""
        if self.teardown:
            return
        self.over = True
        try:
            await self.recorder.give_back(self._side)
        except Fenced:
            self.fenced = True

    async def _record(self, word: str, phase: Any) -> None:
        recorder = self.recorder
        if word == "begin":
            pending = recorder.step_started(Step(phase, "log", ()), phase, phase, 1, phase, {}, durable=phase == WORK)
        elif word == "end":
            state = {"made": 1} if phase == SETUP else {}
            pending = recorder.step_finished(phase, phase, StepOutcome("passed", 1.0), state, ())
        elif word == "tear":
            pending = recorder.teardown_started()
        elif word == "torn":
            pending = recorder.teardown_finished("passed")
        elif phase == DOWN:
            pending = recorder.finish_taken_over("passed", self._side)
        else:
            pending = recorder.finish(self._verdict, "", {}, self._side)
        if pending is not None:
            await pending


class Worker:
    """One worker process: its incarnation, its own log, and what it holds."""

    def __init__(self, database: Database, payloads: Payloads, committer: Callable[..., LossyCommitter]) -> None:
        self.log = PostgresLog("executions", database)
        self.committer = committer("executions", database.connect)
        self.log._committer = self.committer
        self._payloads = payloads
        self.frozen = False
        self.restart()

    def restart(self) -> None:
        """SIGKILL and a new process: nothing is remembered."""
        self.incarnation = uuid4().hex
        self.sessions: list[Session] = []
        self.log._last.clear()
        self.committer.drop = 0
        self.frozen = False

    def begin(self, execution: Execution, teardown: int, recorder: Callable[..., AttemptRecorder]) -> Session:
        """Hold what was claimed."""
        made = recorder(
            self.log, self._payloads, execution, execution.attempt, self.incarnation, Masker(b"k" * 32), teardown=teardown
        )
        self.sessions.append(Session(made, execution, self.incarnation, teardown))
        return self.sessions[-1]

    def held(self) -> list[UUID]:
        """What the heartbeat names."""
        return [session.id for session in self.sessions]
