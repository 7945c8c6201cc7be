"""Rows in bulk: one statement a table and batch with binary arrays, and the reading of rows as plain dictionaries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from typing import Any
from uuid import UUID

import orjson
import psycopg
from psycopg.rows import dict_row
from psycopg_pool import ConnectionPool

from domain.values import dataclass

Pool = ConnectionPool[psycopg.Connection[Any]]
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a read model: its key, and the PostgreSQL type of each column."""

    name: str
    key: tuple[str, ...]
    types: Mapping[str, str]

    def upsert(self, connection: psycopg.Connection[Any], rows: Iterable[Row]) -> None:
        """Write whole rows, each key at most once, over those that exist. jsonb columns take plain data."""
        kept = list(rows)
        if kept:
            connection.execute(self._upsert_sql().encode(), [self._column(name, kept) for name in self.types])

    def load(self, connection: psycopg.Connection[Any], column: str, values: Iterable[Any], more: str = "") -> list[Row]:
        """The rows whose `column` is one of the values; `more` is a further condition in SQL."""
        wanted = sorted(set(values))
        if not wanted:
            return []
        sql = f"SELECT {', '.join(self.types)} FROM {self.name} WHERE {column} = ANY(%b::{self.types[column]}[]) {more}"
        with connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(sql.encode(), [wanted]).fetchall()

    def delete(self, connection: psycopg.Connection[Any], keys: Iterable[tuple[Any, ...]]) -> None:
        """Remove the rows with these keys."""
        columns = list(zip(*sorted(keys), strict=True))
        if columns:
            arrays = ", ".join(f"%b::{self.types[name]}[]" for name in self.key)
            sql = f"DELETE FROM {self.name} WHERE ({', '.join(self.key)}) IN (SELECT * FROM unnest({arrays}))"
            connection.execute(sql.encode(), [list(column) for column in columns])

    def _upsert_sql(self) -> str:
        sources = {name: "text" if kind == "jsonb" else kind for name, kind in self.types.items()}
        arrays = ", ".join(f"%b::{kind}[]" for kind in sources.values())
        values = ", ".join(f"u.{name}::jsonb" if kind == "jsonb" else f"u.{name}" for name, kind in self.types.items())
        changes = ", ".join(f"{name} = excluded.{name}" for name in self.types if name not in self.key)
        return (
            f"INSERT INTO {self.name} ({', '.join(self.types)}) SELECT {values}"
            f" FROM unnest({arrays}) AS u({', '.join(self.types)})"
            f" ON CONFLICT ({', '.join(self.key)}) DO UPDATE SET {changes}"
        )

    def _column(self, name: str, rows: Sequence[Row]) -> list[Any]:
        if self.types[name] == "jsonb":
            return [None if row[name] is None else json_text(row[name]) for row in rows]
        if self.types[name] == "text":
            return [None if row[name] is None else safe_text(row[name]) for row in rows]
        return [row[name] for row in rows]


def safe_text(text: str) -> str:
    """Text that PostgreSQL can keep: no NUL, no lone surrogates."""
    text = text.replace("\x00", "\ufffd")
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def json_text(value: Any) -> str:
    """Plain data as JSON that jsonb can keep."""
    text = orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)
    return (orjson.dumps(_without_nul(value)) if b"\\u0000" in text else text).decode()


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return safe_text(value)
    if isinstance(value, Mapping):
        return {safe_text(str(key)): _without_nul(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nul(item) for item in value]
    return value


@dataclass(slots=True)
class Where:
    """Conditions of a query with their values, all of which must hold."""

    conditions: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)

    def add(self, condition: str, *values: Any) -> None:
        """One more condition, with a `%s` a value."""
        self.conditions.append(condition)
        self.values.extend(safe_text(value) if isinstance(value, str) else value for value in values)

    def equal(self, **columns: Any) -> None:
        """Columns that must have these values; None means any."""
        for name, value in columns.items():
            if value is not None:
                self.add(f"{name} = %s", value)

    def __str__(self) -> str:
        return " AND ".join(self.conditions) or "true"


def fetch(pool: Pool, sql: str, values: Sequence[Any] = ()) -> list[Row]:
    """Rows of a query as dictionaries, ids as text."""
    with pool.connection() as connection:
        return read(connection, sql, values)


def read(connection: psycopg.Connection[Any], sql: str, values: Sequence[Any] = ()) -> list[Row]:
    """As `fetch`, on a connection that is held already."""
    with connection.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(sql.encode(), [safe_text(v) if isinstance(v, str) else v for v in values]).fetchall()
    return [_readable(row) for row in rows]


def fetch_one(pool: Pool, sql: str, values: Sequence[Any] = ()) -> Row | None:
    """The first row of a query, if any."""
    rows = fetch(pool, sql, values)
    return rows[0] if rows else None


def _readable(row: Row) -> Row:
    return {name: str(value) if isinstance(value, UUID) else value for name, value in row.items()}


def as_uuid(text: str | UUID) -> UUID | None:
    """The id, or None when the text is none (there is nothing to find then)."""
    try:
        return text if isinstance(text, UUID) else UUID(text)
    except (ValueError, AttributeError):
        return None
