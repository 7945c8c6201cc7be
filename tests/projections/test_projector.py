"""The projector: every event once, in order, whatever fails; the one that cannot go on stops alone."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import orjson
import psycopg
import pytest

from application.database import Database
from application.event_store import PostgresLog
from projections.health import BATCH
from projections.live_feed import LiveFeed
from projections.positions import position
from projections.projector import Projector
from projections.rebuild import checksum
from projections.registry import for_log
from projections.rows import Pool
from projections.view import Projection, Recorded
from tests.projections.picky import Picky
from tests.support.events import MemoryLog, finished, requested, started, step

pytestmark = pytest.mark.servers
THREE = tuple(one for one in for_log("executions") if not one.name.startswith("suite_"))


class Clock:
    """Seconds that pass when told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def picky(pool: Pool) -> Picky:
    picky = Picky()
    with pool.connection() as connection:
        connection.execute(picky.ddl().encode())
    return picky


def projector_of(
    database: Database, log: MemoryLog | PostgresLog, projections: Sequence[Projection] = THREE, **more: Any
) -> Projector:
    return Projector(database.pool, database.connect, "executions", projections, log.read, **more)


def taken(pool: Pool) -> list[int]:
    with pool.connection() as connection:
        return [row[0] for row in connection.execute("SELECT position FROM executions.picky ORDER BY 1").fetchall()]


def filled(executions: int = 5) -> MemoryLog:
    log = MemoryLog()
    log.put(*(finished(step(started(requested()))) for _ in range(executions)))
    return log


def positions(pool: Pool, projections: Sequence[Projection] = THREE) -> list[int]:
    return [position(pool, "executions", projection.name) for projection in projections]


