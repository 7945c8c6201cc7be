"""aiokafka with every broker judged: no connection but to an address that the egress policy allows, no bombs from it."""

from __future__ import annotations

import asyncio
import logging
import ssl
import weakref
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeVar

from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.conn import AIOKafkaConnection, ScramAuthenticator
from aiokafka.errors import KafkaError
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.metadata import MetadataRequest

from application.actions.http_tls import Certificate, Contexts
from application.actions.kafka_batches import check_batches
from application.actions.kafka_errors import connecting_failed
from application.actions.kafka_target import KafkaTarget, named
from application.engine.action import ActionContext, ActionError
from application.engine.egress import EgressPolicy, EgressRefused, checked_addresses

Given = TypeVar("Given")

_CONNECT_SECONDS = 10.0
_END_SECONDS = 2.0
_REQUEST_MS = 30_000
_MOST_ITERATIONS = 1_000_000

# The failures of connections are told by the step; aiokafka would print them once more.
logging.getLogger("aiokafka").addHandler(logging.NullHandler())


def client_options(target: KafkaTarget) -> dict[str, Any]:
    """The options that aiokafka's producer and consumer share."""
    sasl, tls = target.sasl, target.tls
    protocol = ("SASL_" if sasl else "") + ("SSL" if tls else "PLAINTEXT")
    options: dict[str, Any] = {
        "bootstrap_servers": [named(host, port) for host, port in target.brokers],
        "client_id": "testmesh",
        "request_timeout_ms": _REQUEST_MS,
        "security_protocol": protocol,
    }
    if sasl is not None:
        options |= {"sasl_mechanism": sasl.mechanism}
        options |= {"sasl_plain_username": sasl.username, "sasl_plain_password": sasl.password}
    if tls is not None:
        certificate = Certificate(tls.cert, tls.key, "", tls.ca)
        options["ssl_context"] = Contexts().get(tls.verify, certificate, ())
    return options


class JudgedClient(AIOKafkaClient):  # type: ignore[misc]
    """aiokafka's client with connections of our own making.

    `broken` is set once to what makes going on useless (a broker that is refused, an answer that is too large); `failure` is
    why the last connection could not be made, which may pass.
    """

    _context: ActionContext
    _target: KafkaTarget
    broken: asyncio.Future[ActionError]
    failure: ActionError | None
    creates_topics: bool
    _sync_task: asyncio.Task[Any] | None

    @classmethod
    def judging(
        cls, client: AIOKafkaClient, target: KafkaTarget, context: ActionContext, *, creates_topics: bool
    ) -> JudgedClient:
        """Make the client that a producer or consumer has built for itself, before it starts, one of this class: they take
        no client from outside, and theirs resolves and connects by itself."""
        client.__class__ = cls
        client._target, client._context = target, context
        client.broken, client.failure = asyncio.get_running_loop().create_future(), None
        client.creates_topics, client._ended, client._transports = creates_topics, False, weakref.WeakSet()
        judged: JudgedClient = client
        return judged

    async def watched(self, work: Awaitable[Given]) -> Given:
        """The outcome of work with this client; what breaks the client ends it."""
        task = asyncio.ensure_future(work)
        both: set[asyncio.Future[Any]] = {task, self.broken}
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if self.broken.done():
                raise self.broken.result()
            return await task
        finally:
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def bootstrap(self) -> None:
        """Ask the brokers of the target, in order, for those of the cluster, and judge all of them."""
        failure: ActionError | None = None
        for host, port in self._target.brokers:
            try:
                await self._ask(host, port)
                break
            except EgressRefused:
                raise
            except ActionError as error:
                failure = failure or error
        else:
            raise failure or ActionError("connection_error", f"no broker of {self._target.label} answers")
        await self._judge()
        if self._sync_task is None:
            self._sync_task = asyncio.create_task(self._md_synchronizer())

    async def send(self, node_id: Any, request: Any, *, group: ConnectionGroup = ConnectionGroup.DEFAULT) -> Any:
        """The answer to a request; fetched batches are measured before anything unpacks them."""
        response = await super().send(node_id, request, group=group)
        if isinstance(request, FetchRequest):
            try:
                check_batches(response, self._context.limits.response_read_bytes)
            except ActionError as error:
                self._break(error)
                raise KafkaError(error.message) from None
        return response

    async def close(self) -> None:
        """As in the base class; no connection is made from now on."""
        self._ended = True
        await super().close()

    def abort(self) -> None:
        """End what a close in good order has left."""
        self._ended = True
        for transport in list(self._transports):
            transport.abort()

    async def _ask(self, host: str, port: int) -> None:
        connection = await self._open(host, port)
        try:
            self.cluster.update_metadata(await connection.send(MetadataRequest([])))
        except Exception as error:
            connection.close()
            raise connecting_failed(error, named(host, port)) from None
        if self.cluster.brokers():
            connection.close()
        else:
            self._conns["bootstrap", ConnectionGroup.DEFAULT] = connection

    async def _judge(self) -> None:
        """Refuse a cluster at once when one of its brokers may not be reached; else it would depend on who leads what."""
        for broker in self.cluster.brokers():
            try:
                await checked_addresses(self._context.egress, broker.host, broker.port)
            except EgressRefused:
                raise
            except ActionError:
                continue

    async def _get_conn(self, node_id: Any, *, group: ConnectionGroup = ConnectionGroup.DEFAULT, no_hint: bool = False) -> Any:
        """The connection to a broker, made if need be; None when it cannot be made now (aiokafka tries again)."""
        known = self._conns.get((node_id, group))
        if known is not None and known.connected():
            return known
        try:
            async with self._get_conn_lock:
                return await self._connected(node_id, group)
        except ActionError as error:
            self.failure = error
            if isinstance(error, EgressRefused):
                self._break(error)
            if not self._ended:
                self.force_metadata_update()
            return None

    async def _connected(self, node_id: Any, group: ConnectionGroup) -> Any:
        known = self._conns.get((node_id, group))
        if known is not None and known.connected():
            return known
        self._conns.pop((node_id, group), None)
        broker = self.cluster.broker_metadata(node_id)
        if broker is None or self._ended:
            raise ActionError("connection_error", f"there is no broker {node_id} any more")
        made = self._conns[node_id, group] = await self._open(broker.host, broker.port, self._on_connection_closed)
        return made

    async def _open(self, host: str, port: int, on_close: Any = None) -> JudgedConnection:
        connection = JudgedConnection(self, host, port, on_close)
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                await connection.connect()
        except Exception as error:  # aiokafka reads a hostile or refusing broker with KeyError and the like
            raise connecting_failed(error, named(host, port)) from None
        self.failure = None
        return connection

    def _break(self, error: ActionError) -> None:
        if not self.broken.done():
            self.broken.set_result(error)


