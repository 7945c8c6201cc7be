"""Leases: which attempts are alive, by one clock, the database's. All statements of the table are here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from application.log import SideWrite
from domain.values import dataclass

if TYPE_CHECKING:
    import psycopg

LEASE_SECONDS = 15.0
HEARTBEAT_SECONDS = 5.0
GRACE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Beat:
    """What a heartbeat says of one execution that this worker holds."""

    execution: UUID
    cancel_requested: bool


@dataclass(frozen=True, slots=True)
class Lost:
    """A lease that has run out, or whose execution is over its deadline."""

    execution: UUID
    attempt: int
    worker: str
    over_deadline: bool


def take(execution: UUID, attempt: int, kind: str, worker: str, seconds: float, cancelled: bool = False) -> SideWrite:
    """The lease row of a claim; `seconds` until the deadline, grace included."""
    sql = (
        "INSERT INTO executions.leases (execution, attempt, kind, worker, beat, deadline, cancel_requested)"
        " VALUES (%s, %s, %s, %s, clock_timestamp(), clock_timestamp() + make_interval(secs => %s), %s)"
        " ON CONFLICT (execution) DO UPDATE SET attempt = excluded.attempt, kind = excluded.kind, worker = excluded.worker,"
        " beat = excluded.beat, deadline = excluded.deadline, cancel_requested = excluded.cancel_requested, missed = 0"
    )
    return SideWrite(sql, (execution, attempt, kind, worker, seconds + GRACE_SECONDS, cancelled))


def release(execution: UUID, worker: str) -> SideWrite:
    """Remove the row of a worker that is done."""
    return SideWrite("DELETE FROM executions.leases WHERE execution = %s AND worker = %s", (execution, worker))


def drop(lost: Lost) -> SideWrite:
    """Remove the row that was seen to be lost; not one that has been prolonged or taken since."""
    sql = "DELETE FROM executions.leases WHERE execution = %s AND attempt = %s AND worker = %s AND missed > 0"
    return SideWrite(sql, (lost.execution, lost.attempt, lost.worker))


def beat(connection: psycopg.Connection[Any], worker: str, held: Sequence[UUID]) -> list[Beat]:
    """Prolong what this worker holds; what is missing in the answer is lost. A row that an append is about to change is left
    to the next beat: waiting for one with others in hand would be a deadlock with an append that ends several of them, and
    holds up the whole log until PostgreSQL breaks it."""
    rows = connection.execute(
        "WITH mine AS (SELECT execution, cancel_requested FROM executions.leases"
        " WHERE worker = %(worker)s AND execution = ANY(%(held)s)),"
        " free AS (SELECT execution FROM executions.leases WHERE worker = %(worker)s AND execution = ANY(%(held)s)"
        " FOR UPDATE SKIP LOCKED),"
        " beaten AS (UPDATE executions.leases l SET beat = clock_timestamp(), missed = 0"
        " FROM free WHERE l.execution = free.execution)"
        " SELECT execution, cancel_requested FROM mine",
        {"worker": worker, "held": list(held)},
    ).fetchall()
    return [Beat(row[0], row[1]) for row in rows]


def lost(connection: psycopg.Connection[Any], seconds: float = LEASE_SECONDS) -> list[Lost]:
    """Leases seen silent in two rounds, and those over their deadline. As in `beat`, what an append is about to change is left
    to the next round."""
    rows = connection.execute(
        "WITH silent AS (SELECT execution FROM executions.leases"
        " WHERE clock_timestamp() - beat > make_interval(secs => %s) OR clock_timestamp() > deadline FOR UPDATE SKIP LOCKED)"
        " UPDATE executions.leases l SET missed = missed + 1 FROM silent WHERE l.execution = silent.execution"
        " RETURNING l.execution, l.attempt, l.worker, l.missed, clock_timestamp() > l.deadline",
        (seconds,),
    ).fetchall()
    return [Lost(row[0], row[1], row[2], row[4]) for row in rows if row[3] >= 2]
