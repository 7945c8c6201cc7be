"""The Execution aggregate: one run of a flow, from the request through its attempts to exactly one terminal event.

States: queued(k) -> running(k, worker) -> [owes_teardown(k) -> tearing_down(k, worker, n)] -> queued(k+1) or finished.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from domain.errors import Conflict
from domain.events import Actor, RecordedAggregate
from domain.outcome import Verdict
from domain.queueing import Queueing

Status = Literal["queued", "running", "owes_teardown", "tearing_down", "finished"]
Why = Literal["worker_lost", "deadline", "drain", "teardown_lost", "unreadable"]
QUEUE_TIMEOUT, GROUP_TIMEOUT, GROUP_FULL = "queue_timeout", "group_timeout", "group_full"
"""Causes of the end of an execution that did not get its turn."""
MAX_TEARDOWNS = 2
"""Teardowns of a lost attempt that are tried on other workers before it is given up."""


class AttemptNotMine(Conflict):
    """This attempt belongs to another worker now: stop, and write nothing more."""

    code = "fenced"


class ExecutionFinished(Conflict):
    """The execution has already ended; nothing is recorded after its verdict."""

    code = "already_finished"


class Execution(RecordedAggregate):
    """Decides who may run, what happened, and how it ended."""

    TOPIC = "execution"

    class Event(RecordedAggregate.Event):
        """Base of the execution's events."""

    class Requested(Event, RecordedAggregate.Created):
        """Somebody wants a flow run: which one, with what, and within which bounds (seconds)."""

        TOPIC = "execution.requested"
        class_version = 3
        project: str
        flow_id: str | None
        flow_revision: int | None
        flow_name: str
        file: str
        document: Mapping[str, Any]
        variables: Mapping[str, Any]
        tags: Sequence[str]
        trigger: str
        request_digest: str
        seed: str
        on_worker_lost: str
        max_attempts: int
        timeout: float
        teardown_timeout: float
        case: str
        priority: int
        runs_on: Sequence[str]
        groups: Sequence[Mapping[str, Any]]
        queue_timeout: float
        suite_run: Mapping[str, Any] | None = None
        """The suite run that it belongs to, and its case there: {"id", "case"}; with `cell`, its cell of the matrix, and
        `needs`, the executions of the flows that it needs by the names of these, where it has them."""

        @staticmethod
        def upcast_v1_v2(state: dict[str, Any]) -> None:
            """Version 2 names the row of data that the execution is for; empty for none."""
            state["case"] = ""

        @staticmethod
        def upcast_v2_v3(state: dict[str, Any]) -> None:
            """Version 3 says how the execution waits for its turn, and which suite run it belongs to."""
            state.update(Queueing().plain(), suite_run=None)

        def apply(self, aggregate: Execution) -> None:
            """Queue attempt 1."""
            aggregate.workspace = self.workspace
            aggregate.request = self
            aggregate.status = "queued"
            aggregate.attempt = 1
            aggregate.lost = 0
            aggregate.worker = ""
            aggregate.stepped = False
            aggregate.teardowns = 0
            aggregate.then = "retry"
            aggregate.counts = True
            aggregate.why = ""
            aggregate.cancel_requested = False
            aggregate.cancel_reason = ""
            aggregate.verdict = None
            aggregate.outputs = {}
            aggregate.started_at = self.timestamp

    Created = Requested

    class AttemptStarted(Event):
        """A worker owns attempt k from here on."""

        TOPIC = "execution.attempt_started"
        attempt: int
        worker: str

        def apply(self, aggregate: Execution) -> None:
            """Run."""
            aggregate.status = "running"
            aggregate.started_at = self.timestamp
            aggregate.worker = self.worker
            aggregate.stepped = False
            aggregate.teardowns = 0
            aggregate.outputs = {}

    class StepStarted(Event):
        """A step of the attempt begins."""

        TOPIC = "execution.step_started"
        attempt: int
        worker: str
        path: str
        phase: str
        number: int
        name: str
        action: str
        state: Mapping[str, Any] | None = None
        """Of the first step of a called flow: what its teardown on another worker would need, by names that begin with the
        path of the calling step and a slash. Older events have none."""

        def apply(self, aggregate: Execution) -> None:
            """From here on the attempt owes its teardown, and that of the call."""
            aggregate.stepped = True
            if self.state:
                prefix = next(name for name in self.state if name.endswith("/"))
                aggregate.outputs = {**_without(aggregate.outputs, prefix), **self.state}

    class StepFinished(Event):
        """A step of the attempt ended; `outcome` is a StepOutcome as plain data, masked and bounded."""

        TOPIC = "execution.step_finished"
        attempt: int
        worker: str
        path: str
        phase: str
        outcome: Mapping[str, Any]
        state: Mapping[str, Any]
        payload: Mapping[str, Any] | None

        def apply(self, aggregate: Execution) -> None:
            """Keep what a later teardown may read; a call that this step made is over."""
            if f"{self.path}/" in aggregate.outputs:
                aggregate.outputs = _without(aggregate.outputs, f"{self.path}/")
            if self.state:
                aggregate.outputs = {**aggregate.outputs, **self.state}

    class LogWritten(Event):
        """Log lines of an attempt."""

        TOPIC = "execution.log_written"
        attempt: int
        worker: str
        path: str
        lines: Sequence[Mapping[str, Any]]

    class CancelRequested(Event):
        """Somebody wants it to stop."""

        TOPIC = "execution.cancel_requested"
        reason: str

        def apply(self, aggregate: Execution) -> None:
            """Remember, so that whatever comes next ends as cancelled."""
            aggregate.cancel_requested = True
            aggregate.cancel_reason = self.reason
            if aggregate.status in ("owes_teardown", "tearing_down"):
                aggregate.then = "cancelled"

    class AttemptAbandoned(Event):
        """An attempt is taken from its worker; `then` is `retry` or the verdict that follows its teardown."""

        TOPIC = "execution.attempt_abandoned"
        attempt: int
        why: str
        then: str
        counts: bool
        teardown: int

        def apply(self, aggregate: Execution) -> None:
            """Owe the teardown."""
            aggregate.status = "owes_teardown"
            aggregate.then = self.then
            aggregate.counts = self.counts
            if self.why != "teardown_lost":
                aggregate.why = self.why
            aggregate.worker = ""

    class Requeued(Event):
        """Attempt `attempt` is wanted; `counts` says whether the lost one counts towards the limit."""

        TOPIC = "execution.requeued"
        attempt: int
        counts: bool

        def apply(self, aggregate: Execution) -> None:
            """Queue the next attempt."""
            aggregate.status = "queued"
            aggregate.attempt = self.attempt
            aggregate.lost += 1 if self.counts else 0
            aggregate.stepped = False

    class TeardownStarted(Event):
        """Teardown of an attempt begins; `number` is 0 by the attempt's own worker, else the try on another."""

        TOPIC = "execution.teardown_started"
        attempt: int
        worker: str
        number: int

        def apply(self, aggregate: Execution) -> None:
            """A taken-over teardown has its own owner."""
            if self.number:
                aggregate.status = "tearing_down"
                aggregate.worker = self.worker
                aggregate.teardowns = self.number

    class TeardownFinished(Event):
        """Teardown of an attempt ran to its end, with its own verdict."""

        TOPIC = "execution.teardown_finished"
        attempt: int
        worker: str
        number: int
        verdict: str

    class TeardownGivenUp(Event):
        """Teardown of a lost attempt was lost itself too often."""

        TOPIC = "execution.teardown_given_up"
        attempt: int
        tries: int

    class Finished(Event):
        """The end: exactly one an execution."""

        TOPIC = "execution.finished"
        class_version = 2
        attempt: int
        verdict: str
        cause: str
        message: str
        outputs: Mapping[str, Any]
        sealed: Mapping[str, Any] | None = None
        """In a suite run, the payload of the outputs as they are and of the secrets that are known: for the cases that need
        them."""

        @staticmethod
        def upcast_v1_v2(state: dict[str, Any]) -> None:
            """Version 2 can hand outputs over to others."""
            state["sealed"] = None

        def apply(self, aggregate: Execution) -> None:
            """Nothing comes after."""
            aggregate.status = "finished"
            aggregate.verdict = self.verdict
            aggregate.worker = ""

    if TYPE_CHECKING:
        request: Requested
        status: Status
        attempt: int
        lost: int
        worker: str
        stepped: bool
        teardowns: int
        then: str
        counts: bool
        why: str
        cancel_requested: bool
        cancel_reason: str
        verdict: str | None
        outputs: Mapping[str, Any]
        started_at: datetime

    @classmethod
    def thawed(cls, state: dict[str, Any]) -> dict[str, Any]:
        """The request is an event again, times are times. An older release knew nothing of queueing."""
        given = {**Queueing().plain(), **state["request"]}
        request = object.__new__(cls.Requested)
        moment, id = datetime.fromisoformat(given["timestamp"]), UUID(given["originator_id"])
        request.__dict__.update({**given, "timestamp": moment, "originator_id": id})
        return {"cancel_reason": "", **state, "request": request, "started_at": datetime.fromisoformat(state["started_at"])}

    @property
    def started(self) -> bool:
        """Whether any attempt has begun."""
        return self.attempt > 1 or self.status in ("running", "owes_teardown", "tearing_down")

    @property
    def suspect(self) -> bool:
        """Whether what is wanted next may end the process that does it: a worker was lost over its like already. What a step
        has done says nothing of the teardown."""
        if self.status == "owes_teardown":
            return self.teardowns > 0
        return self.status == "queued" and self.lost > 0

    @property
    def calls_open(self) -> bool:
        """Whether flows that were called have begun and not ended."""
        return any(name.endswith("/") for name in self.outputs)

    # Commands: what anybody may ask for ---------------------------------------------------------------------------

    @classmethod
    def request_run(cls, by: Actor, *, id: UUID, workspace: str, **values: Any) -> Execution:
        """Accept a run; `values` are the fields of Requested, of which those of Queueing may be left out."""
        fields = {**Queueing().plain(), **values}
        execution: Execution = cls._begin(cls.Requested, by, id=id, workspace=workspace, **fields)
        return execution

    def skip(self, by: Actor, message: str) -> None:
        """End one that was requested just now because its group is full."""
        self._must_be_open()
        self._end(by, "cancelled", GROUP_FULL, message)

    def request_cancel(self, by: Actor, reason: str = "") -> None:
        """Ask for the end. Before any step it is the end; a second request changes nothing."""
        self._must_be_open()
        if self.cancel_requested:
            return
        self._record(self.CancelRequested, by, reason=reason)
        if self.status == "queued":
            self._end(by, "cancelled", "", reason or "cancelled before it started")

    # Commands of the worker that owns the attempt -----------------------------------------------------------------

    def start_attempt(self, by: Actor, attempt: int, worker: str) -> None:
        """Claim a queued attempt."""
        self._must_be_open()
        if self.status != "queued" or self.attempt != attempt:
            raise AttemptNotMine(f"attempt {attempt} is not waiting: {self.status}({self.attempt})")
        self._record(self.AttemptStarted, by, attempt=attempt, worker=worker)

    def start_teardown(self, by: Actor, attempt: int, worker: str, number: int) -> None:
        """Begin teardown: number 0 in one's own attempt, else claim the teardown that a lost attempt owes."""
        if number == 0:
            self._must_own(attempt, worker, 0)
        elif self.status != "owes_teardown" or self.attempt != attempt or number != self.teardowns + 1:
            raise AttemptNotMine(f"teardown {number} of attempt {attempt} is not waiting: {self.status}({self.attempt})")
        self._record(self.TeardownStarted, by, attempt=attempt, worker=worker, number=number)

    def start_step(
        self,
        by: Actor,
        attempt: int,
        worker: str,
        *,
        path: str,
        phase: str,
        number: int,
        name: str,
        action: str,
        state: Mapping[str, Any] | None = None,
        teardown: int = 0,
    ) -> None:
        """Record that a step begins; `state` is what a teardown of the call that it begins would need on another worker,
        `teardown` the number of the taken-over teardown that it belongs to."""
        self._must_own(attempt, worker, teardown)
        values = {"path": path, "phase": phase, "number": number, "name": name, "action": action, "state": state or None}
        self._record(self.StepStarted, by, attempt=attempt, worker=worker, **values)

    def finish_step(
        self,
        by: Actor,
        attempt: int,
        worker: str,
        *,
        path: str,
        phase: str,
        outcome: Mapping[str, Any],
        state: Mapping[str, Any],
        payload: Mapping[str, Any] | None = None,
        teardown: int = 0,
    ) -> None:
        """Record how a step ended; `state` is what teardown on another worker would need of it, `teardown` as in
        `start_step`."""
        self._must_own(attempt, worker, teardown)
        values = {"path": path, "phase": phase, "outcome": outcome, "state": state, "payload": payload}
        self._record(self.StepFinished, by, attempt=attempt, worker=worker, **values)

    def write_log(
        self, by: Actor, attempt: int, worker: str, *, path: str, lines: Sequence[Mapping[str, Any]], teardown: int = 0
    ) -> None:
        """Record log lines; `teardown` as in `start_step`."""
        self._must_own(attempt, worker, teardown)
        self._record(self.LogWritten, by, attempt=attempt, worker=worker, path=path, lines=lines)

    def finish_teardown(self, by: Actor, attempt: int, worker: str, number: int, verdict: str) -> None:
        """Record how teardown ended; a taken-over teardown is followed by the next attempt or the verdict."""
        self._must_own(attempt, worker, number)
        self._record(self.TeardownFinished, by, attempt=attempt, worker=worker, number=number, verdict=verdict)
        if number:
            self._settle(by)

    def finish(
        self,
        by: Actor,
        attempt: int,
        worker: str,
        verdict: Verdict,
        cause: str = "",
        message: str = "",
        outputs: Mapping[str, Any] | None = None,
        sealed: Mapping[str, Any] | None = None,
    ) -> None:
        """End the execution with the verdict of its attempt."""
        self._must_own(attempt, worker, 0)
        if verdict == "cancelled":
            message = message or self.cancel_reason
        values = {"verdict": verdict, "cause": cause, "message": message, "outputs": outputs or {}, "sealed": sealed}
        self._record(self.Finished, by, attempt=attempt, **values)

    def give_back(self, by: Actor, attempt: int, worker: str) -> None:
        """Leave the attempt, and its teardown, to other workers; it does not count."""
        self._must_own(attempt, worker, 0)
        self.abandon(by, attempt, "drain")

    # Commands of the sweeper --------------------------------------------------------------------------------------

    def abandon(self, by: Actor, attempt: int, why: Why) -> None:
        """Take the attempt, or the teardown that replaced it, from its worker. Teardown comes before what follows."""
        self._must_be_open()
        if self.attempt != attempt or self.status not in ("running", "tearing_down"):
            raise AttemptNotMine(f"attempt {attempt} is not running: {self.status}({self.attempt})")
        if self.status == "tearing_down":
            self._lose_teardown(by)
            return
        counts = why != "drain"
        then = self._what_follows(why, counts)
        self._record(self.AttemptAbandoned, by, attempt=attempt, why=why, then=then, counts=counts, teardown=1)
        if not self.stepped:
            self._settle(by)

    def time_out(self, by: Actor, attempt: int, cause: str, message: str) -> None:
        """End an attempt that has waited too long. A teardown that nobody took is given up, and what follows it comes."""
        self._must_be_open()
        if self.attempt != attempt or self.status not in ("queued", "owes_teardown"):
            raise AttemptNotMine(f"attempt {attempt} is not waiting: {self.status}({self.attempt})")
        if self.status == "queued":
            self._end(by, "timed_out", cause, message)
            return
        self._record(self.TeardownGivenUp, by, attempt=attempt, tries=self.teardowns)
        self._settle(by)

    def refuse(self, by: Actor, attempt: int, cause: str, message: str) -> None:
        """End a queued attempt that no worker can begin (its definition cannot be read, for one)."""
        self._must_be_open()
        if self.status != "queued" or self.attempt != attempt:
            raise AttemptNotMine(f"attempt {attempt} is not waiting: {self.status}({self.attempt})")
        self._end(by, "error", cause, message)

    def _lose_teardown(self, by: Actor) -> None:
        if self.teardowns < MAX_TEARDOWNS:
            self._record(
                self.AttemptAbandoned,
                by,
                attempt=self.attempt,
                why="teardown_lost",
                then=self.then,
                counts=self.counts,
                teardown=self.teardowns + 1,
            )
            return
        self._record(self.TeardownGivenUp, by, attempt=self.attempt, tries=self.teardowns)
        self._settle(by)

    def _what_follows(self, why: Why, counts: bool) -> str:
        if why == "deadline":
            return "timed_out"
        if self.cancel_requested:
            return "cancelled"
        if counts and (self.request.on_worker_lost == "fail" or self.lost + 1 >= self.request.max_attempts):
            return "error"
        return "retry"

    def _settle(self, by: Actor) -> None:
        """The lost attempt owes nothing any more: queue the next one, or end."""
        if self.then == "retry":
            self._record(self.Requeued, by, attempt=self.attempt + 1, counts=self.counts)
            return
        cause = "worker_lost" if self.then == "error" else ""
        why = f"; {self.cancel_reason}" if self.then == "cancelled" and self.cancel_reason else ""
        self._end(by, self.then, cause, f"attempt {self.attempt} was abandoned: {self.why}{why}")

    def _end(self, by: Actor, verdict: str, cause: str, message: str) -> None:
        self._record(self.Finished, by, attempt=self.attempt, verdict=verdict, cause=cause, message=message, outputs={})

    def _must_be_open(self) -> None:
        if self.status == "finished":
            raise ExecutionFinished(f"execution {self.id} has already finished: {self.verdict}")

    def _must_own(self, attempt: int, worker: str, teardown: int) -> None:
        """The fence. The worker alone would not do: it may hold an attempt that it lost and its teardown."""
        begun = self.teardowns if self.status == "tearing_down" else 0
        owned = self.status in ("running", "tearing_down") and teardown == begun
        if not (owned and self.worker == worker and self.attempt == attempt):
            what = f"teardown {teardown} of attempt {attempt}" if teardown else f"attempt {attempt}"
            raise AttemptNotMine(f"{what} is no longer run by {worker}: {self.status}({self.attempt})")


def _without(outputs: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {name: value for name, value in outputs.items() if not name.startswith(prefix)}
