"""Whatever happens in whatever order: each tick is decided once, and what was decided to start exists, once."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

from eventsourcing.domain import Aggregate
from hypothesis import given, settings
from hypothesis import strategies as st

from application.executions import Executions, RunRequest
from application.log import SideWrite
from application.memory_log import MemoryLog
from application.scheduling import Scheduler
from domain.errors import Conflict, Unavailable
from domain.execution import Execution
from domain.schedule import MISSED, OVERLAPS, Schedule
from tests.support.schedules import BY, NOON, WORKSPACE, System

Move = tuple[str, int]
KINDS = [*["step"] * 8, *["later"] * 6, *["end"] * 2, "dies", "away", "pause", "resume", "resume", "late list"]
MOVES = st.tuples(st.sampled_from(KINDS), st.integers(0, 2))
SECONDS = (20, 60, 200)


class Mortal(Executions):
    """Requests that a dying scheduler does not get to."""

    dying = False

    def request(self, by: Any, request: RunRequest) -> tuple[UUID, int]:
        if self.dying:
            raise Unavailable("it is dead")
        return super().request(by, request)


class Leaving(MemoryLog):
    """A log that may be away when something is handed to it."""

    away = False

    def submit(self, *aggregates: Aggregate, side: Sequence[SideWrite] = (), patience: float = 3.0) -> Future[int]:
        if self.away:
            for aggregate in aggregates:
                aggregate.collect_events()
            raise Unavailable("the database is away")
        return super().submit(*aggregates, side=side, patience=patience)


class World:
    """A schedule, three schedulers, and a list of schedules that may be behind."""

    def __init__(self, overlap: str, missed: str) -> None:
        self.log = Leaving("schedules")
        self.system = System(self.log)
        self.id = self.system.create(overlap=overlap, missed=missed, jitter=7.0)
        self.mortals = [Mortal(self.system.executions.log, self.system.payloads) for _ in range(3)]
        self.schedulers = [self._new(number) for number in range(3)]
        self.listed = 1

    def _new(self, number: int) -> Scheduler:
        system = self.system
        known = lambda: [(self.id, self.listed)]  # noqa: E731
        return Scheduler(system.log, system.flows, self.mortals[number], system.suites, known, system.clock)

    def move(self, kind: str, number: int) -> None:
        """One thing happens."""
        system = self.system
        if kind == "later":
            system.clock.now += timedelta(seconds=SECONDS[number])
        elif kind == "late list":
            self.listed = system.log.head()
        elif kind == "end":
            for id in self.open():
                system.end(str(id))
        elif kind == "dies":
            self.mortals[number].dying = True
            with suppress(Unavailable):
                self.schedulers[number].step()
            self.mortals[number].dying = False
            self.schedulers[number] = self._new(number)
        elif kind == "away":
            self.log.away = True
            with suppress(Unavailable):
                self.schedulers[number].step()
            self.log.away = False
        elif kind == "step":
            self.schedulers[number].step()
        else:
            with suppress(Conflict):
                commands = system.schedules
                commands.pause(BY, WORKSPACE, self.id, "") if kind == "pause" else commands.resume(BY, WORKSPACE, self.id)

    def open(self) -> list[UUID]:
        """The executions that have not ended."""
        log = self.system.executions.log
        ids = [requested.originator_id for requested in self.system.requested()]
        return [id for id in ids if log.load(Execution, id).status != "finished"]

    def check_decisions(self) -> None:
        """Ticks are decided in order, none left out, none twice but those that were queued."""
        cursor, queued = NOON, set[Any]()
        cron = self.system.load(self.id).cron
        for recorded in self.system.log.read(0, 10**6):
            event = recorded.event
            if isinstance(event, Schedule.Resumed):
                cursor = max(cursor, event.since)
            if not isinstance(event, Schedule.TickConsidered):
                continue
            if event.tick in queued:
                assert event.decision in ("started", "dropped", "not_startable")
                queued.remove(event.tick)
                continue
            ticks = cron.until(cursor, event.tick, 10**6)
            assert (ticks[0], ticks[-1], len(ticks)) == (event.first, event.tick, event.count)
            cursor = event.tick
            queued |= {event.tick} if event.decision == "queued" else set()
        assert queued == set(self.system.load(self.id).waiting)


@given(st.sampled_from(OVERLAPS), st.sampled_from(MISSED), st.lists(MOVES, min_size=20, max_size=80))
@settings(deadline=None, max_examples=150)
def test_each_tick_is_decided_once_and_each_start_exists_once(overlap: str, missed: str, moves: list[Move]) -> None:
    world = World(overlap, missed)
    for move in moves:
        world.move(*move)
        if overlap != "cancel_older":
            assert len(world.open()) <= 1
    world.check_decisions()
    world.system.clock.now += timedelta(seconds=6)
    for scheduler in world.schedulers:
        scheduler.step()
    events = (recorded.event for recorded in world.system.log.read(0, 10**6))
    started = [e.execution for e in events if isinstance(e, Schedule.TickConsidered) and e.decision == "started"]
    assert [str(requested.originator_id) for requested in world.system.requested()] == started
    assert len(set(started)) == len(started)