def test_all_projections_of_a_log_reach_its_head(database: Database, pool: Pool):
    log = filled(BATCH // 5 + 7)
    projector = projector_of(database, log)
    assert projector.step() == BATCH
    assert positions(pool) == [log.events[BATCH - 1].position] * 3
    projector.catch_up()
    assert positions(pool) == [log.head()] * 3
    assert projector.step() == 0


def test_a_projection_that_fails_stops_alone_and_is_named(database: Database, pool: Pool, picky: Picky, caplog: Any):
    log = filled()
    asked = [h.position for h in log.events if h.topic == "execution.requested"]
    picky.refused = frozenset({asked[3]})
    projector = projector_of(database, log, [picky, *THREE])
    with caplog.at_level(logging.ERROR):
        projector.catch_up()
        projector.catch_up()
    assert positions(pool) == [log.head()] * 3
    assert taken(pool) == asked[:3]
    assert position(pool, "executions", "picky") < asked[3]
    assert list(projector.stopped) == ["picky"]
    assert f"I do not like {asked[3]}" in projector.stopped["picky"]
    assert str(asked[3]) in projector.stopped["picky"]
    assert len(caplog.records) == 1


def test_a_stopped_projection_is_tried_again_with_growing_pauses_and_goes_on(database: Database, pool: Pool, picky: Picky):
    log, clock = filled(), Clock()
    asked = [h.position for h in log.events if h.topic == "execution.requested"]
    picky.refused = frozenset({asked[0]})
    projector = projector_of(database, log, [picky], clock=clock)
    projector.catch_up()
    for pause in (2, 4, 8, 16, 30, 30):
        clock.now += pause - 0.1
        assert projector.step() == 0
        picky.refused = frozenset() if clock.now > 185 else picky.refused
        clock.now += 0.1
        projector.catch_up()
    projector.catch_up()
    assert projector.stopped == {}
    assert taken(pool) == asked
    assert position(pool, "executions", "picky") == log.head()


def test_one_far_behind_does_not_hold_up_the_others(database: Database, pool: Pool, picky: Picky):
    log = filled(300)
    projector_of(database, log).catch_up()
    log.put(requested())
    assert projector_of(database, log, [picky, *THREE]).step() > BATCH
    assert positions(pool) == [log.head()] * 3
    assert 0 < position(pool, "executions", "picky") < log.head()


def test_the_feed_never_gets_ahead_of_what_it_speaks_of(database: Database, pool: Pool):
    class Broken(type(THREE[1])):  # type: ignore[misc]
        """Details that stop in the middle."""

        def apply(self, connection: psycopg.Connection[Any], batch: Sequence[Recorded]) -> None:
            if any(recorded.position > middle for recorded in batch):
                raise ValueError("too far")
            super().apply(connection, batch)

    log = filled(10)
    middle = log.events[len(log.events) // 2].position
    projector = projector_of(database, log, [THREE[0], Broken(), THREE[2]])
    projector.catch_up()
    assert positions(pool) == [log.head(), middle, middle]
    assert LiveFeed(pool).head() == middle


def test_projections_that_start_again_repeat_nothing(database: Database, pool: Pool, picky: Picky):
    log = MemoryLog()
    for _ in range(5):
        log.put(started(requested()))
        projector_of(database, log, [picky, *THREE]).catch_up()
    assert len(taken(pool)) == 5
    assert LiveFeed(pool).head() == log.head()


@pytest.mark.row("R9")
def test_an_unreadable_event_stops_those_that_want_it_and_no_other(database: Database, pool: Pool):
    log = PostgresLog("executions", database)
    execution = started(requested())
    log.put(execution)
    step(execution, logs=1)
    poison = log.put(finished(execution)) - 2
    log.put(*(requested() for _ in range(10)))
    head = log.head()
    with pool.connection() as connection:
        (state,) = connection.execute("SELECT state FROM executions.events WHERE notification_id = %s", (poison,)).fetchone()
        change = "UPDATE executions.events SET state = %s WHERE notification_id = %s"
        connection.execute(change, (orjson.dumps({**orjson.loads(state), "class_version": 99}), poison))
    clock = Clock()
    projector = projector_of(database, log, clock=clock)
    projector.catch_up()
    assert positions(pool) == [head, poison - 1, poison - 1]
    assert list(projector.stopped) == ["execution_details"]
    assert "upgrade" in projector.stopped["execution_details"]
    with pool.connection() as connection:
        connection.execute(change, (state, poison))
    clock.now += 2
    projector.catch_up()
    assert (projector.stopped, positions(pool)) == ({}, [head] * 3)
    assert len(LiveFeed(pool).after("w", 0)) == head
    log.close()


def test_what_the_database_refuses_is_a_fault_of_the_projection_and_its_absence_is_not(
    database: Database, pool: Pool, picky: Picky
):
    log = filled()
    projector = projector_of(database, log, [picky])
    with pool.connection() as connection:
        connection.execute("DROP TABLE executions.picky")
    projector.catch_up()
    assert "UndefinedTable" in projector.stopped["picky"]
    away = Database("postgresql://nobody:x@127.0.0.1:1/none")
    with pytest.raises(psycopg.OperationalError):
        Projector(database.pool, away.connect, "executions", [picky], reading_from(away)).step()


def test_a_connection_killed_in_the_middle_of_a_batch_leaves_nothing_behind(database: Database, pool: Pool):
    class Murdered(Picky):
        """Loses its connection once, after it has written."""

        alive = False

        def apply(self, connection: psycopg.Connection[Any], batch: Sequence[Recorded]) -> None:
            super().apply(connection, batch)
            if not self.alive:
                self.alive = True
                connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")

    log, murdered = filled(), Murdered()
    with pool.connection() as connection:
        connection.execute(murdered.ddl().encode())
    projector = projector_of(database, log, [*THREE, murdered])
    with pytest.raises(psycopg.OperationalError):
        projector.step()
    assert (projector.stopped, positions(pool)) == ({}, [0, 0, 0])
    projector.catch_up()
    assert (len(taken(pool)), positions(pool)) == (5, [log.head()] * 3)
    assert [row["feed_id"] for row in LiveFeed(pool).after("w", 0)] == [happened.position for happened in log.events]


def reading_from(database: Database) -> Any:
    def read(after: int, limit: int, topics: Sequence[str]) -> list[Recorded]:
        database.connect()
        return []

    return read


def test_two_projectors_in_turns_give_what_one_gives(database: Database, pool: Pool):
    log = filled(40)
    one, other = projector_of(database, log), projector_of(database, log)
    for _ in range(3):
        log.put(*(finished(step(started(requested()))) for _ in range(20)))
        one.step()
        other.step()
        other.step()
    one.catch_up()
    sums = [checksum(pool, projection) for projection in THREE]
    with pool.connection() as connection:
        for projection in THREE:
            projection.clear(connection)
            projection.apply(connection, projection.wanted(log.events))
    assert [checksum(pool, projection) for projection in THREE] == sums
