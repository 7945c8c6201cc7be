"""One connection to Redis or Valkey for all steps of an execution: to a judged address, never sending twice."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from typing import Any

from redis import exceptions
from redis._parsers import _AsyncRESP2Parser
from redis.asyncio.connection import Connection, SSLConnection

from application.actions.redis_target import RedisTarget
from application.engine.action import ActionContext, ActionError
from application.engine.egress import checked_addresses
from application.engine.errors import CONNECTING

_CONNECT_SECONDS = 10.0
_MALFORMED = (exceptions.InvalidResponse, ValueError, RecursionError)
_LOST = (exceptions.ConnectionError, exceptions.TimeoutError, OSError)
_NOT_ALLOWED = ("WRONGPASS", "NOAUTH", "NOPERM")


class RedisSession:
    """The connection to one target, opened when first used; steps that run at the same time take turns."""

    def __init__(self, target: RedisTarget) -> None:
        self._target = target
        self._turn = asyncio.Lock()
        self._connection: Connection | None = None

    async def call(self, command: Sequence[bytes], context: ActionContext) -> Any:
        """The reply: bytes, integers, None and lists of them; an error inside a list is a ResponseError.

        A command whose reply did not come, for whatever reason, is not sent again: its connection is given up.
        """
        async with self._turn:
            connection = await self._connected(context)
            try:
                await connection.send_command(*command, check_health=False)
                return await connection.read_response(disable_decoding=True)
            except exceptions.ResponseError as error:
                raise _refused(error) from None
            except BaseException as error:
                await self.close()
                if isinstance(error, (*_LOST, *_MALFORMED)):
                    raise _broken(error, self._target) from None
                raise

    async def close(self) -> None:
        """End the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)

    async def _connected(self, context: ActionContext) -> Connection:
        if self._connection is not None and not await _is_idle(self._connection):
            await self.close()
        if self._connection is None:
            self._connection = await _connect(self._target, context)
        return self._connection


async def _is_idle(connection: Connection) -> bool:
    """Whether the server has neither hung up nor said anything unasked."""
    try:
        return connection.is_connected and not await connection.can_read()
    except exceptions.ConnectionError:
        return False


async def _connect(target: RedisTarget, context: ActionContext) -> Connection:
    addresses = await checked_addresses(context.egress, target.host, target.port)
    limit = min(context.remaining(), _CONNECT_SECONDS)
    try:
        async with asyncio.timeout(limit):
            return await _first(target, addresses, context.limits.response_read_bytes)
    except TimeoutError:
        raise ActionError("timeout", f"no connection to {target.label} within {limit:g} s") from None


async def _first(target: RedisTarget, addresses: Sequence[str], most: int) -> Connection:
    """A connection to the first address that takes one."""
    failure: ActionError | None = None
    for address in addresses:
        connection = _made(target, address, most)
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
            return connection
        except (exceptions.RedisError, *_MALFORMED, OSError) as error:
            await connection.disconnect(nowait=True)
            failure = _not_connected(error, target)
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
    raise failure or ActionError("dns", f"{target.host} has no address")


def _made(target: RedisTarget, address: str, most: int) -> Connection:
    class Bounded(_Bounded):
        limit = most

    options: dict[str, Any] = {
        "host": address,
        "port": target.port,
        "db": target.db,
        "username": target.username,
        "password": target.password,
        "protocol": 2,
        "driver_info": None,
        "parser_class": Bounded,
        "socket_timeout": None,
        "socket_connect_timeout": None,
    }
    if not target.tls:
        return Connection(**options)
    verify = {"ssl_cert_reqs": "required" if target.verify else "none", "ssl_check_hostname": target.verify}
    return _Secure(target.host, **options, **verify)


class _Secure(SSLConnection):
    """TLS to an address, with the certificate of the name that was asked for."""

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(**options)
        self._name = name

    def _connection_arguments(self) -> dict[str, Any]:
        return {**super()._connection_arguments(), "server_hostname": self._name}


class _Bounded(_AsyncRESP2Parser):
    """Reads replies up to a size."""

    limit = 0

    async def read_response(self, disable_decoding: bool = False) -> Any:
        self._left = self.limit
        return await super().read_response(disable_decoding=disable_decoding)

    async def _read(self, length: int) -> bytes:
        if length < 0:
            raise ValueError("the reply has a negative length")
        self._spend(length)
        return await super()._read(length)

    async def _readline(self) -> bytes:
        line = await super()._readline()
        self._spend(len(line) + 2)
        return line

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise ActionError("response_too_large", f"the reply is larger than {self.limit} bytes")


def _refused(error: exceptions.ResponseError) -> ActionError:
    text = str(error)
    denied = isinstance(error, exceptions.NoPermissionError) or text.startswith(_NOT_ALLOWED)
    kind = "auth" if denied else "command"
    return ActionError(kind, text, hint=CONNECTING.get(kind))


def _broken(error: BaseException, target: RedisTarget) -> ActionError:
    if isinstance(error, exceptions.AuthenticationError):
        return ActionError("auth", str(error), hint=CONNECTING["auth"])
    if isinstance(error, _LOST):
        return ActionError("connection_error", f"the connection to {target.label} was lost before the reply: {error}")
    return ActionError("protocol", f"{target.label} does not answer as Redis does: {error}")


def _not_connected(error: Exception, target: RedisTarget) -> ActionError:
    cause = error.__cause__ or error.__context__ or error
    kind = "connection_error"
    if isinstance(error, exceptions.AuthenticationError) or str(error).startswith(_NOT_ALLOWED):
        kind = "auth"
    elif isinstance(error, exceptions.ResponseError):
        kind = "command"
    elif isinstance(error, _MALFORMED):
        kind = "protocol"
    elif isinstance(cause, ssl.SSLError):
        kind = "tls"
    elif isinstance(cause, ConnectionRefusedError):
        kind = "connection_refused"
    return ActionError(kind, f"no connection to {target.label}: {error}", hint=CONNECTING.get(kind))
