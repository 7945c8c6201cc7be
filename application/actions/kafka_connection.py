"""A connection to one Kafka broker: to a judged address, reading no more and hashing no longer than the limits say."""

from __future__ import annotations

import asyncio
import weakref
from dataclasses import field
from ssl import SSLError
from typing import Any

from aiokafka.conn import AIOKafkaConnection, ScramAuthenticator
from aiokafka.protocol.metadata import MetadataRequest

from application.engine.egress import EgressPolicy, checked_addresses
from domain.values import dataclass

_MOST_ITERATIONS = 1_000_000


@dataclass(frozen=True, slots=True)
class Judging:
    """What all connections of a client keep to. `transports` are those that were made, as long as they live."""

    policy: EgressPolicy
    most_bytes: int
    server_name: str = ""
    creates_topics: bool = False
    transports: weakref.WeakSet[Any] = field(default_factory=weakref.WeakSet)


class JudgedConnection(AIOKafkaConnection):  # type: ignore[misc]
    """A connection that resolves through the policy, and reads no answer over the limit."""

    _loop: Any

    def __init__(self, host: str, port: int, judging: Judging, **options: Any) -> None:
        super().__init__(host, port, **options)
        self._judging = judging
        self._loop = _Connecting(self._loop, judging)

    def authenticator_scram(self) -> Any:
        """As in the base class, with a bound on the work that a broker may ask for."""
        return _Scram(
            loop=self._loop,
            sasl_plain_password=self._sasl_plain_password,
            sasl_plain_username=self._sasl_plain_username,
            sasl_mechanism=self._sasl_mechanism,
        )

    def send(self, request: Any, expect_response: bool = True) -> Any:
        """As in the base class; asking for a topic creates it only for one who writes there."""
        if isinstance(request, MetadataRequest):
            request = MetadataRequest(request._topics, self._judging.creates_topics)
        return super().send(request, expect_response)

    @staticmethod
    async def _read(self_ref: weakref.ref[JudgedConnection]) -> None:
        """As in the base class, but for the limit; holds the connection only while it handles an answer."""
        connection = self_ref()
        if connection is None:
            return
        reader, most = connection._reader, connection._judging.most_bytes
        del connection
        while True:
            size = int.from_bytes(await reader.readexactly(4), "big", signed=True)
            if not 0 <= size <= most:
                raise ConnectionError(f"the broker announced an answer of {size} bytes, and {most} are the limit")
            frame = await reader.readexactly(size)
            connection = self_ref()
            if connection is None:
                return
            connection._handle_frame(frame)
            del connection


class _Scram(ScramAuthenticator):  # type: ignore[misc]
    def create_salted_password(self, salt: bytes, iterations: int) -> None:
        if iterations > _MOST_ITERATIONS:
            raise ValueError(f"the broker asks for {iterations} rounds of hashing, and {_MOST_ITERATIONS} are the limit")
        super().create_salted_password(salt, iterations)


class _Connecting:
    """The running loop to a connection, except that connecting goes to judged addresses, with the certificate of the name
    that was asked for. It is the one call through which aiokafka reaches the network."""

    def __init__(self, loop: asyncio.AbstractEventLoop, judging: Judging) -> None:
        self._loop = loop
        self._judging = judging

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    async def create_connection(self, factory: Any, host: str, port: int, *, ssl: Any = None) -> Any:
        """A connection to the first address of the host that takes one."""
        failure: OSError | None = None
        options: dict[str, Any] = {"ssl": ssl, "server_hostname": self._judging.server_name or host} if ssl else {}
        for address in await checked_addresses(self._judging.policy, host, port):
            try:
                made = await self._loop.create_connection(factory, address, port, **options)
                self._judging.transports.add(made[0])
                return made
            except SSLError:
                raise
            except OSError as error:
                failure = error
        raise failure or OSError(f"{host} has no address")
