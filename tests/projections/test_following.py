"""Projectors that run beside writers: notified or not, killed or not, two or one, with a rebuild in between."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import psycopg
import pytest

from application.database import Database
from application.event_store import PostgresLog
from projections.positions import lag, position, wait_for
from projections.projector import Projector
from projections.rebuild import checksum, rebuild
from projections.registry import for_log
from projections.rows import Pool
from projections.view import Recorded
from tests.support.events import finished, requested, started, step

pytestmark = pytest.mark.servers
ALL = for_log("executions")
NAMES = [projection.name for projection in ALL]


@pytest.fixture
def log(database: Database) -> Iterator[PostgresLog]:
    log = PostgresLog("executions", database)
    yield log
    log.close()


@contextmanager
def running(database: Database, log: PostgresLog, **more: Any) -> Iterator[Projector]:
    """A projector in a thread."""
    projector = Projector(database.pool, database.connect, "executions", ALL, log.read, **more)
    stop = threading.Event()
    thread = threading.Thread(target=projector.run, args=(stop,))
    thread.start()
    try:
        yield projector
    finally:
        stop.set()
        with psycopg.connect(database.url, autocommit=True) as connection:
            connection.execute("NOTIFY testmesh_executions")
        thread.join()


def reached(database: Database, at: int, seconds: float = 10.0) -> bool:
    return wait_for(database.pool, database.connect, "executions", NAMES, at, seconds)


def rows(pool: Pool) -> list[str]:
    return [checksum(pool, projection) for projection in ALL]


def rebuilt(pool: Pool, log: PostgresLog) -> list[str]:
    for projection in ALL:
        rebuild(pool, projection, log.read)
    return rows(pool)


def seconds_until_seen(database: Database, at: int) -> float:
    begun = time.monotonic()
    assert reached(database, at)
    return time.monotonic() - begun


def test_one_reads_ones_own_writes_in_less_than_a_second_without_a_poll(database: Database, log: PostgresLog):
    with running(database, log, poll_seconds=60.0):
        assert min(seconds_until_seen(database, log.put(requested())) for _ in range(5)) < 1.0


def put_unheard(database: Database, log: PostgresLog) -> int:
    """An event that nobody is notified of."""
    (stored,) = map(log.application.mapper.to_stored_event, requested().collect_events())
    sql = "INSERT INTO executions.events (originator_id, originator_version, topic, state) VALUES (%s, %s, %s, %s)"
    with database.pool.connection() as connection:
        connection.execute(sql, (stored.originator_id, stored.originator_version, stored.topic, stored.state))
    return log.head()


@pytest.mark.row("R7")
def test_an_event_whose_notification_was_lost_is_seen_within_a_second(database: Database, log: PostgresLog):
    with running(database, log):
        assert reached(database, log.put(requested()))
        assert min(seconds_until_seen(database, put_unheard(database, log)) for _ in range(3)) < 1.0


def test_waiting_for_a_position_ends_in_time(database: Database, log: PostgresLog):
    begun = time.monotonic()
    assert not reached(database, 1, 0.05)
    assert reached(database, 0, 0.0)
    assert time.monotonic() - begun < 1.0


def test_waiting_for_what_is_reached_opens_no_connection(database: Database, log: PostgresLog):
    at = log.put(requested())
    Projector(database.pool, database.connect, "executions", ALL, log.read).catch_up()

    def refuse() -> psycopg.Connection[Any]:
        raise AssertionError("no connection is needed")

    assert wait_for(database.pool, refuse, "executions", NAMES, at, 1.0)


def test_lag_names_every_projection_with_its_position_and_the_head(database: Database, log: PostgresLog):
    at = log.put(requested(), requested())
    assert ("executions", "live_feed", 0, at) in lag(database.pool)
    Projector(database.pool, database.connect, "executions", ALL[:-1], log.read).catch_up()
    assert [row for row in lag(database.pool) if row[1] in NAMES] == [
        *[("executions", name, at, at) for name in NAMES[:-1]],
        ("executions", "live_feed", 0, at),
    ]
    assert ("flows", "flow_list", 0, 0) in lag(database.pool)


def kill_everybody(url: str) -> int:
    """End every other connection to the database; how many there were."""
    sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> %s"
    with psycopg.connect(url, autocommit=True) as connection:
        return len(connection.execute(sql, (connection.info.backend_pid,)).fetchall())


def test_killed_connections_lose_nothing_and_double_nothing(database: Database, log: PostgresLog):
    killed = 0
    with running(database, log, poll_seconds=0.02):
        for number in range(60):
            at = log.put(finished(step(started(requested()))), patience=20.0)
            killed += kill_everybody(database.url) if number % 20 == 19 else 0
        assert reached(database, at, 20.0)
    assert killed >= 6
    followed = rows(database.pool)
    assert rebuilt(database.pool, log) == followed
    with database.pool.connection() as connection:
        assert connection.execute("SELECT count(*) FROM executions.live_feed").fetchone() == (300,)


def test_another_projector_takes_over(database: Database, log: PostgresLog):
    with running(database, log, poll_seconds=0.1) as first, ExitStack() as stack:
        assert reached(database, log.put(requested()))
        stack.enter_context(running(database, log, poll_seconds=0.1))
        assert reached(database, log.put(requested()))
        assert first.stopped == {}
    with running(database, log, poll_seconds=0.1):
        assert reached(database, log.put(requested()))


@pytest.mark.row("R7")
def test_two_projectors_that_fight_for_the_work_give_the_rows_of_one(database: Database, log: PostgresLog):
    for _ in range(40):
        log.put(*(finished(step(started(requested()))) for _ in range(20)))
    projectors = [Projector(database.pool, database.connect, "executions", ALL, log.read) for _ in range(3)]
    threads = [threading.Thread(target=projector.catch_up) for projector in projectors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [position(database.pool, "executions", name) for name in NAMES] == [log.head()] * len(NAMES)
    assert [projector.stopped for projector in projectors] == [{}] * 3
    followed = rows(database.pool)
    assert rebuilt(database.pool, log) == followed


@pytest.mark.row("R8")
def test_a_rebuild_beside_a_running_projector_changes_nothing_and_holds_up_none(database: Database, log: PostgresLog):
    log.put(*(finished(step(started(requested()))) for _ in range(30)))
    with running(database, log, poll_seconds=0.05):
        assert reached(database, log.head())

        def slowly(after: int, limit: int, topics: Sequence[str]) -> Sequence[Recorded]:
            if after and len(slow) < 3:
                at = log.put(finished(step(started(requested()))))
                assert reached(database, at, 5.0), "a projection is held up"
                slow.append(at)
            return log.read(after, limit, topics)

        slow: list[int] = []
        rebuild(database.pool, ALL[0], slowly)
        assert reached(database, log.head())
    followed = rows(database.pool)
    assert rebuilt(database.pool, log) == followed


def test_a_rebuild_that_fails_leaves_everything_as_it_was(database: Database, log: PostgresLog):
    log.put(requested(), requested())
    Projector(database.pool, database.connect, "executions", ALL, log.read).catch_up()
    before = rows(database.pool)
    with pytest.raises(ValueError, match="unreadable"):
        rebuild(database.pool, ALL[0], failing_after(log.read))
    assert rows(database.pool) == before
    assert position(database.pool, "executions", NAMES[0]) == log.head()


def failing_after(read: Callable[[int, int, Sequence[str]], Sequence[Recorded]]) -> Any:
    def failing(after: int, limit: int, topics: Sequence[str]) -> Sequence[Recorded]:
        if after:
            raise ValueError("unreadable")
        return read(after, limit, topics)

    return failing
