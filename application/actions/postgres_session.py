"""One connection to PostgreSQL for all steps of an execution: to a judged address, with nothing taken from the machine."""

from __future__ import annotations

import asyncio
import select
from functools import cache
from typing import Any

from psycopg import AsyncConnection, Error
from psycopg.conninfo import make_conninfo
from psycopg.pq import Conninfo, TransactionStatus

from application.actions.database_rows import Rows
from application.actions.database_target import Target
from application.actions.database_tls import authorities
from application.actions.postgres_errors import connecting_failed, query_failed
from application.actions.postgres_rows import fetch
from application.actions.postgres_values import use_plain_values
from application.actions.sql_placeholders import Sql
from application.engine.action import ActionContext, ActionError
from application.engine.egress import checked_addresses

_NO_FILE = "/dev/null/none"
_NOT_EMPTY = {b"min_protocol_version": b"3.0", b"max_protocol_version": b"3.0"}
_MESSAGES = 100
_USABLE = (TransactionStatus.IDLE, TransactionStatus.INTRANS, TransactionStatus.INERROR)


class PostgresSession:
    """The connection to one target, opened when first used; steps that run at the same time take turns."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._turn = asyncio.Lock()
        self._connection: AsyncConnection[Any] | None = None
        self._in_transaction = False

    async def run(self, sql: Sql, rows: Rows, context: ActionContext, *, transaction: bool = False) -> None:
        """Run the SQL; `transaction` makes it all or nothing. ActionError says what went wrong.

        A query that is cancelled from outside is cancelled on the server before this returns.
        """
        async with self._turn:
            connection = await self._connected(context)
            try:
                await self._run(connection, sql, rows, transaction)
            except Error as error:
                raise query_failed(error, sql, alive=not connection.closed) from None
            finally:
                await self._settle(connection)

    async def close(self) -> None:
        """End the connection; an open transaction is rolled back by the server."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def _run(self, connection: AsyncConnection[Any], sql: Sql, rows: Rows, transaction: bool) -> None:
        if not transaction:
            await fetch(connection, sql, rows)
            return
        async with connection.transaction():
            await fetch(connection, sql, rows)

    async def _settle(self, connection: AsyncConnection[Any]) -> None:
        """A connection in the middle of an answer is of no use any more."""
        status = connection.info.transaction_status
        if status in _USABLE:
            self._in_transaction = status != TransactionStatus.IDLE
        else:
            await self.close()

    async def _connected(self, context: ActionContext) -> AsyncConnection[Any]:
        if self._connection is not None and not _is_alive(self._connection):
            await self.close()
        if self._connection is None:
            if self._in_transaction:
                self._in_transaction = False
                raise ActionError("connection_error", "the connection was lost, and the transaction that was open with it")
            self._connection = await _connect(self._target, context)
        return self._connection


async def _connect(target: Target, context: ActionContext) -> AsyncConnection[Any]:
    addresses = await checked_addresses(context.egress, target.host, target.port)
    limit = min(context.remaining(), target.connect_timeout)
    try:
        async with asyncio.timeout(limit):
            connection = await AsyncConnection.connect(_conninfo(target, addresses), autocommit=True)
    except TimeoutError:
        raise ActionError("timeout", f"no connection to {target.label} within {limit:g} s") from None
    except Error as error:
        raise connecting_failed(error, target) from None
    use_plain_values(connection)
    if not (connection.pgconn.parameter_status(b"DateStyle") or b"").startswith(b"ISO"):
        await connection.execute("SET datestyle TO ISO")
    return connection


def _is_alive(connection: AsyncConnection[Any]) -> bool:
    """Whether the server has not hung up since the last query; known without sending anything."""
    try:
        waiting = select.poll()
        waiting.register(connection.pgconn.socket, select.POLLIN)
        for _ in range(_MESSAGES):
            if not waiting.poll(0):
                return True
            connection.pgconn.consume_input()
    except (Error, OSError):
        return False
    return not connection.closed


def _conninfo(target: Target, addresses: list[str]) -> str:
    """Every option given, so that libpq takes none from the environment or from files in the home folder."""
    verify = target.sslmode.startswith("verify-")
    options = {
        **_built_in(),
        "host": ",".join([target.host] * len(addresses)),
        "hostaddr": ",".join(addresses),
        "port": str(target.port),
        "dbname": target.database,
        "user": target.user,
        "password": target.password,
        "sslmode": target.sslmode,
        "sslrootcert": authorities() if verify else _NO_FILE,
        "sslcertmode": "disable",
        "sslcert": _NO_FILE,
        "sslkey": _NO_FILE,
        "sslcrl": _NO_FILE,
        "passfile": _NO_FILE,
        "gssencmode": "disable",
        "require_auth": "none,password,md5,scram-sha-256",
        "client_encoding": "UTF8",
        "application_name": target.application_name,
        "connect_timeout": str(max(2, round(target.connect_timeout))),
        "keepalives_idle": "10",
        "keepalives_interval": "5",
        "keepalives_count": "3",
    }
    return make_conninfo("", **options)


@cache
def _built_in() -> dict[str, str]:
    """libpq's own defaults of every option that an environment variable could set. A service cannot be unset, only
    outvoted: options that are given win over its file."""
    return {
        option.keyword.decode(): (option.compiled or _NOT_EMPTY.get(option.keyword, b"")).decode()
        for option in Conninfo.get_defaults()
        if option.envvar and option.keyword not in (b"service", b"servicefile")
    }
