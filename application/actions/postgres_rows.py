"""Runs SQL on a connection to PostgreSQL, and takes its rows in."""

from __future__ import annotations

from typing import Any

from psycopg import AsyncConnection, Error, capabilities, generators
from psycopg.abc import PQGen
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

from application.actions.database_rows import Rows, column_names
from application.actions.sql_placeholders import Sql
from application.engine.action import ActionError

_CHUNK = 200
_CHANGES = (b"INSERT", b"UPDATE", b"DELETE", b"MERGE")
_ROWS = (ExecStatus.SINGLE_TUPLE, ExecStatus.TUPLES_CHUNK, ExecStatus.TUPLES_OK)
_COPY = (ExecStatus.COPY_IN, ExecStatus.COPY_OUT, ExecStatus.COPY_BOTH)


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
            names = (result.fname(column) or b"" for column in range(result.nfields))
            self._names = column_names(name.decode(self._encoding) for name in names)
            self._transformer.set_pgresult(result)
        for number in range(result.ntuples):
            self._take_row(result, number, self._names)
        if result.status == ExecStatus.TUPLES_OK:
            self._names = None

    def _take_row(self, result: PGresult, number: int, names: list[str]) -> None:
        rows = self._rows
        record = [result.get_value(number, column) for column in range(len(names))]
        if not rows.wants(sum(len(value) for value in record if value is not None)) or self.error is not None:
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
