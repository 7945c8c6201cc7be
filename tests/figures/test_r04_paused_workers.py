"""R4: a worker that was paused writes nothing once it was replaced."""

from __future__ import annotations

import os
import signal
import time
from uuid import UUID

import psycopg
import pytest

from tests.chaos.afterwards import unfinished, wait_for_the_end
from tests.chaos.checker import broken_promises, read_log
from tests.chaos.clients import Clients
from tests.chaos.faults import incarnations, pid_of
from tests.chaos.harness import FLOW, System, until
from tests.chaos.trial import running
from tests.support.figures import Figure

pytestmark = pytest.mark.row("R4")
BODY = {"document": FLOW, "file": "chaos.yaml", "variables": {"NAP": 1500}}


@pytest.mark.long
def test_twenty_attempts_of_frozen_workers_are_replaced(figure: Figure) -> None:
    frozen_attempts(20, 25, figure)


@pytest.mark.nightly
def test_a_thousand_attempts_of_frozen_workers_are_replaced(figure: Figure) -> None:
    frozen_attempts(1_000, 25, figure)


def frozen_attempts(wanted: int, at_once: int, figure: Figure) -> None:
    """Freeze the worker past its lease with work in its hands, wait until another has taken it over, let it go on; again."""
    with running(workers=2, lease=2.0, heartbeat=0.5, concurrency=at_once) as system:
        replaced, rounds, url = set[tuple[UUID, str]](), list[Clients](), system.settings.database_url
        while len(replaced) < wanted:
            until(lambda: unfinished(url) <= at_once, "what was lost to be made good", 120)
            rounds.append(Clients(system, seed=len(rounds), body=BODY))
            rounds[-1].start(at_once * 3)
            replaced |= _one_round(system, at_once)
            rounds[-1].join()
        wait_for_the_end(url, 120)
        log, refused = read_log(url), _refused(system)
        late = sum(_late(log[id], worker) for id, worker in replaced)
        figure(
            f"{len(replaced):,} attempts frozen past their lease in {len(rounds)} rounds, replaced, then resumed: {late} of"
            f" their writes accepted, {refused:,} appends refused (others were told by the heartbeat)"
        )
        assert late == 0
        answered = [id for clients in rounds for id in clients.journal.read().values()]
        assert broken_promises(log, answered) == []
        assert _held(url, incarnations(system, system.workers[0])[-1]) == set()


def _one_round(system: System, at_once: int) -> set[tuple[UUID, str]]:
    """The attempts that the first worker held when it was frozen, each of them taken from it before it went on."""
    role, url = system.workers[0], system.settings.database_url
    pid, worker = pid_of(role), ""

    def full() -> bool:
        nonlocal worker
        worker = (incarnations(system, role) or [""])[-1]
        return len(_held(url, worker)) >= at_once * 4 // 5

    until(full, "the worker to have work", 60)
    os.kill(pid, signal.SIGSTOP)
    time.sleep(0.5)  # a commit that was on its way to the database arrives all the same
    held = _held(url, worker)
    until(lambda: not _held(url, worker), "the attempts to be taken from it", 60)
    until(lambda: held <= _going_on(url, worker), "others to go on with them", 60)
    os.kill(pid, signal.SIGCONT)
    time.sleep(0.5)
    return {(id, worker) for id in held}


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
