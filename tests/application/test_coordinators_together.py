"""Coordinators over one PostgreSQL, several at once and killed at any moment: each case starts once, the verdict is right."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

import pytest

from application.coordinating import Coordinator
from application.database import Database
from application.event_store import PostgresLog
from application.flows import Document, Flows
from application.payloads import SealedPayloads
from application.suites import SuiteRequest, Suites
from domain.execution import Execution
from domain.suite_run import SuiteRun
from tests.support.local import Calls, small_actions
from tests.support.suites import BY, FLOW, WORKSPACE, Directory
from tests.support.tcp_proxy import TcpProxy
from tests.support.tied import tied

pytestmark = pytest.mark.servers
KEY = b"\x01\x02" * 16
ROOT = Path(__file__).resolve().parents[2]


class Process:
    """What one coordinator's process has: connections and a log of its own."""

    def __init__(self, url: str) -> None:
        self.database = Database(url, size=3)
        self.logs = {name: PostgresLog(name, self.database) for name in ("flows", "executions")}
        self.log = self.logs["executions"]
        payloads = SealedPayloads(self.database, "executions", KEY)
        self.flows = Flows(self.logs["flows"], SealedPayloads(self.database, "flows", KEY), small_actions(Calls([])))
        self.suites = Suites(self.log, payloads, self.flows, Directory(self.flows))
        self.coordinator = Coordinator(self.log, payloads, self.open)

    def open(self) -> tuple[int, list[UUID]]:
        """Straight from the log, as if the read model had nothing yet."""
        return 0, []

    def request(self, rows: int, **more: object) -> UUID:
        """A suite run of two flows, the second of which needs the first, with so many rows each."""
        data = "data:\n  rows: [" + ", ".join("{n: 1}" for _ in range(rows)) + "]\n"
        first = Document("first.yaml", FLOW.format(name="first", more=data))
        second = Document("second.yaml", FLOW.format(name="second", more=f"needs: [first]\n{data}"))
        pushed, _ = self.flows.push(BY, WORKSPACE, "", [second, first])
        members = self.suites.members(WORKSPACE, [flow.id for flow in pushed])
        return self.suites.request(BY, SuiteRequest(WORKSPACE, members, **more))[0]  # type: ignore[arg-type]

    def run(self, id: UUID) -> SuiteRun:
        """A suite run as it is recorded."""
        return self.log.load(SuiteRun, id)

    def requested(self) -> list[UUID]:
        """The executions that there are."""
        return [one.event.originator_id for one in self.log.read(0, 10**6, (Execution.Requested.TOPIC,))]

    def end(self, id: UUID, verdict: str = "passed") -> None:
        """An execution runs and ends."""
        execution = self.log.load(Execution, id)
        execution.start_attempt(BY, execution.attempt, "a")
        execution.finish(BY, execution.attempt, "a", verdict, outputs={})  # type: ignore[arg-type]
        self.log.put(execution)

    def close(self) -> None:
        """Close everything."""
        for log in self.logs.values():
            log.close()
        self.database.close()


@pytest.fixture
def processes(database_url: str) -> Iterator[list[Process]]:
    made = [Process(database_url) for _ in range(3)]
    yield made
    for process in made:
        process.close()


def check(process: Process, id: UUID, cases: int, parallel: int) -> None:
    """What the log must say, whatever happened: each case started once, in the order of needs, never too many at once."""
    run = process.run(id)
    assert run.verdict == "passed"
    assert run.counts() == {"passed": cases}
    assert sorted(process.requested()) == sorted(run.execution_of(number) for number in range(cases))
    started: list[int] = []
    running, most = set[int](), 0
    firsts = {number for number, case in enumerate(run.cases) if case["name"] == "first"}
    for recorded in process.log.read(0, 10**6, (SuiteRun.CasesStarted.TOPIC, SuiteRun.CasesEnded.TOPIC)):
        if isinstance(recorded.event, SuiteRun.CasesStarted):
            started += recorded.event.cases
            running |= set(recorded.event.cases)
            if not firsts.issuperset(recorded.event.cases):
                assert not firsts & running
        else:
            running -= {ended["case"] for ended in recorded.event.cases}
        most = max(most, len(running))
    assert sorted(started) == list(range(cases))
    assert most <= parallel


def work(process: Process, id: UUID, seconds: float, chance: random.Random, most: Callable[[], int]) -> None:
    """End what runs, bit by bit and never more than `most` cases in all, until the suite run is finished."""
    ended: set[UUID] = set()
    end = time.monotonic() + seconds
    while process.run(id).verdict is None:
        assert time.monotonic() < end, process.run(id).counts()
        left = [one for one in process.requested() if one not in ended]
        for one in chance.sample(left, max(0, min(len(left), 3, most() - len(ended)))):
            process.end(one)
            ended.add(one)
        time.sleep(0.005)


