"""aiokafka with every broker judged: no connection but to an address that the egress policy allows, no bombs from it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any, TypeVar

from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.errors import KafkaError
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.metadata import MetadataRequest

from application.actions.http_tls import Certificate, Contexts
from application.actions.kafka_batches import check_batches
from application.actions.kafka_connection import JudgedConnection, Judging
from application.actions.kafka_errors import connecting_failed
from application.actions.kafka_target import KafkaTarget, named
from application.engine.action import ActionContext, ActionError
from application.engine.egress import EgressRefused, checked_addresses

Given = TypeVar("Given")

_CONNECT_SECONDS = 10.0
_END_SECONDS = 2.0
_REQUEST_MS = 30_000

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
        options["ssl_context"] = Contexts().choose(tls.verify, certificate, ()).context()
    return options


class JudgedClient(AIOKafkaClient):  # type: ignore[misc]
    """aiokafka's client with connections of our own making.

    `broken` is set once to what makes going on useless (a broker that is refused, an answer that is too large); `failure` is
    why the last connection could not be made, which may pass.
    """

    _judging: Judging
    _target: KafkaTarget
    _ended: bool
    broken: asyncio.Future[ActionError]
    failure: ActionError | None
    _sync_task: asyncio.Task[Any] | None

    @classmethod
    def judging(
        cls, client: AIOKafkaClient, target: KafkaTarget, context: ActionContext, *, creates_topics: bool
    ) -> JudgedClient:
        """Make the client that a producer or consumer has built for itself, before it starts, one of this class: they take
        no client from outside, and theirs resolves and connects by itself."""
        client.__class__ = cls
        server_name = target.tls.server_name if target.tls else ""
        most = context.limits.response_read_bytes
        client._judging = Judging(context.egress, most, server_name, creates_topics)
        client._target, client._ended = target, False
        client.broken, client.failure = asyncio.get_running_loop().create_future(), None
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
                check_batches(response, self._judging.most_bytes)
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
        abort_all(self._judging.transports)

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
                await checked_addresses(self._judging.policy, broker.host, broker.port)
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
        connection = JudgedConnection(
            host,
            port,
            self._judging,
            client_id=self._client_id,
            request_timeout_ms=self._request_timeout_ms,
            ssl_context=self._ssl_context,
            security_protocol=self._security_protocol,
            max_idle_ms=self._connections_max_idle_ms,
            on_close=on_close,
            sasl_mechanism=self._sasl_mechanism,
            sasl_plain_username=self._sasl_plain_username,
            sasl_plain_password=self._sasl_plain_password,
        )
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


def abort_all(transports: Iterable[Any]) -> None:
    """End every connection at once, whatever state it is in."""
    # Early versions of Python 3.11 cannot abort a TLS transport that was closed twice: it has forgotten what it stands on.
    for transport in list(transports):
        with suppress(AttributeError):
            transport.abort()


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
