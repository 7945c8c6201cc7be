"""Projecting: our batches beside one transaction an event, with the same projections over the same log."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

from application.database import Database
from application.event_store import PostgresLog
from domain.execution import Execution
from projections.projector import Projector
from projections.registry import for_log
from projections.view import Projection
from tests.benchmarks.ratios import Benchmark, Row, at_least, in_turns
from tests.benchmarks.servers import durable_postgres
from tests.support import events

LOG = "executions"
STEPS = 10
PAGE = 500
"""Events that either way reads at a time."""
ALL = for_log(LOG)
DETAILS = tuple(projection for projection in ALL if projection.name == "execution_details")


class Bench:
    """A log of finished executions, and two ways to take it in."""

    def __init__(self, url: str, opened: ExitStack) -> None:
        self.database = Database(url, size=4)
        self.log = PostgresLog(LOG, self.database)
        opened.callback(self.database.close)
        opened.callback(self.log.close)

    def fill(self, executions: int) -> None:
        """Runs of ten steps each."""
        for _ in range(executions // 50):
            self.log.put(*(_finished() for _ in range(50)))

    def batched(self, projections: Sequence[Projection]) -> float:
        """Events a second of the projector, from the beginning to the head."""
        self._forget(projections)
        projector = Projector(self.database.pool, self.database.connect, LOG, projections, self.log.read)
        begun = time.perf_counter()
        projector.catch_up()
        seconds = time.perf_counter() - begun
        assert not projector.stopped, projector.stopped
        return self._count() / seconds

    def one_by_one(self, projections: Sequence[Projection], events: int) -> float:
        """Events a second when each event and the position after it is a transaction."""
        self._forget(projections)
        position = taken = 0
        begun = time.perf_counter()
        while taken < events:
            for recorded in self.log.read(position, min(PAGE, events - taken)):
                with self.database.pool.connection() as connection, connection.transaction():
                    for projection in projections:
                        if wanted := projection.wanted([recorded]):
                            projection.apply(connection, wanted)
                    connection.execute(
                        "INSERT INTO executions.tracking VALUES ('one', %s)"
                        " ON CONFLICT (name) DO UPDATE SET position = excluded.position",
                        (recorded.position,),
                    )
                position, taken = recorded.position, taken + 1
        return taken / (time.perf_counter() - begun)

    def _forget(self, projections: Sequence[Projection]) -> None:
        tables = ", ".join(table for projection in projections for table in projection.tables)
        with self.database.pool.connection() as connection:
            connection.execute(f"TRUNCATE {tables}".encode())
            connection.execute("DELETE FROM executions.tracking")

    def _count(self) -> int:
        with self.database.pool.connection() as connection:
            row = connection.execute("SELECT count(*) FROM executions.events").fetchone()
        return int(row[0]) if row else 0


def _finished() -> Execution:
    execution = events.started(events.requested())
    for number in range(STEPS):
        events.step(execution, f"step{number}")
    return events.finished(execution)


def measure(quick: bool) -> Iterator[Row]:
    """The details alone, then all three."""
    rounds, few = (3, 230) if quick else (5, 690)
    with durable_postgres() as url, ExitStack() as opened:
        bench = Bench(url, opened)
        bench.fill(300 if quick else 1000)
        for name, projections, goal in (("execution details", DETAILS, at_least(20)), ("all three", ALL, None)):
            samples = in_turns(
                lambda chosen=projections: bench.batched(chosen),  # type: ignore[misc]
                lambda chosen=projections: bench.one_by_one(chosen, few),  # type: ignore[misc]
                rounds,
            )
            yield Row(f"events/s, {name}", "one transaction an event", samples, goal)


BENCHMARK = Benchmark(
    "projection",
    "Projecting",
    "The projector takes in a log of finished runs of ten steps (23 events each) from its beginning. The other way is that of"
    " the library's runner: the same projections over the same events, but a transaction for each event, the position in it.",
    measure,
)