def test_three_coordinators_at_the_same_moment_start_each_case_once(processes: list[Process]) -> None:
    id = processes[0].request(20, parallel=4)
    ended: set[UUID] = set()
    with ThreadPoolExecutor(3) as threads:
        while processes[0].run(id).verdict is None:
            begin = threading.Barrier(3)

            def step(process: Process, begin: threading.Barrier = begin) -> None:
                begin.wait(10)
                process.coordinator.step()

            list(threads.map(step, processes))
            for one in [one for one in processes[0].requested() if one not in ended][:2]:
                processes[0].end(one)
                ended.add(one)
    check(processes[0], id, 40, 4)


COORDINATOR = """
import sys, threading
from tests.application.test_coordinators_together import Process
made = Process(sys.argv[1])
print("ready", flush=True)
made.coordinator.run(threading.Event())
"""


def test_coordinators_that_are_killed_at_any_moment_lose_nothing_and_double_nothing(processes: list[Process]) -> None:
    """Fifty cases; two coordinators, each killed with SIGKILL again and again while the cases run."""
    chance = random.Random(seed := random.randrange(10**6))
    id = processes[0].request(25, parallel=6)
    stop, kills = threading.Event(), 0

    def coordinator() -> subprocess.Popen[bytes]:
        argv = [sys.executable, "-c", COORDINATOR, processes[0].database.url]
        return subprocess.Popen(tied(*argv), cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE)

    def kill_one(one: subprocess.Popen[bytes]) -> None:
        """At any moment of its work, not of its start, which takes seconds where the machine is busy."""
        with one:
            assert one.stdout is not None
            assert one.stdout.readline() == b"ready\n"
            stop.wait(chance.uniform(0.1, 1.0))
            one.kill()
        assert one.returncode == -signal.SIGKILL

    def kill() -> None:
        nonlocal kills
        alive = [coordinator(), coordinator()]
        try:
            while not stop.is_set():
                number = chance.randrange(2)
                kill_one(alive[number])
                kills += 1
                alive[number] = coordinator()
        finally:
            for one in alive:
                with one:
                    one.kill()

    killing = threading.Thread(target=kill)
    killing.start()
    try:
        work(processes[1], id, 120, chance, lambda: 5 + 5 * kills)
    finally:
        stop.set()
        killing.join()
    check(processes[2], id, 50, 6)
    assert kills >= 9, seed


def test_a_coordinator_finds_open_runs_by_the_read_model_and_what_came_after_by_the_log(processes: list[Process]) -> None:
    one, other = processes[:2]
    before = one.request(2)
    position = one.log.head()
    finder = Coordinator(one.log, SealedPayloads(one.database, "executions", KEY), lambda: (position, [before]))
    after = other.request(1)
    finder.step()
    assert finder.active == 2
    assert [len(one.run(id).running()) for id in (before, after)] == [2, 1]


def test_a_long_suite_run_is_read_from_a_snapshot(processes: list[Process]) -> None:
    id = processes[0].request(60, parallel=1)
    ended: set[UUID] = set()
    while processes[0].run(id).verdict is None:
        processes[0].coordinator.step()
        for one in [one for one in processes[0].run(id).running() if processes[0].run(id).execution_of(one) not in ended]:
            processes[0].end(execution := processes[0].run(id).execution_of(one))
            ended.add(execution)
    with processes[1].database.pool.connection() as connection:
        assert connection.execute("SELECT count(*) FROM executions.snapshots WHERE originator_id = %s", (id,)).fetchone() == (
            1,
        )
    check(processes[1], id, 120, 1)


def test_a_coordinator_goes_on_when_connections_break_and_answers_to_commits_are_lost(processes: list[Process]) -> None:
    """Every 2.5 s: the pool itself waits a second and more before it tries a broken connection again."""
    url = urlsplit(processes[0].database.url)
    proxy, chance, cuts = TcpProxy(url.port or 5432), random.Random(7), 0
    apart = Process(url._replace(netloc=f"{url.netloc.rpartition(':')[0]}:{proxy.port}").geturl())
    id = processes[0].request(12, parallel=4)
    stop = threading.Event()

    def breaking() -> None:
        nonlocal cuts
        while not stop.wait(2.5):
            cuts += proxy.cut() > 0
            proxy.swallow_answer(b"suite_run.cases_started")

    threads = [threading.Thread(target=apart.coordinator.run, args=(stop,)), threading.Thread(target=breaking)]
    for thread in threads:
        thread.start()
    try:
        work(processes[1], id, 120, chance, lambda: 4 + 4 * cuts)
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
        apart.close()
        proxy.close()
    check(processes[0], id, 24, 4)
    assert (cuts >= 5, proxy.swallowed >= 1) == (True, True), (cuts, proxy.swallowed)
