"""The coordinator: brings every suite run from its request to its verdict, whoever else does so at the same time.

What happens next is decided by the aggregate from what is recorded, and a decision and the executions that it starts are one
transaction of one log: of several coordinators one decides, and one that is killed leaves nothing half done.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import field
from datetime import datetime
from uuid import UUID

from application import group_places
from application.executions import Executions
from application.following import follow
from application.group_commit import is_connection_error
from application.log import GroupFull, Log, VersionConflict
from application.payloads import Payloads
from application.suite_plan import Plan
from domain.errors import NotFound, Refusal, Unavailable
from domain.events import Actor
from domain.execution import Execution, ExecutionFinished
from domain.suite_run import SuiteRun
from domain.values import dataclass

TOPICS = (SuiteRun.Requested.TOPIC, SuiteRun.CancelRequested.TOPIC, Execution.Finished.TOPIC)
BATCH = 500
LOOK_SECONDS = 30.0
"""How often it is looked whether a suite run is open that this coordinator does not know of, or an end was missed."""
AGAIN_SECONDS = 5.0
"""When a suite run that could not be brought on is tried again."""
logger = logging.getLogger("testmesh.coordinator")

Open = Callable[[], tuple[int, Sequence[UUID]]]
"""The suite runs that are not finished, from the read model, and the position of the log that it had reached before."""


@dataclass(slots=True, eq=False, repr=False)
class _Watched:
    """A suite run that is under way; `ended` are ends that are not recorded in it yet."""

    run: SuiteRun
    plan: Plan | None = None
    ended: dict[int, tuple[str, str]] = field(default_factory=dict)
    cancelled: set[int] = field(default_factory=set)
    again: float = 0.0


class Coordinator:
    """Follows the log of executions. Any number of coordinators is harmless; more than one is a waste."""

    def __init__(
        self, log: Log, payloads: Payloads, open: Open, *, clock: Callable[[], float] = time.monotonic, who: str = "coordinator"
    ) -> None:
        self._log = log
        self._payloads = payloads
        self._executions = Executions(log, payloads)
        self._open = open
        self._clock = clock
        self._by = Actor(who)
        self._position: int | None = None
        self._looked = 0.0
        self._watched: dict[UUID, _Watched] = {}
        self._cases: dict[UUID, tuple[UUID, int]] = {}
        """The suite run and the case of each execution that may be under way."""

    @property
    def active(self) -> int:
        """How many suite runs are under way."""
        return len(self._watched)

    def run(self, stop: threading.Event) -> None:
        """Follow until stopped."""
        self._position = None  # others may have been at work since the last time
        follow(self._log, self.step, stop, "coordinator")

    def step(self) -> int:
        """Take what is new in the log and bring on the suite runs that it concerns; the number of events read."""
        now = self._clock()
        touched = self._look(now) if self._position is None or now - self._looked >= LOOK_SECONDS else set()
        assert self._position is not None
        batch = self._log.read(self._position, BATCH, TOPICS)
        for recorded in batch:
            id = self._take(recorded.event)
            if id is not None:
                touched.add(id)
        overdue = self._overdue()
        for id in touched | overdue | {id for id, watched in self._watched.items() if 0.0 < watched.again <= now}:
            self._bring_on(id, now, id in overdue)
        if batch:
            self._position = batch[-1].position
        return len(batch)

    def _overdue(self) -> set[UUID]:
        """The suite runs whose time is up and that do not say so yet."""
        limited = {id: w.run.deadline for id, w in self._watched.items() if w.run.deadline and not w.run.time_is_up}
        if not limited:
            return set()
        now = self._log.now()
        return {id for id, deadline in limited.items() if datetime.fromisoformat(deadline) <= now}

    def _look(self, now: float) -> set[UUID]:
        """Whatever is open, looked at anew. What the read model does not know yet comes by the log."""
        position, ids = self._open()
        for id in {*ids, *self._watched}:
            self._watch(id)
        if self._position is None:
            self._position = position
        self._looked = now
        return set(self._watched)

    def _take(self, event: object) -> UUID | None:
        """The suite run that an event concerns."""
        if isinstance(event, Execution.Finished):
            id, number = self._cases.get(event.originator_id, (None, 0))
            if id is not None and id in self._watched:
                self._watched[id].ended[number] = (event.verdict, event.cause)
            return id
        if isinstance(event, SuiteRun.CancelRequested) and event.originator_id in self._watched:
            self._watched[event.originator_id].run = self._log.load(SuiteRun, event.originator_id)
            return event.originator_id
        if isinstance(event, SuiteRun.Requested | SuiteRun.CancelRequested):
            self._watch(event.originator_id)
            return event.originator_id
        return None

    def _watch(self, id: UUID) -> None:
        """Know a suite run as the log has it, the ends of its cases included."""
        run = self._log.find(SuiteRun, id)
        if run is None or run.verdict is not None:
            self._forget(id)
            return
        before = self._watched.get(id)
        made = _Watched(run, before.plan if before else None)
        self._watched[id] = made
        executions = {run.execution_of(number): number for number in run.running()}
        self._cases.update({execution: (id, number) for execution, number in executions.items()})
        for event in self._log.of(list(executions), Execution.Finished.TOPIC):
            made.ended[executions[event.originator_id]] = (event.verdict, event.cause)

    def _bring_on(self, id: UUID, now: float, overdue: bool) -> None:
        """Whatever is wrong with one suite run, the others go on."""
        try:
            self._advance(id, overdue)
        except Exception as error:
            if isinstance(error, Unavailable) or is_connection_error(error):
                self._position = None  # everything is looked at anew
                raise
            logger.exception("suite run %s cannot be brought on; it is tried again", id)
            self._watch(id)
            if id in self._watched:
                self._watched[id].again = now + AGAIN_SECONDS

    def _advance(self, id: UUID, overdue: bool) -> None:
        """Record ends and what follows from them in one transaction; another's decision is looked at first."""
        while (watched := self._watched.get(id)) is not None:
            run = watched.run
            watched.again = 0.0
            run.end_cases(self._by, watched.ended)
            if overdue:
                run.reach_time_limit(self._by)
            children = self._started(watched)
            try:
                if run.pending_events:
                    self._log.put(run, *children)
            except (VersionConflict, GroupFull):
                self._watch(id)
                continue
            watched.ended.clear()
            self._cases.update({run.execution_of(number): (id, number) for number in run.running()})
            self._stop_running(watched)
            if run.verdict is not None:
                self._forget(id)
            return

    def _started(self, watched: _Watched) -> list[Execution]:
        """Let the aggregate decide; the executions of the cases that it starts."""
        run, children = watched.run, list[Execution]()
        by = Actor(f"suite_run:{run.id}", correlation=str(run.id))
        joined: dict[str, list[int]] = {}

        def start(number: int) -> str:
            try:
                child = self._plan(watched).execution(by, run, number, self._needed(watched, number))
                children.append(self._entered(by, child, joined))
            except Refusal as refusal:
                if isinstance(refusal, Unavailable):
                    raise
                return refusal.message
            return ""

        run.advance(self._by, start)
        return children

    def _entered(self, by: Actor, child: Execution, joined: dict[str, list[int]]) -> Execution:
        """The execution, at its end already if a full group says so; `joined` are the bounds of those before it, by group."""
        if child.request.groups and self._log.database is not None:
            with self._log.database.pool.connection() as connection:
                name = group_places.full(connection, child, joined)
            if name is not None:
                child.skip(by, f"the group {name} is full")
                return child
            for group in child.request.groups:
                joined.setdefault(group["name"], []).append(group["max"])
        return child

    def _needed(self, watched: _Watched, number: int) -> dict[str, str]:
        """The executions of the flows that a case needs, by the names of those flows; of several rows the last."""
        run, found = watched.run, dict[str, str]()
        for group in run.cases[number]["needs"]:
            last = run.last_of(group)
            found.update(dict.fromkeys(self._plan(watched).names(last), str(run.execution_of(last))))
        return found

    def _plan(self, watched: _Watched) -> Plan:
        if watched.plan is None:
            watched.plan = Plan.read(self._payloads.open(watched.run.workspace, watched.run.plan))
        return watched.plan

    def _stop_running(self, watched: _Watched) -> None:
        """Cancel what runs of a suite run that has to stop; teardown still runs."""
        run = watched.run
        if not run.halted:
            return
        for number in run.running():
            if number not in watched.cancelled:
                watched.cancelled.add(number)
                try:
                    self._executions.cancel(self._by, run.workspace, run.execution_of(number), run.halted)
                except (ExecutionFinished, NotFound):
                    continue

    def _forget(self, id: UUID) -> None:
        watched = self._watched.pop(id, None)
        if watched is not None:
            self._cases = {execution: case for execution, case in self._cases.items() if case[0] != id}
