"""R7: projections see every event once and in order, whoever dies and whoever else does the same work."""

from __future__ import annotations

import random
import threading
import time

import psycopg
import pytest

from application import schema
from application.database import Database
from application.event_store import PostgresLog
from projections.positions import position
from projections.rebuild import checksum, rebuild
from projections.registry import for_log, statements
from tests.support.events import events_of_attempt, requested
from tests.support.figures import Figure
from tests.support.projecting import spawned

pytestmark = [pytest.mark.row("R7"), pytest.mark.long]
EVENTS, WRITERS, PROJECTORS, SEED = 100_000, 6, 3, 7
PROJECTIONS = for_log("executions")


class Fighting:
    """Projector processes of the same projections, one of which is killed each second and started again."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._dice = random.Random(SEED)
        self.killed = 0
        self._processes = [spawned(url) for _ in range(PROJECTORS)]

    def kill_one(self) -> None:
        """SIGKILL; it is gone when this returns."""
        number = self._dice.randrange(PROJECTORS)
        self._processes[number].kill()
        self._processes[number].join(10)
        assert self._processes[number].exitcode == -9
        self.killed += 1
        self._processes[number] = spawned(self._url)

    def close(self) -> None:
        """End all."""
        for process in self._processes:
            process.kill()
            process.join(10)


def write(url: str) -> None:
    """A writer's part of the events."""
    database = Database(url, size=1)
    log = PostgresLog("executions", database)
    written = 0
    while written < EVENTS // WRITERS:
        executions = [events_of_attempt(requested()) for _ in range(10)]
        written += sum(execution.version for execution in executions)
        log.put(*executions, patience=30.0)
    log.close()
    database.close()


def test_three_projectors_that_fight_and_are_killed_each_second_miss_and_double_nothing(
    database_url: str, figure: Figure
) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        for statement in [*schema.statements(), *statements()]:
            connection.execute(statement.encode())
    database = Database(database_url, size=4)
    log = PostgresLog("executions", database)
    begun = time.monotonic()
    fighting = Fighting(database_url)
    writers = [threading.Thread(target=write, args=(database_url,)) for _ in range(WRITERS)]
    for writer in writers:
        writer.start()
    try:
        while any(writer.is_alive() for writer in writers) or _behind(database, log):
            time.sleep(1.0)
            fighting.kill_one()
            assert time.monotonic() - begun < 400, _behind(database, log)
    finally:
        fighting.close()
    seconds = time.monotonic() - begun
    with database.pool.connection() as connection:
        counts = connection.execute(
            "SELECT count(*), (SELECT count(*) FROM executions.live_feed), (SELECT count(DISTINCT (execution, version))"
            " FROM executions.live_feed) FROM executions.events"
        ).fetchone()
    followed = [checksum(database.pool, projection) for projection in PROJECTIONS]
    for projection in PROJECTIONS:
        rebuild(database.pool, projection, log.read)
    equal = followed == [checksum(database.pool, projection) for projection in PROJECTIONS]
    log.close()
    database.close()
    assert counts is not None
    figure(
        f"seed {SEED}: {counts[0]:,} events by {WRITERS} writers, {PROJECTORS} projectors, {fighting.killed} SIGKILLs,"
        f" {seconds:.0f} s: {counts[0] - counts[2]} missed, {counts[1] - counts[2]} doubled; equal to a rebuild: {equal}"
    )
    assert counts[0] == counts[1] == counts[2] >= EVENTS
    assert equal


def _behind(database: Database, log: PostgresLog) -> int:
    """By how many positions the last projection is behind."""
    return log.head() - min(position(database.pool, "executions", projection.name) for projection in PROJECTIONS)
