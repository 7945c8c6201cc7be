"""Runs SQL on a connection and keeps a bounded number of the rows, whatever the server sends."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from psycopg import AsyncConnection, Error, capabilities, generators
from psycopg.abc import PQGen
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

from application.actions.sql_placeholders import Sql
from application.engine.action import ActionError

_CHUNK = 200
_CHANGES = (b"INSERT", b"UPDATE", b"DELETE", b"MERGE")
_ROWS = (ExecStatus.SINGLE_TUPLE, ExecStatus.TUPLES_CHUNK, ExecStatus.TUPLES_OK)
_COPY = (ExecStatus.COPY_IN, ExecStatus.COPY_OUT, ExecStatus.COPY_BOTH)


@dataclass(slots=True)
class Rows:
    """What a query gave. `count` counts all rows, those that were not kept too; `changed` sums up all statements."""

    most: int
    most_bytes: int
    kept: list[dict[str, Any]] = field(default_factory=list)
    count: int = 0
    changed: int = 0
    tabular: bool = False
    """Whether a statement gave columns at all."""
    truncated: bool = False
    size: int = 0

    def begin(self) -> None:
        """A statement gives rows of its own: those of the last one count."""
        self.kept, self.count, self.size, self.tabular, self.truncated = [], 0, 0, True, False


async def fetch(connection: AsyncConnection[Any], sql: Sql, rows: Rows) -> None:
    """Run the SQL and fill in `rows`. The first error, of the server or of a value that cannot be read, is raised when all
    answers have been read; a cancelled wait cancels the query on the server too."""
    await connection.wait(_exchange(connection, sql, _Taking(connection, rows)))


class _Taking:
    """Takes results in, one after another."""

    def __init__(self, connection: AsyncConnection[Any], rows: Rows) -> None:
        self.error: Exception | None = None
        self._rows = rows
        self._transformer = Transformer(connection)
        self._encoding = connection.info.encoding
        self._names: list[str] | None = None

    def take(self, result: PGresult) -> None:
        if result.status in _ROWS:
            self._take_rows(result)
        elif result.status in _COPY:
            raise ActionError("config", "COPY is not a query of a step", hint="use INSERT or SELECT")
        elif result.status == ExecStatus.FATAL_ERROR:
            self.error = self.error or error_from_result(result, encoding=self._encoding)
        if (result.command_status or b"").startswith(_CHANGES):
            self._rows.changed += result.command_tuples or 0

    def _take_rows(self, result: PGresult) -> None:
        if self._names is None:
            self._rows.begin()
            self._names = _names(result, self._encoding)
            self._transformer.set_pgresult(result)
        rows = self._rows
        for number in range(result.ntuples):
            rows.count += 1
            if not rows.truncated and self.error is None:
                self._keep(result, number, self._names)
        if result.status == ExecStatus.TUPLES_OK:
            self._names = None

    def _keep(self, result: PGresult, number: int, names: list[str]) -> None:
        rows = self._rows
        record = [result.get_value(number, column) for column in range(len(names))]
        rows.size += sum(len(value) for value in record if value is not None)
        if len(rows.kept) == rows.most or rows.size > rows.most_bytes:
            rows.truncated = True
            return
        try:
            rows.kept.append(dict(zip(names, self._transformer.load_sequence(record), strict=True)))
        except (Error, ValueError, RecursionError) as error:
            self.error = ActionError("query", f"row {rows.count} holds a value that cannot be read: {error}")


def _exchange(connection: AsyncConnection[Any], sql: Sql, taking: _Taking) -> PQGen[None]:
    pgconn = connection.pgconn
    if sql.values:
        dumping = Transformer(connection)
        values = dumping.dump_sequence(sql.values, [PyFormat.AUTO] * len(sql.values))
        pgconn.send_query_params(sql.text.encode(), values, dumping.types, dumping.formats)
    else:
        pgconn.send_query(sql.text.encode())
    if capabilities.has_stream_chunked():
        pgconn.set_chunked_rows_mode(_CHUNK)
    else:
        pgconn.set_single_row_mode()
    yield from generators.send(pgconn)
    while (result := (yield from generators.fetch(pgconn))) is not None:
        taking.take(result)
    if taking.error is not None:
        raise taking.error


def _names(result: PGresult, encoding: str) -> list[str]:
    """Names of the columns; one that repeats gets a number: id, id_2."""
    seen: Counter[str] = Counter()
    names: list[str] = []
    for column in range(result.nfields):
        name = (result.fname(column) or b"").decode(encoding)
        seen[name] += 1
        names.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return names
