"""One connection to MySQL or MariaDB for all steps of an execution: to a judged address, in a thread of its own."""

from __future__ import annotations

import asyncio
import select
from typing import Any

from application.actions.database_rows import Rows
from application.actions.database_target import Target
from application.actions.database_thread import all_or_nothing
from application.actions.mysql_connection import MysqlConnection
from application.actions.mysql_errors import INTERRUPTED, code_of, query_failed
from application.actions.mysql_line import Line
from application.actions.sql_placeholders import Sql
from application.engine.action import ActionContext, ActionError
from application.engine.egress import checked_addresses

_KILL_SECONDS = 3.0
_END_SECONDS = 2.0
_USELESS = ("connection_error", "protocol", "response_too_large")
"""Kinds of errors after which nobody knows what the connection will say next."""


class MysqlSession:
    """The connection to one target, opened when first used; steps that run at the same time take turns."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._turn = asyncio.Lock()
        self._line: Line | None = None
        self._in_transaction = False

    async def run(self, sql: Sql, rows: Rows, context: ActionContext, *, transaction: bool = False) -> None:
        """Run the SQL; `transaction` makes it all or nothing, as far as MySQL goes: statements that define tables commit.

        A query that is cancelled from outside is killed on the server, by a second connection, before this returns.
        """
        async with self._turn:
            line = await self._connected(context)

            async def stop(work: asyncio.Future[Any]) -> None:
                await self._stop(line, work, context)

            try:
                await line.run(lambda connection: _work(connection, sql, rows, transaction), stop)
            except Exception as error:
                failure = query_failed(error, sql)
                if failure.kind in _USELESS or isinstance(error, RuntimeError):
                    await self.close()
                raise failure from None
            finally:
                await self._settle(line)

    async def close(self) -> None:
        """End the connection; an open transaction is rolled back by the server."""
        line, self._line = self._line, None
        if line is not None:
            await line.close()

    async def _settle(self, line: Line) -> None:
        if self._line is line and line.usable:
            self._in_transaction = line.connection.in_transaction
        else:
            await self.close()

    async def _stop(self, line: Line, work: asyncio.Future[Any], context: ActionContext) -> None:
        """Stop the query. The session goes on only when the query itself was hit."""
        try:
            async with asyncio.timeout(_KILL_SECONDS):
                await self._kill(line, context)
                await asyncio.wait({work}, timeout=_END_SECONDS)
        except (ActionError, TimeoutError) as error:
            context.log("warning", f"the query could not be killed and may still run on {self._target.label}: {error}")
        if not work.done():
            line.hang_up()
            await asyncio.wait({work}, timeout=_END_SECONDS)
        if not work.done() or code_of(work.exception()) != INTERRUPTED:
            await self.close()

    async def _kill(self, line: Line, context: ActionContext) -> None:
        address, port = line.peer
        context.egress.check(self._target.host, address, port)
        other = await Line.opened(self._target, [address], context.limits.response_read_bytes)
        try:
            number = line.connection.thread_id()
            await other.run(lambda connection: connection.command(f"KILL QUERY {number:d}"), other.drop)
        except Exception as error:
            raise query_failed(error, Sql("")) from None
        finally:
            await other.close()

    async def _connected(self, context: ActionContext) -> Line:
        if self._line is not None and not _is_alive(self._line):
            await self.close()
        if self._line is None:
            if self._in_transaction:
                self._in_transaction = False
                raise ActionError("connection_error", "the connection was lost, and the transaction that was open with it")
            self._line = await self._connect(context)
        return self._line

    async def _connect(self, context: ActionContext) -> Line:
        target = self._target
        addresses = await checked_addresses(context.egress, target.host, target.port)
        limit = min(context.remaining(), target.connect_timeout)
        try:
            async with asyncio.timeout(limit):
                return await Line.opened(target, addresses, context.limits.response_read_bytes)
        except TimeoutError:
            raise ActionError("timeout", f"no connection to {target.label} within {limit:g} s") from None


def _work(connection: MysqlConnection, sql: Sql, rows: Rows, transaction: bool) -> None:
    if not transaction:
        connection.fetch(sql, rows)
        return
    with all_or_nothing(connection.command, inside=connection.in_transaction):
        connection.fetch(sql, rows)


def _is_alive(line: Line) -> bool:
    """Whether the server has not hung up since the last query; known without sending anything, as it speaks unasked only
    to say good-bye."""
    waiting = select.poll()
    waiting.register(line.wire, select.POLLIN)
    return line.usable and not waiting.poll(0)
