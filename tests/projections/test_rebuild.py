"""Rebuilds while everything goes on: nobody sees a gap, nothing is switched that was not verified, and there is a way back."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from application.database import Database
from application.event_store import PostgresLog
from domain.errors import Conflict, NotFound
from projections import rebuild as rebuilding
from projections.execution_details import ExecutionDetails
from projections.execution_list import ExecutionList
from projections.live_feed import LiveFeed
from projections.positions import position
from projections.projector import Projector
from projections.rebuild import checksum, drop_old, rebuild, rollback
from projections.registry import for_log
from projections.view import Recorded
from tests.projections.picky import Picky
from tests.projections.test_following import log, reached, running
from tests.support.events import WORKSPACE, events_of_attempt, requested
from tests.support.suites import suite_run
from tests.support.tied import tied

__all__ = ["log"]

pytestmark = [pytest.mark.servers, pytest.mark.row("R8")]
LIST, DETAILS, *_, FEED = ALL = for_log("executions")
LEFT = "SELECT count(*) FROM pg_tables WHERE schemaname = ANY(%s)"


def filled(database: Database, log: PostgresLog, executions: int = 30) -> None:
    log.put(*(events_of_attempt(requested()) for _ in range(executions)))
    log.put(suite_run())
    follow(database, log)


def follow(database: Database, log: PostgresLog) -> None:
    Projector(database.pool, database.connect, "executions", ALL, log.read).catch_up()


def tables_in(database: Database, *schemas: str) -> int:
    with database.pool.connection() as connection:
        row = connection.execute(LEFT, (list(schemas),)).fetchone()
    return int(row[0]) if row else 0


def tamper(database: Database) -> None:
    with database.pool.connection() as connection:
        connection.execute("UPDATE executions.execution_list SET flow_name = 'wrong'")


@contextmanager
def together(*works: Callable[[], None]) -> Iterator[None]:
    """The works again and again in threads, while the block runs; what one raises is raised."""
    enough = threading.Event()

    def again(work: Callable[[], None]) -> None:
        while not enough.is_set():
            work()

    with ThreadPoolExecutor(len(works)) as threads:
        ends = [threads.submit(again, work) for work in works]
        try:
            yield
        finally:
            enough.set()
    for end in ends:
        end.result()


@pytest.mark.parametrize("projection", ALL, ids=lambda projection: projection.name)
def test_no_reader_ever_sees_less_than_before(database: Database, log: PostgresLog, projection: Any) -> None:
    known = requested()
    log.put(events_of_attempt(known))
    filled(database, log, 80)
    executions, details, feed = (kind(database.pool) for kind in (ExecutionList, ExecutionDetails, LiveFeed))
    seen, head, looked = 80, feed.head(), 0

    def read() -> None:
        nonlocal seen, head, looked
        count = sum(executions.counts().values())
        assert count >= seen
        row = details.get(WORKSPACE, known.id)
        assert row is not None
        assert (row["verdict"], len(row["attempts"][0]["steps"])) == ("passed", 2)
        assert feed.head() >= head
        assert len(feed.after(WORKSPACE, 0, executions=[known.id])) == known.version
        seen, head, looked = count, feed.head(), looked + 1

    def write() -> None:
        log.put(events_of_attempt(requested()))
        time.sleep(0.02)  # a load that a rebuild can outrun on a busy machine

    with running(database, log, poll_seconds=0.05):
        with together(read, write):
            for _ in range(3):
                rebuild(database.pool, projection, log.read)
        assert reached(database, log.head())
    assert looked > 10
    served = checksum(database.pool, projection)
    rebuild(database.pool, projection, log.read)
    assert checksum(database.pool, projection) == served


def test_wrong_rows_are_healed_and_a_rollback_brings_them_back(database: Database, log: PostgresLog) -> None:
    filled(database, log)
    right = checksum(database.pool, LIST)
    tamper(database)
    wrong = checksum(database.pool, LIST)
    assert rebuild(database.pool, LIST, log.read) == len(log.read(0, 10_000, LIST.topics))
    assert checksum(database.pool, LIST) == right
    rollback(database.pool, LIST, log.read)
    assert checksum(database.pool, LIST) == wrong
    rollback(database.pool, LIST, log.read)
    assert checksum(database.pool, LIST) == right


def test_what_is_rolled_back_to_has_the_events_since_then(database: Database, log: PostgresLog) -> None:
    filled(database, log)
    for projection in ALL:
        rebuild(database.pool, projection, log.read)
    filled(database, log, 5)
    right = [checksum(database.pool, projection) for projection in ALL]
    for projection in ALL:
        assert rollback(database.pool, projection, log.read) > 0
    assert [checksum(database.pool, projection) for projection in ALL] == right
    filled(database, log, 5)
    assert {position(database.pool, "executions", projection.name) for projection in ALL} == {log.head()}


def test_old_rows_are_kept_until_they_are_dropped(database: Database, log: PostgresLog) -> None:
    filled(database, log)
    rebuild(database.pool, LIST, log.read, keep=False)
    with pytest.raises(NotFound, match="no old rows of execution_list"):
        rollback(database.pool, LIST, log.read)
    before = tables_in(database, "executions_old")
    rebuild(database.pool, LIST, log.read)
    assert tables_in(database, "executions_old") == before + 1
    drop_old(database.pool, LIST)
    assert tables_in(database, "executions_old") == before
    assert tables_in(database, "executions_shadow", "executions_check", "executions_leaving") == 0
    with pytest.raises(NotFound):
        rollback(database.pool, LIST, log.read)


def test_a_rebuild_that_is_killed_leaves_the_old_rows_serving_and_the_next_one_succeeds(
    database: Database, log: PostgresLog
) -> None:
    filled(database, log)
    right = checksum(database.pool, DETAILS)
    argv = [sys.executable, "-m", "tests.support.slow_rebuild", database.url, DETAILS.name]
    process = subprocess.Popen(tied(*argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"begun\n"
    with pytest.raises(Conflict, match="being rebuilt by another process"):
        rebuild(database.pool, DETAILS, log.read)
    process.kill()
    process.communicate()
    assert tables_in(database, "executions_shadow") == len(DETAILS.tables)
    assert checksum(database.pool, DETAILS) == right
    filled(database, log, 3)
    end = time.monotonic() + 10
    while True:
        try:
            rebuild(database.pool, DETAILS, log.read)
            break
        except Conflict:  # the server has not noticed yet that the other one is gone
            assert time.monotonic() < end
            time.sleep(0.05)
    assert tables_in(database, "executions_shadow", "executions_check") == 0
    assert checksum(database.pool, DETAILS) != right


class Moody(Picky):
    """A projection that is not pure: every replay gives other rows."""

    name = "moody"
    replays = 0

    def apply(self, connection: psycopg.Connection[Any], batch: Sequence[Recorded]) -> None:
        self.replays += 1
        for recorded in batch:
            connection.execute("INSERT INTO executions.picky VALUES (%s)", (recorded.position + self.replays,))


def test_rows_that_a_second_replay_does_not_give_are_not_switched_to(database: Database, log: PostgresLog) -> None:
    log.put(requested())
    moody = Moody()
    with database.pool.connection() as connection:
        connection.execute(moody.ddl().encode())
        connection.execute("INSERT INTO executions.picky VALUES (4711)")
    with pytest.raises(Conflict, match=r"two replays of the log disagree about executions\.picky: 1 and 1 rows"):
        rebuild(database.pool, moody, log.read)
    with database.pool.connection() as connection:
        assert connection.execute("SELECT position FROM executions.picky").fetchall() == [(4711,)]
    assert tables_in(database, "executions_shadow", "executions_check") == 0


def test_a_switch_waits_for_a_reader_and_holds_up_no_other_for_long(
    database: Database, log: PostgresLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(database, log)
    monkeypatch.setattr(rebuilding, "SWITCH_PAUSE_SECONDS", 0.05)
    slowest = 0.0

    def read() -> None:
        nonlocal slowest
        begun = time.monotonic()
        ExecutionList(database.pool).counts()
        slowest = max(slowest, time.monotonic() - begun)

    with psycopg.connect(database.url) as reader, ThreadPoolExecutor(1) as threads:
        reader.execute("SELECT 1 FROM executions.execution_list")
        done = threads.submit(rebuild, database.pool, LIST, log.read)
        with together(read):
            with pytest.raises(TimeoutError):
                done.result(2.0)
            reader.commit()
            done.result(10)
    assert slowest < 2.0


def test_the_mark_of_a_pruned_feed_goes_with_its_rows(database: Database, log: PostgresLog) -> None:
    filled(database, log)
    feed = LiveFeed(database.pool)
    whole = len(feed.tail(0, 10_000))
    assert feed.prune(1, now=datetime.now(UTC) + timedelta(days=2)) == whole
    assert feed.expired(0)
    rebuild(database.pool, FEED, log.read)
    assert (len(feed.tail(0, 10_000)), feed.expired(0)) == (whole, False)
    rollback(database.pool, FEED, log.read)
    assert (len(feed.tail(0, 10_000)), feed.expired(0)) == (0, True)


def test_the_feed_never_gets_ahead_of_what_it_follows(database: Database, log: PostgresLog) -> None:
    filled(database, log)
    at = log.head()
    log.put(events_of_attempt(requested()))
    rebuild(database.pool, FEED, log.read)
    assert position(database.pool, "executions", FEED.name) == at
    assert LiveFeed(database.pool).head() == at
