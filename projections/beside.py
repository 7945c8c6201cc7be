"""A projection's tables in another schema, beside those that serve: made, filled, compared, dropped."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql

from domain.values import dataclass
from projections.health import BATCH
from projections.view import Projection, ReadEvents

PATIENT = "SET LOCAL idle_in_transaction_session_timeout = '60s'; SET LOCAL lock_timeout = '60s'"
Connection = psycopg.Connection[Any]


@dataclass(frozen=True, slots=True)
class Filled:
    """How far tables have come: the position of the last event that they took, and how many they took."""

    position: int = 0
    applied: int = 0


class Beside:
    """Where `kind` (shadow, check, old) of a projection's tables are: the schema `<log>_<kind>`."""

    def __init__(self, projection: Projection, kind: str) -> None:
        self.projection = projection
        self.schema = f"{projection.log}_{kind}"
        self.mark = f"{projection.name}.{kind}" if kind == "old" else None
        """The row of `tracking` that keeps their position; None when they are only complete or not."""
        names = "|".join(re.escape(_bare(table)) for table in moving(projection))
        self._name = re.compile(rf"\b{projection.log}\.({names})\b")

    def tables(self) -> list[str]:
        """Their names with the schema, in the order of the projection."""
        return [f"{self.schema}.{_bare(table)}" for table in moving(self.projection)]

    def exist(self, connection: Connection) -> bool:
        """Whether all of them are there."""
        found = [connection.execute("SELECT to_regclass(%s) IS NOT NULL", (table,)).fetchone() for table in self.tables()]
        return all(row is not None and row[0] for row in found)

    def make(self, connection: Connection) -> None:
        """Empty tables, instead of what a killed rebuild left; whoever may read the serving ones, may read these."""
        with connection.transaction():
            connection.execute(PATIENT)
            self.drop(connection)
            self.make_schema(connection)
            with self.entered(connection):
                connection.execute(self.projection.ddl().encode())
            for serving, table in zip(moving(self.projection), self.tables(), strict=True):
                _grant_alike(connection, serving, table)

    def make_schema(self, connection: Connection) -> None:
        """The schema, unless it is there."""
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {self.schema}".encode())

    def drop(self, connection: Connection) -> None:
        """Forget the tables."""
        for table in self.tables():
            connection.execute(f"DROP TABLE IF EXISTS {table}".encode())

    @contextmanager
    def entered(self, connection: Connection) -> Iterator[None]:
        """While the block runs, statements on the connection mean these tables instead of the serving ones."""
        place, before = self, connection.cursor_factory

        class Moved(psycopg.Cursor[Any]):
            def execute(self, query: Any, *args: Any, **options: Any) -> Any:
                return super().execute(place.moved(query), *args, **options)

        connection.cursor_factory = Moved
        try:
            yield
        finally:
            connection.cursor_factory = before

    def moved(self, query: Any) -> bytes:
        """The statement with these tables' names; values are never in it, they are parameters."""
        if not isinstance(query, str | bytes):
            raise TypeError("a projection gives its statements as text")
        text = query.decode() if isinstance(query, bytes) else query
        return self._name.sub(rf"{self.schema}.\1", text).encode()

    def fill(
        self,
        connection: Connection,
        read_events: ReadEvents,
        begun: Filled,
        *,
        upto: int | None = None,
        size: int = BATCH,
    ) -> Filled:
        """Take the events behind `begun`, up to a position if there is one, a transaction a batch."""
        position, applied = begun.position, begun.applied
        while wanted := _upto(read_events(position, size, self.projection.topics), upto):
            with connection.transaction():
                connection.execute(PATIENT)
                with self.entered(connection):
                    self.projection.apply(connection, wanted)
                if self.mark is not None:
                    keep_position(connection, self.projection.log, self.mark, wanted[-1].position)
            position, applied = wanted[-1].position, applied + len(wanted)
        return Filled(position, applied)


def moving(projection: Projection) -> tuple[str, ...]:
    """The tables that are exchanged when a projection is rebuilt."""
    return (*projection.tables, *projection.companions)


def keep_position(connection: Connection, log: str, name: str, position: int) -> None:
    """Write a row of `tracking`."""
    statement = (
        f"INSERT INTO {log}.tracking (name, position) VALUES (%s, %s)"
        " ON CONFLICT (name) DO UPDATE SET position = excluded.position"
    )
    connection.execute(statement.encode(), (name, position))


def digest_of(connection: Connection, table: str) -> tuple[int, str]:
    """How many rows a table has, and SHA-256 over them in a stable order, hexadecimal. Inside a transaction."""
    digest, count = hashlib.sha256(), 0
    connection.execute("SET LOCAL TimeZone = 'UTC'; SET LOCAL idle_in_transaction_session_timeout = '60s'")
    with connection.cursor(name="rows") as cursor:
        cursor.execute(f'SELECT t::text FROM {table} AS t ORDER BY t::text COLLATE "C"'.encode())
        for row in cursor:
            digest.update(f"{row[0]}\n".encode())
            count += 1
    return count, digest.hexdigest()


def _bare(table: str) -> str:
    return table.partition(".")[2]


def _upto(batch: Sequence[Any], upto: int | None) -> list[Any]:
    return [recorded for recorded in batch if upto is None or recorded.position <= upto]


def _grant_alike(connection: Connection, serving: str, table: str) -> None:
    """Give the same roles the same rights."""
    schema, _, name = serving.partition(".")
    rights = connection.execute(
        "SELECT grantee, privilege_type FROM information_schema.role_table_grants"
        " WHERE table_schema = %s AND table_name = %s AND grantee <> current_user",
        (schema, name),
    ).fetchall()
    for grantee, right in rights:
        statement = sql.SQL("GRANT {} ON {} TO {}").format(
            sql.SQL(right), sql.Identifier(*table.split(".")), sql.Identifier(grantee)
        )
        connection.execute(statement)
