"""Four schedulers over one PostgreSQL, without any lock: each tick is decided once and starts one execution."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import pytest

from application.database import Database
from application.event_store import PostgresLog
from application.executions import Executions
from application.flows import Document, Flows
from application.payloads import SealedPayloads
from application.schedules import Schedules
from application.scheduling import Scheduler
from application.suites import Suites
from domain.execution import Execution
from domain.schedule import Schedule, tick_uuid
from tests.support.local import Calls, small_actions
from tests.support.schedules import BY, FLOW, WORKSPACE, Clock, minute, plan
from tests.support.suites import Directory

pytestmark = pytest.mark.servers
KEY = b"\x01\x02" * 16


class Process:
    """What one scheduler process has: connections and logs of its own, and the clock that all share."""

    def __init__(self, url: str, clock: Clock) -> None:
        self.database = Database(url, size=3)
        self.logs = {name: PostgresLog(name, self.database) for name in ("flows", "executions", "schedules")}
        self.flows = Flows(self.logs["flows"], SealedPayloads(self.database, "flows", KEY), small_actions(Calls([])))
        self.executions = Executions(self.logs["executions"], SealedPayloads(self.database, "executions", KEY))
        self.schedules = Schedules(self.logs["schedules"], self.flows, clock)
        payloads = SealedPayloads(self.database, "executions", KEY)
        suites = Suites(self.logs["executions"], payloads, self.flows, Directory(self.flows))
        self.scheduler = Scheduler(self.logs["schedules"], self.flows, self.executions, suites, self.known, clock)

    def known(self) -> list[tuple[UUID, int]]:
        """Straight from the log."""
        sql = "SELECT originator_id, max(notification_id) FROM schedules.events GROUP BY 1"
        with self.database.pool.connection() as connection:
            return [(row[0], row[1]) for row in connection.execute(sql).fetchall()]

    def decisions(self) -> list[Schedule.TickConsidered]:
        """All of them, in order."""
        return [recorded.event for recorded in self.logs["schedules"].read(0, 10**6, (Schedule.TickConsidered.TOPIC,))]

    def requested(self) -> list[UUID]:
        """The executions that there are."""
        return [one.event.originator_id for one in self.logs["executions"].read(0, 10**6, (Execution.Requested.TOPIC,))]

    def end(self, id: str) -> None:
        """An execution ends."""
        log = self.logs["executions"]
        execution = log.load(Execution, UUID(id))
        execution.request_cancel(BY)
        log.put(execution)

    def close(self) -> None:
        """Close everything."""
        for log in self.logs.values():
            log.close()
        self.database.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def processes(database_url: str, clock: Clock) -> Iterator[list[Process]]:
    made = [Process(database_url, clock) for _ in range(4)]
    pushed, _ = made[0].flows.push(BY, WORKSPACE, "", [Document("nightly.yaml", FLOW)])
    for process in made:
        process.flow = str(pushed[0].id)  # type: ignore[attr-defined]
    yield made
    for process in made:
        process.close()


def create(process: Process, **changes: object) -> UUID:
    """A schedule of every minute."""
    return process.schedules.create(BY, WORKSPACE, plan(flow=process.flow, **changes))[0]  # type: ignore[attr-defined]


def together(processes: list[Process], threads: ThreadPoolExecutor) -> None:
    """A round of every scheduler, all begun at the same moment."""
    begin = threading.Barrier(len(processes))

    def round(process: Process) -> None:
        begin.wait(10)
        process.scheduler.step()

    list(threads.map(round, processes))


@pytest.mark.row("R6")
def test_two_hundred_ticks_are_two_hundred_executions(processes: list[Process], clock: Clock) -> None:
    id = create(processes[0])
    ticks = [minute(number) for number in range(1, 201)]
    with ThreadPoolExecutor(4) as threads:
        for tick in ticks:
            clock.now = tick
            together(processes, threads)
            processes[0].end(str(tick_uuid(id, tick)))
    one = processes[0]
    assert one.requested() == [tick_uuid(id, tick) for tick in ticks]
    assert [(event.decision, event.tick) for event in one.decisions()] == [("started", tick) for tick in ticks]
    assert sum(process.scheduler.decisions["started"] for process in processes) == 200
    assert len([process for process in processes if process.scheduler.decisions["started"]]) > 1


@pytest.mark.row("R6")
@pytest.mark.parametrize(("missed", "executions"), [("skip", 0), ("run_once", 1), ("run_all", 10)])
def test_after_ten_minutes_without_any_scheduler_each_policy_runs_so_many(
    processes: list[Process], clock: Clock, missed: str, executions: int
) -> None:
    id = create(processes[0], missed=missed)
    clock.now = minute(10, 45)
    with ThreadPoolExecutor(4) as threads:
        for _ in range(12):
            together(processes, threads)
            last = processes[0].logs["schedules"].load(Schedule, id).last
            if last and not processes[0].logs["executions"].has(UUID(last), Execution.Finished.TOPIC):
                processes[0].end(last)
    ticks = [minute(number) for number in range(11 - executions, 11)]
    assert processes[0].requested() == [tick_uuid(id, tick) for tick in ticks]
    final = [event for event in processes[0].decisions() if event.decision != "queued"]
    assert sum(event.count for event in final) == 10
    assert max(event.tick for event in final) == minute(10)


def test_a_long_history_is_read_from_a_snapshot(processes: list[Process], clock: Clock) -> None:
    id = create(processes[0], missed="run_once")
    for number in range(1, 260):
        clock.now = minute(number)
        processes[0].scheduler.step()
    with processes[1].database.pool.connection() as connection:
        assert connection.execute("SELECT count(*) FROM schedules.snapshots").fetchone() == (1,)
    loaded = processes[1].logs["schedules"].load(Schedule, id)
    assert (loaded.considered, loaded.next_due()) == (minute(259), minute(260))
    clock.now += timedelta(minutes=1)
    processes[1].scheduler.step()
    assert processes[1].decisions()[-1].tick == minute(260)
