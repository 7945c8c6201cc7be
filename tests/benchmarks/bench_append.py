"""Appending: saves of many and of one, beside the eventsourcing library's recorder and beside bare SQL."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from urllib.parse import urlsplit
from uuid import UUID

import psycopg
from eventsourcing.persistence import StoredEvent
from eventsourcing.postgres import PostgresApplicationRecorder, PostgresDatastore

from application.database import Database
from application.event_store import PostgresLog
from domain.execution import Execution
from tests.benchmarks.ratios import Benchmark, Row, at_least, in_turns
from tests.benchmarks.servers import durable_postgres
from tests.support.events import requested

BATCH = 100
_BARE = "CREATE TABLE public.bare (LIKE executions.events INCLUDING ALL)"
_ONE = "INSERT INTO public.bare (originator_id, originator_version, topic, state) VALUES (%s, %s, %s, %s)"
_MANY = (
    "INSERT INTO public.bare (originator_id, originator_version, topic, state)"
    " SELECT * FROM unnest(%b::uuid[], %b::int4[], %b::text[], %b::bytea[]) RETURNING notification_id"
)
Save = Callable[[Sequence[Execution]], object]


class Bench:
    """One database, and every way to save executions in it."""

    def __init__(self, url: str, opened: ExitStack) -> None:
        database = Database(url, size=4)
        self.log = PostgresLog("executions", database)
        opened.callback(database.close)
        opened.callback(self.log.close)
        self.connection = opened.enter_context(database.connect())
        self.connection.execute(_BARE)
        self.library = self._library(url, opened)

    def put(self, executions: Sequence[Execution]) -> object:
        """Through our write path."""
        return self.log.put(*executions)

    def library_save(self, executions: Sequence[Execution]) -> object:
        """One transaction of the library's recorder, over the same stored events."""
        return self.library.insert_events(self.stored(executions))

    def bare_insert(self, executions: Sequence[Execution]) -> object:
        """A statement and a commit an event."""
        return [
            self.connection.execute(_ONE, (e.originator_id, e.originator_version, e.topic, e.state))
            for e in self.stored(executions)
        ]

    def unnest(self, executions: Sequence[Execution]) -> object:
        """One statement for all of them."""
        events = self.stored(executions)
        columns: list[list[UUID | str] | list[int] | list[str] | list[bytes]] = [
            [event.originator_id for event in events],
            [event.originator_version for event in events],
            [event.topic for event in events],
            [event.state for event in events],
        ]
        return self.connection.execute(_MANY, columns).fetchall()

    def stored(self, executions: Sequence[Execution]) -> list[StoredEvent]:
        """The pending events, encoded as ours are."""
        mapper = self.log.application.mapper
        return [mapper.to_stored_event(event) for execution in executions for event in execution.collect_events()]

    def _library(self, url: str, opened: ExitStack) -> PostgresApplicationRecorder:
        place = urlsplit(url)
        datastore = PostgresDatastore(
            place.path.strip("/"),
            place.hostname or "",
            str(place.port),
            place.username or "",
            place.password or "",
            pool_size=64,
            max_overflow=0,
            originator_id_type="uuid",
        )
        opened.callback(datastore.close)
        recorder = PostgresApplicationRecorder(datastore, events_table_name="library_events")
        recorder.create_table()
        return recorder


def _rate(save: Save, savers: int, saves: int, size: int = 1) -> float:
    """Events a second when so many threads save one after the other; the executions are made before the clock starts."""
    work = [[[requested() for _ in range(size)] for _ in range(saves)] for _ in range(savers)]
    ready = threading.Barrier(savers + 1)

    def saver(mine: list[list[Execution]]) -> None:
        ready.wait()
        for executions in mine:
            save(executions)

    threads = [threading.Thread(target=saver, args=(mine,)) for mine in work]
    for thread in threads:
        thread.start()
    ready.wait()
    begun = time.perf_counter()
    for thread in threads:
        thread.join()
    return savers * saves * size / (time.perf_counter() - begun)


def measure(quick: bool) -> Iterator[Row]:
    """Many savers, one saver, batches."""
    rounds = 3 if quick else 7
    with durable_postgres() as url, ExitStack() as opened:
        bench = Bench(url, opened)
        for savers, goal in ((1, None), (16, at_least(10)), (64, at_least(20))):
            ours, theirs = (300, 150) if savers == 1 else (4800 // savers, 480 // savers)
            samples = in_turns(
                lambda n=savers, s=ours: _rate(bench.put, n, s),  # type: ignore[misc]
                lambda n=savers, s=theirs: _rate(bench.library_save, n, s),  # type: ignore[misc]
                rounds,
            )
            yield Row(f"saves/s of {savers} savers", "the library's recorder, one transaction a save", samples, goal)
        samples = in_turns(lambda: _rate(bench.put, 1, 300), lambda: _rate(bench.bare_insert, 1, 300), rounds)
        yield Row("saves/s of one saver", "a bare INSERT with a commit each", samples, at_least(0.6))
        samples = in_turns(lambda: _rate(bench.put, 1, 20, BATCH), lambda: _rate(bench.unnest, 1, 20, BATCH), rounds)
        yield Row(f"events/s, batches of {BATCH}", "a raw INSERT from unnest", samples, at_least(0.7))
        _check(bench.connection)


def _check(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """What was measured was really written."""
    for table in ("executions.events", "public.library_events", "public.bare"):
        row = connection.execute(f"SELECT count(*) > 0 FROM {table}".encode()).fetchone()
        assert row == (True,), f"nothing was written to {table}"


BENCHMARK = Benchmark(
    "append",
    "Appending events",
    "Each saver is a thread that saves new executions, one event of about 700 bytes, and waits for the commit. The library's"
    " recorder and the bare statements get the same bytes; the bare table has the columns and indexes of the log, but neither"
    " its lock, nor its check for holes, nor its notification.",
    measure,
)
