"""One SQLite database for all steps of an execution, in a thread of its own."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from application.actions.database_rows import Rows, column_names
from application.actions.database_thread import Thread, all_or_nothing
from application.actions.sql_dialect import SQLITE
from application.actions.sql_placeholders import Sql, place_of, tokens_of
from application.actions.sqlite_guard import Guard
from application.actions.sqlite_target import MEMORY, SqliteTarget
from application.actions.sqlite_values import plain, sendable, size_of, use_declared_types
from application.engine.action import ActionContext, ActionError

_BUSY_SECONDS = 2.0
"""How long a lock of another process is waited for. An interrupt is noticed after that at the latest."""
_INTERRUPT_SECONDS = 0.05
_INTERRUPTS = 200
_PAGE = 4_096
_LATE = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_INTERRUPT")
_NAMED = re.compile(r'near "(.+)": syntax error|no such (?:column|table|function): (?:\w+\.)*([^.]+)$', re.DOTALL)
_TRIGGER = re.compile(r"\s*create\s+(?:temp\s+|temporary\s+)?trigger\b", re.IGNORECASE)


class SqliteSession:
    """The connection to one database, opened when first used; steps that run at the same time take turns."""

    def __init__(self, target: SqliteTarget, file: str, *, most: int | None = None) -> None:
        """`file` is the real path, or `:memory:`; `most` bytes are what a file may grow to."""
        self._target = target
        self._file = file
        self._most = most
        self._turn = asyncio.Lock()
        self._thread = Thread("testmesh-sqlite")
        self._connection: sqlite3.Connection | None = None
        self._guard = Guard()

    async def run(self, sql: Sql, rows: Rows, context: ActionContext, *, transaction: bool = False) -> None:
        """Run the SQL; `transaction` makes it all or nothing. A query that is cancelled is interrupted."""
        async with self._turn:
            self._guard.refused = None
            try:
                await self._thread.run(lambda: self._work(sql, rows, context, transaction), self._stop)
            except (sqlite3.Error, sqlite3.Warning, OverflowError, ValueError, TypeError, RecursionError) as error:
                raise self._failed(error, sql) from None

    async def close(self) -> None:
        """Close the database; what `:memory:` held is gone."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await self._thread.run(connection.close, self._stop)
        self._thread.end()

    async def _stop(self, work: asyncio.Future[Any]) -> None:
        for _ in range(_INTERRUPTS):  # one alone is lost between two statements
            if self._connection is not None:
                with suppress(sqlite3.Error):
                    self._connection.interrupt()
            if (await asyncio.wait({work}, timeout=_INTERRUPT_SECONDS))[0]:
                return

    def _work(self, sql: Sql, rows: Rows, context: ActionContext, transaction: bool) -> None:
        if self._connection is None:
            self._connection = self._opened(context.limits.response_read_bytes)
        connection = self._connection
        if not transaction:
            _fetch(connection, sql, rows)
            return
        with all_or_nothing(connection.execute, inside=connection.in_transaction):
            _fetch(connection, sql, rows)

    def _opened(self, most: int) -> sqlite3.Connection:
        use_declared_types()
        try:
            connection = sqlite3.connect(
                self._file, timeout=_BUSY_SECONDS, isolation_level=None, detect_types=sqlite3.PARSE_DECLTYPES
            )
        except sqlite3.Error as error:
            raise ActionError("connection_error", f"{self._target.label} cannot be opened: {error}") from None
        try:
            self._bound(connection, most)
        except sqlite3.Error:  # the file is none of SQLite's
            connection.close()
            raise
        connection.set_authorizer(self._guard)
        return connection

    def _bound(self, connection: sqlite3.Connection, most: int) -> None:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, most)
        pragmas = ["trusted_schema=OFF", "cell_size_check=ON", "mmap_size=0"]
        if self._file == MEMORY:
            pragmas += [f"{name}.max_page_count={max(1, most // _PAGE)}" for name in ("main", "temp")]
        elif self._most is not None:
            page = connection.execute("PRAGMA page_size").fetchone()[0]
            pragmas += [f"main.max_page_count={max(1, self._most // page)}"]
            pragmas += [f"temp.max_page_count={max(1, self._most // _PAGE)}", "temp_store=MEMORY"]
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")

    def _failed(self, error: Exception, sql: Sql) -> ActionError:
        if self._guard.refused:
            return ActionError("config", self._guard.refused)
        name, text = getattr(error, "sqlite_errorname", None), str(error)
        if name is None:
            return ActionError("config", f"the query could not be sent: {text}")
        found = _NAMED.search(text)
        place = place_of(sql, found[1] or found[2], whole=found[1] is None or found[1].isidentifier()) if found else ""
        return ActionError("timeout" if name.startswith(_LATE) else "query", f"{text}{place} ({name})")


def _fetch(connection: sqlite3.Connection, sql: Sql, rows: Rows) -> None:
    values = tuple(map(sendable, sql.values))
    for statement in [sql.text] if values else _statements(sql.text):
        before = connection.total_changes
        cursor = connection.execute(statement, values)
        if cursor.description is not None:
            _take(cursor, rows)
        if connection.total_changes != before:
            rows.changed += connection.execute("SELECT changes()").fetchone()[0]


def _take(cursor: sqlite3.Cursor, rows: Rows) -> None:
    rows.begin()
    names = column_names(column[0] for column in cursor.description)
    for record in cursor:
        if rows.wants(sum(map(size_of, record))):
            rows.kept.append(dict(zip(names, map(plain, record), strict=True)))


def _statements(query: str) -> Iterator[str]:
    """The statements of a query one by one; a trigger's body has statements of its own."""
    begin, last = 0, ""
    solid = False
    for token in tokens_of(query, SQLITE):
        if token.kind == "end":
            trigger = _TRIGGER.match(query, begin) is not None
            if not trigger or (last.lower() == "end" and sqlite3.complete_statement(query[begin : token.end])):
                if solid:
                    yield query[begin : token.end]
                begin, solid = token.end, False
        elif token.kind != "blank":
            last, solid = token.text, True
    if solid:
        yield query[begin:]
