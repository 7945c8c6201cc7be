"""A connection to MySQL in a thread of its own, over a socket of ours: its address is judged, and it can be cut off."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from application.actions.database_target import Target
from application.actions.database_thread import Stop, Thread
from application.actions.database_tls import authorities
from application.actions.mysql_connection import MysqlConnection
from application.actions.mysql_errors import connecting_failed
from application.engine.action import ActionError

T = TypeVar("T")
_KEEPALIVE = (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
_QUIT_SECONDS = 1.0


class Line:
    """An open connection. `wire` is its socket once more, which TLS and PyMySQL leave alone."""

    def __init__(self, wire: socket.socket) -> None:
        self._thread = Thread("testmesh-mysql")
        self.wire = wire
        self.peer: tuple[str, int] = wire.getpeername()[:2]
        self.connection: MysqlConnection

    @classmethod
    async def opened(cls, target: Target, addresses: Sequence[str], most: int) -> Line:
        """A connection to the first of these judged addresses that takes one. ActionError when none does."""
        made = await _connected(target, addresses)
        try:
            line = cls(made.dup())
        except OSError as error:
            made.close()
            raise connecting_failed(error, target) from None
        try:
            line.connection = await line._thread.run(lambda: _greeted(target, made, most), line.drop)
        except Exception as error:
            await line.close()
            raise connecting_failed(error, target) from None
        except BaseException:
            await line.close()
            raise
        return line

    @property
    def usable(self) -> bool:
        """Whether it is open, as far as is known here."""
        return bool(self.connection.open)

    async def run(self, work: Callable[[MysqlConnection], T], stop: Stop) -> T:
        """Do something with the connection in its thread."""
        return await self._thread.run(lambda: work(self.connection), stop)

    async def drop(self, work: asyncio.Future[Any]) -> None:
        """Cut it off, and wait until the work in its thread has noticed."""
        self.hang_up()
        await asyncio.wait({work}, timeout=_QUIT_SECONDS)

    def hang_up(self) -> None:
        """Cut it off: whatever waits for the server gets an end of file."""
        with suppress(OSError):
            self.wire.shutdown(socket.SHUT_RDWR)

    async def close(self) -> None:
        """Say good-bye and close it."""
        connection = getattr(self, "connection", None)
        if connection is not None and connection.open:
            with suppress(TimeoutError):
                async with asyncio.timeout(_QUIT_SECONDS):
                    await self._thread.run(connection.close, self.drop)
        self.hang_up()
        self.wire.close()
        self._thread.end()


async def _connected(target: Target, addresses: Sequence[str]) -> socket.socket:
    failure: ActionError | None = None
    for address in addresses:
        made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        try:
            made.setblocking(False)
            await asyncio.get_running_loop().sock_connect(made, (address, target.port))
            _tune(made)
            return made
        except OSError as error:
            made.close()
            failure = connecting_failed(error, target)
        except BaseException:
            made.close()
            raise
    raise failure or ActionError("dns", f"{target.host} has no address")


def _tune(made: socket.socket) -> None:
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE:
        if hasattr(socket, name):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _greeted(target: Target, made: socket.socket, most: int) -> MysqlConnection:
    """A connection that has logged in; no file of options is read, and none of the environment."""
    try:
        connection = MysqlConnection(
            most,
            host=target.host,
            port=target.port,
            user=target.user,
            password=target.password.encode(),
            database=target.database or None,
            program_name=target.application_name,
            charset="utf8mb4",
            **_tls(target.sslmode),
        )
        connection.connect(made)
    except BaseException:
        made.close()
        raise
    return connection


def _tls(mode: str) -> dict[str, Any]:
    """PyMySQL's own default is `prefer`."""
    if mode == "disable":
        return {"ssl_disabled": True}
    if mode == "prefer":
        return {}
    verify = mode.startswith("verify-")
    context = ssl.create_default_context(cafile=authorities() if verify else None)
    context.check_hostname = mode == "verify-full"
    context.verify_mode = ssl.CERT_REQUIRED if verify else ssl.CERT_NONE
    return {"ssl": context}
