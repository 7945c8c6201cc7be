"""The workers that live, with their labels: rows that their heartbeats keep. All statements of the table are here."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from domain.values import dataclass

if TYPE_CHECKING:
    import psycopg

ALIVE_SECONDS = 30.0
"""A worker that has not beaten for so long is not counted on."""


@dataclass(frozen=True, slots=True)
class LiveWorker:
    """A worker: executions that it runs, and how many it may run at once. `beat` is its last heartbeat, `silent` seconds ago by
    the database's clock."""

    incarnation: str
    host: str
    labels: tuple[str, ...]
    concurrency: int
    running: int
    started_at: datetime
    beat: datetime
    silent: float = 0.0


def beat(
    connection: psycopg.Connection[Any], incarnation: str, host: str, labels: Sequence[str], concurrency: int, running: int
) -> None:
    """Say that a worker lives."""
    connection.execute(
        "INSERT INTO executions.workers (incarnation, host, labels, concurrency, running, started_at, beat)"
        " VALUES (%s, %s, %s, %s, %s, clock_timestamp(), clock_timestamp())"
        " ON CONFLICT (incarnation) DO UPDATE SET running = excluded.running, beat = excluded.beat",
        (incarnation, host, list(labels), concurrency, running),
    )


def leave(connection: psycopg.Connection[Any], incarnation: str) -> None:
    """A worker has ended."""
    connection.execute("DELETE FROM executions.workers WHERE incarnation = %s", (incarnation,))


def forget(connection: psycopg.Connection[Any], seconds: float) -> int:
    """Remove those that have been silent for long; how many."""
    sql = "DELETE FROM executions.workers WHERE beat < clock_timestamp() - make_interval(secs => %s)"
    return connection.execute(sql, (seconds,)).rowcount


def live(connection: psycopg.Connection[Any]) -> list[LiveWorker]:
    """Those that live, oldest first."""
    rows = connection.execute(
        "SELECT incarnation, host, labels, concurrency, running, started_at, beat,"
        " extract(epoch FROM clock_timestamp() - beat)::float8 FROM executions.workers"
        " WHERE beat > clock_timestamp() - make_interval(secs => %s) ORDER BY started_at, incarnation",
        (ALIVE_SECONDS,),
    ).fetchall()
    return [LiveWorker(row[0], row[1], tuple(row[2]), *row[3:]) for row in rows]
