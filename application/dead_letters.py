"""Dead letters: entries of the queue that can never be run, kept in PostgreSQL until somebody decides. All SQL is here."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from application.database import Database
from domain.errors import Conflict, NotFound
from domain.limits import LIMITS
from domain.values import dataclass

if TYPE_CHECKING:
    import psycopg

DECIDED_KEPT_DAYS = 90
_NAMESPACE = UUID("6b1f2c1e-7a52-5d0a-9a43-2f9a3f6a5f11")
_COLUMNS = "id, entry, reason, worker, parked_at, names, contents, size, cut, decision, decided_by, decided_at"
_OPEN = "decision IS NULL"

Fields = Mapping[bytes, bytes]
Send = Callable[[Fields], None]
"""Puts fields into the queue, as they are."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A parked entry: `entry` is its id in the queue, `fields` are its bytes as they came (`size` of them; only the first
    when `cut`). `decision` is `requeued`, `discarded` or None while nobody has decided."""

    id: UUID
    entry: str
    reason: str
    worker: str
    parked_at: datetime
    fields: Fields
    size: int
    cut: bool
    decision: str | None = None
    decided_by: str | None = None
    decided_at: datetime | None = None


def park(database: Database, entry: str, fields: Fields, reason: str, worker: str) -> None:
    """Keep an entry with the reason. The same entry twice (a worker that died before it acknowledged) is one letter."""
    size = sum(len(name) + len(content) for name, content in fields.items())
    kept = _cut(fields)
    sql = (
        "INSERT INTO executions.dead_letters (id, entry, reason, worker, names, contents, size, cut)"
        " VALUES (%s, %s, %s, %s, %b::bytea[], %b::bytea[], %s, %s) ON CONFLICT (id) DO NOTHING"
    )
    values = (_id(entry, kept), entry, reason[:500], worker, list(kept), list(kept.values()), size, dict(kept) != dict(fields))
    with database.pool.connection() as connection:
        connection.execute(sql, values)


def _id(entry: str, fields: Fields) -> UUID:
    parts = [entry.encode(), *(part for item in fields.items() for part in item)]
    return uuid.uuid5(_NAMESPACE, "".join(f"{len(part)}:{part.hex()};" for part in parts))


def _cut(fields: Fields) -> dict[bytes, bytes]:
    """What fits into an event's size."""
    kept: dict[bytes, bytes] = {}
    room = LIMITS.event_bytes
    for name, content in fields.items():
        if room <= 0:
            break
        short = name[:room]
        kept[short] = content[: room - len(short)]
        room -= len(short) + len(kept[short])
    return kept


class DeadLetters:
    """What operators do with them. `send` is the way back into the queue."""

    def __init__(self, database: Database, send: Send) -> None:
        self._database = database
        self._send = send

    def page(self, *, decided: bool, before: tuple[datetime, UUID] | None, limit: int) -> list[DeadLetter]:
        """Letters, newest first: those that wait for a decision, or those that had one; `before` is the last one seen."""
        condition = f"NOT ({_OPEN})" if decided else _OPEN
        values: tuple[Any, ...] = (limit,)
        if before is not None:
            condition, values = f"{condition} AND (parked_at, id) < (%s, %s)", (*before, limit)
        with self._database.pool.connection() as connection:
            return _read(connection, f"WHERE {condition} ORDER BY parked_at DESC, id DESC LIMIT %s", values)

    def get(self, id: UUID) -> DeadLetter:
        """One letter; NotFound when there is none."""
        with self._database.pool.connection() as connection:
            return _one(connection, id)

    def requeue(self, by: str, id: UUID) -> DeadLetter:
        """Send it again. The decision is written when the queue has it: dying between the two sends twice, never not at all."""
        return self._decide(by, id, "requeued")

    def discard(self, by: str, id: UUID) -> DeadLetter:
        """Give it up."""
        return self._decide(by, id, "discarded")

    def _decide(self, by: str, id: UUID, decision: str) -> DeadLetter:
        sql = (
            "UPDATE executions.dead_letters SET decision = %s, decided_by = %s, decided_at = clock_timestamp()"
            f" WHERE id = %s AND {_OPEN}"
        )
        with self._database.pool.connection() as connection, connection.transaction():
            before = _one(connection, id)
            # The queue is asked inside the transaction; it answers within its own time-out.
            connection.execute("SET LOCAL idle_in_transaction_session_timeout = '20s'")
            if connection.execute(sql, (decision, by, id)).rowcount == 0:
                raise Conflict(f"dead letter {id} was {_one(connection, id).decision} already", code="already_decided")
            if decision == "requeued":
                self._send_again(before)
            return _one(connection, id)

    def _send_again(self, letter: DeadLetter) -> None:
        if letter.cut or not letter.fields:
            raise Conflict(
                f"of dead letter {letter.id} only the first {LIMITS.event_bytes} of {letter.size} bytes are kept"
                if letter.cut
                else f"dead letter {letter.id} has no content",
                code="not_sendable",
                remedy="discard it",
            )
        self._send(letter.fields)


def _one(connection: psycopg.Connection[Any], id: UUID) -> DeadLetter:
    found = _read(connection, "WHERE id = %s", (id,))
    if not found:
        raise NotFound(f"there is no dead letter {id}")
    return found[0]


def _read(connection: psycopg.Connection[Any], rest: str, values: Sequence[Any]) -> list[DeadLetter]:
    from psycopg.rows import dict_row

    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(f"SELECT {_COLUMNS} FROM executions.dead_letters {rest}".encode(), values).fetchall()
    return [DeadLetter(fields=dict(zip(row.pop("names"), row.pop("contents"), strict=True)), **row) for row in rows]


def count(database: Database) -> int:
    """How many wait for a decision."""
    with database.pool.connection() as connection:
        row = connection.execute(f"SELECT count(*) FROM executions.dead_letters WHERE {_OPEN}").fetchone()
    return int(row[0]) if row else 0


def prune(database: Database) -> int:
    """Delete letters that were decided long ago; how many."""
    sql = "DELETE FROM executions.dead_letters WHERE decided_at < clock_timestamp() - make_interval(days => %s)"
    with database.pool.connection() as connection:
        return connection.execute(sql, (DECIDED_KEPT_DAYS,)).rowcount
