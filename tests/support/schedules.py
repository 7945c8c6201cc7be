"""Schedules for tests: plans, a clock that is set, and a small system in memory that schedules."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from application.executions import Executions
from application.flows import Document, Flows
from application.memory_log import MemoryLog
from application.payloads import MemoryPayloads
from application.schedules import Schedules
from application.scheduling import Scheduler
from application.suites import Suites
from domain.events import Actor
from domain.execution import Execution
from domain.schedule import Schedule
from tests.support.local import Calls, small_actions
from tests.support.suites import Directory

BY = Actor("user:1")
WORKSPACE = "w"
NOON = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
FLOW = "name: Nightly\nsteps:\n  - id: hello\n    action: say\n    config: {message: hi}\n"


def plan(**changes: Any) -> dict[str, Any]:
    """A schedule of every minute."""
    rest: dict[str, Any] = {"jitter": 0.0, "overlap": "skip", "missed": "skip", "variables": {}, "tags": []}
    return {"name": "minutely", "flow": str(uuid4()), "cron": "* * * * *", "time_zone": "UTC", **rest, **changes}


def schedule(since: datetime = NOON, id: UUID | None = None, **changes: Any) -> Schedule:
    """A new schedule; the first tick of the usual one is a minute after noon."""
    return Schedule.create(BY, id=id or uuid4(), workspace=WORKSPACE, since=since, request_digest="", **plan(**changes))


def minute(number: float, second: float = 0) -> datetime:
    """So long after noon."""
    return NOON + timedelta(minutes=number, seconds=second)


class Clock:
    """A clock that stands where it was set."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


class System:
    """Flows, executions and schedules in memory; any number of schedulers."""

    def __init__(self, log: MemoryLog | None = None) -> None:
        self.clock = Clock()
        self.payloads = MemoryPayloads()
        self.flows = Flows(MemoryLog("flows"), self.payloads, small_actions(Calls([])))
        self.executions = Executions(MemoryLog("executions"), self.payloads)
        self.suites = Suites(self.executions.log, self.payloads, self.flows, Directory(self.flows))
        self.log = log or MemoryLog("schedules")
        self.schedules = Schedules(self.log, self.flows, self.clock)
        pushed, _ = self.flows.push(BY, WORKSPACE, "", [Document("nightly.yaml", FLOW)])
        self.flow = pushed[0].id

    def create(self, **changes: Any) -> UUID:
        """A schedule of the flow."""
        return self.schedules.create(BY, WORKSPACE, plan(flow=str(self.flow), **changes))[0]

    def scheduler(self, executions: Executions | None = None) -> Scheduler:
        """One that knows every schedule at once."""
        return Scheduler(self.log, self.flows, executions or self.executions, self.suites, self._known, self.clock)

    def _known(self) -> list[tuple[UUID, int]]:
        return list({recorded.event.originator_id: recorded.position for recorded in self.log.read(0, 10**6)}.items())

    def decisions(self) -> list[tuple[str, datetime]]:
        """What was decided about which tick, in order."""
        events = (recorded.event for recorded in self.log.read(0, 10**6))
        return [(event.decision, event.tick) for event in events if isinstance(event, Schedule.TickConsidered)]

    def requested(self) -> list[Execution.Requested]:
        """The executions that were asked for."""
        events = (recorded.event for recorded in self.executions.log.read(0, 10**6))
        return [event for event in events if isinstance(event, Execution.Requested)]

    def load(self, id: UUID) -> Schedule:
        """A schedule as it is now."""
        return self.log.load(Schedule, id)

    def end(self, id: str) -> None:
        """An execution runs and ends."""
        execution = self.executions.log.load(Execution, UUID(id))
        execution.start_attempt(BY, execution.attempt, "a")
        execution.finish(BY, execution.attempt, "a", "passed", outputs={})
        self.executions.log.put(execution)


def facts(event: Any, *names: str) -> Mapping[str, Any]:
    """Some fields of an event."""
    return {name: getattr(event, name) for name in names}