class JudgedConnection(AIOKafkaConnection):  # type: ignore[misc]
    """A connection that resolves through the policy, and reads no answer over the limit."""

    _loop: Any

    def __init__(self, client: JudgedClient, host: str, port: int, on_close: Any) -> None:
        super().__init__(
            host,
            port,
            client_id=client._client_id,
            request_timeout_ms=client._request_timeout_ms,
            ssl_context=client._ssl_context,
            security_protocol=client._security_protocol,
            max_idle_ms=client._connections_max_idle_ms,
            on_close=on_close,
            sasl_mechanism=client._sasl_mechanism,
            sasl_plain_username=client._sasl_plain_username,
            sasl_plain_password=client._sasl_plain_password,
        )
        self._creates_topics = client.creates_topics
        self._most = client._context.limits.response_read_bytes
        server_name = client._target.tls.server_name if client._target.tls else ""
        self._loop = _Connecting(self._loop, client._context.egress, server_name, client._transports)

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
            request = MetadataRequest(request._topics, self._creates_topics)
        return super().send(request, expect_response)

    @staticmethod
    async def _read(self_ref: weakref.ref[JudgedConnection]) -> None:
        """As in the base class, but for the limit; holds the connection only while it handles an answer."""
        connection = self_ref()
        if connection is None:
            return
        reader, most = connection._reader, connection._most
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

    def __init__(
        self, loop: asyncio.AbstractEventLoop, policy: EgressPolicy, server_name: str, transports: weakref.WeakSet[Any]
    ) -> None:
        self._loop = loop
        self._policy = policy
        self._server_name = server_name
        self._transports = transports

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    async def create_connection(self, factory: Any, host: str, port: int, *, ssl: Any = None) -> Any:
        """A connection to the first address of the host that takes one."""
        failure: OSError | None = None
        options: dict[str, Any] = {"ssl": ssl, "server_hostname": self._server_name or host} if ssl else {}
        for address in await checked_addresses(self._policy, host, port):
            try:
                made = await self._loop.create_connection(factory, address, port, **options)
                self._transports.add(made[0])
                return made
            except _TLS_FAILED:
                raise
            except OSError as error:
                failure = error
        raise failure or OSError(f"{host} has no address")


_TLS_FAILED = (ssl.SSLError, ssl.CertificateError)


async def ended(client: JudgedClient, stop: Awaitable[Any], left: Callable[[], Iterable[asyncio.Task[Any]]] = tuple) -> None:
    """Stop a producer or consumer in good order if that takes no long, and in any case leave no socket open and none of the
    tasks `left` running. aiokafka gives up a stop at the first task that does not end well."""
    task = asyncio.ensure_future(stop)
    try:
        await asyncio.wait({task}, timeout=_END_SECONDS)
    finally:
        tasks = [task, *left()]
        for one in tasks:
            one.cancel()
        client.abort()
        await asyncio.gather(*tasks, client.close(), return_exceptions=True)
