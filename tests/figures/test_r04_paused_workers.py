"""R4: a worker that was paused writes nothing once it was replaced."""

from __future__ import annotations

import os
import signal
import threading
import time
from uuid import UUID

import psycopg
import pytest

from tests.chaos.afterwards import wait_for_the_end
from tests.chaos.checker import broken_promises, read_log
from tests.chaos.clients import Clients
from tests.chaos.faults import incarnations, pid_of
from tests.chaos.harness import FLOW, System, until
from tests.chaos.trial import running
from tests.support.figures import Figure

pytestmark = pytest.mark.row("R4")
FROZEN_SECONDS = 8.0
"""Less than the ten after which a worker whose loop stands still ends itself: it is to try what it may no longer do."""
BODY = {"document": FLOW, "file": "chaos.yaml", "variables": {"NAP": 1500}}


@pytest.mark.long
def test_twenty_attempts_of_frozen_workers_are_replaced(figure: Figure) -> None:
    frozen_attempts(20, 25, figure)


@pytest.mark.nightly
def test_a_thousand_attempts_of_frozen_workers_are_replaced(figure: Figure) -> None:
    frozen_attempts(1_000, 25, figure)


def frozen_attempts(wanted: int, at_once: int, figure: Figure) -> None:
    """Freeze the worker past its lease with work in its hands, let others take it over, let it go on; again."""
    with running(workers=2, lease=2.0, heartbeat=0.5, concurrency=at_once) as system:
        load, url = Load(system, at_once * 2), system.settings.database_url
        replaced, rounds, followed = set[tuple[UUID, str]](), 0, 0
        while len(replaced) < wanted:
            found, gone_on = _one_round(system, at_once)
            replaced, rounds, followed = replaced | found, rounds + 1, followed + gone_on
        answered = load.stop()
        wait_for_the_end(url, 120)
        log, refused = read_log(url), _refused(system)
        late = sum(_late(log[id], worker) for id, worker in replaced)
        figure(
            f"{len(replaced):,} attempts frozen past their lease in {rounds} rounds and replaced, {followed:,} with a successor"
            f" at work, then resumed: {late} of their writes accepted, {refused:,} appends refused (others were told by the"
            " heartbeat)"
        )
        assert late == 0
        assert broken_promises(log, answered) == []
        assert _held(url, incarnations(system, system.workers[0])[-1]) == set()


class Load:
    """Requests executions so that the workers have so many in their hands, and no backlog hides what is lost. What a worker was
    lost over does not count: it goes on in processes of its own."""

    def __init__(self, system: System, level: int) -> None:
        self._system = system
        self._level = level
        self._made: list[Clients] = []
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> list[UUID]:
        """Request no more; what was accepted."""
        self._enough.set()
        self._thread.join()
        return [id for clients in self._made for id in clients.journal.read().values()]

    def _run(self) -> None:
        url = self._system.settings.database_url
        while not self._enough.wait(0.5):
            workers = [name for role in self._system.workers for name in incarnations(self._system, role)[-1:]]
            missing = self._level - sum(len(_held(url, worker)) for worker in workers)
            if missing > 0:
                clients = Clients(self._system, seed=len(self._made), body=BODY)
                self._made.append(clients)
                clients.start(missing)
                clients.join()


def _one_round(system: System, at_once: int) -> tuple[set[tuple[UUID, str]], int]:
    """The attempts that the first worker held when it was frozen, each of them taken from it before it went on; and for how
    many another had begun by then: that is waited for as long as a worker may stand still without ending itself."""
    role, url = system.workers[0], system.settings.database_url
    pid, worker = pid_of(role), ""

    def full() -> bool:
        nonlocal worker, pid
        pid, worker = pid_of(role), (incarnations(system, role) or [""])[-1]
        return len(_held(url, worker)) >= at_once * 4 // 5

    until(full, "the worker to have work", 60)
    os.kill(pid, signal.SIGSTOP)
    begun = time.monotonic()
    time.sleep(0.5)  # a commit that was on its way to the database arrives all the same
    held = _held(url, worker)
    until(lambda: not _held(url, worker), "the attempts to be taken from it", 60)
    until(lambda: held <= _going_on(url, worker) or time.monotonic() - begun > FROZEN_SECONDS, "others to go on with them", 60)
    followed = len(held & _going_on(url, worker))
    os.kill(pid, signal.SIGCONT)
    time.sleep(0.5)
    return {(id, worker) for id in held}, followed


def _held(url: str, worker: str) -> set[UUID]:
    with psycopg.connect(url, autocommit=True) as connection:
        rows = connection.execute("SELECT execution FROM executions.leases WHERE worker = %s", (worker,)).fetchall()
    return {row[0] for row in rows}


def _going_on(url: str, worker: str) -> set[UUID]:
    """Executions of which another worker has written something after they were taken from this one."""
    sql = (
        "SELECT DISTINCT e.originator_id FROM executions.events e JOIN executions.events a USING (originator_id)"
        " WHERE a.topic = 'execution.attempt_abandoned' AND e.originator_version > a.originator_version"
        " AND position(%s::bytea in e.state) = 0 AND e.topic <> 'execution.requeued'"
    )
    with psycopg.connect(url, autocommit=True) as connection:
        return {row[0] for row in connection.execute(sql, (worker.encode(),)).fetchall()}


def _late(events: list[tuple[int, str, dict[str, object]]], worker: str) -> int:
    """Events of this worker's attempt after the first that was abandoned, unless it claimed anew."""
    late, gone = 0, False
    for _, name, fields in events:
        if name in ("attempt_started", "teardown_started") and fields.get("worker") == worker:
            gone = False
        elif name == "attempt_abandoned":
            gone = True
        late += gone and fields.get("worker") == worker
    return late


def _refused(system: System) -> int:
    """How many attempts of the first worker said that an append of theirs was refused."""
    text = (system.root / "logs" / f"{system.workers[0].name}.log").read_text(errors="replace")
    return sum("WARNING testmesh.attempts" in line for line in text.splitlines())
