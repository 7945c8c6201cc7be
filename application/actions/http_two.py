"""HTTP/2 over httpcore with our own sockets; on `http` URLs with prior knowledge (RFC 9113 section 3.3)."""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncGenerator, Iterable
from typing import Any

import httpcore

from application.actions.http_errors import of_httpcore, of_socket
from application.actions.http_messages import Request, Response
from application.actions.http_one import target_of
from application.actions.http_tls import MARKS
from application.actions.http_url import port_of
from application.engine.egress import EgressPolicy, checked_addresses

_HOP_BY_HOP = ("connection", "keep-alive", "proxy-connection", "upgrade", "transfer-encoding")


class HttpTwo:
    """Pools of connections under one egress policy, one for each TLS context. On `https` a server that knows HTTP/1.1 only is
    spoken to in that. Errors are ActionErrors."""

    def __init__(self, policy: EgressPolicy) -> None:
        self._backend = _Backend(policy)
        self._pools: dict[ssl.SSLContext | None, httpcore.AsyncConnectionPool] = {}

    async def send(self, request: Request) -> Response:
        """Send it once."""
        target = target_of(request.url)
        asked = httpcore.Request(
            request.method,
            httpcore.URL(
                scheme=request.url.scheme.encode(),
                host=request.url.host.encode(),
                port=port_of(request.url),
                target=request.url.target.encode(),
            ),
            headers=[(name.encode(), value.encode()) for name, value in request.headers if name.lower() not in _HOP_BY_HOP],
            content=request.content,
            extensions={"trace": _trace},
        )
        try:
            answer = await self._pool(request).handle_async_request(asked)
        except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, OSError) as error:
            raise of_httpcore(error, target) from error
        MARKS.get().answered = time.monotonic()
        version = answer.extensions["http_version"].decode()
        return Response(answer.status, tuple(answer.headers), version, _pieces(answer, target), answer.aclose)

    async def close(self) -> None:
        """Close all connections."""
        for pool in self._pools.values():
            await pool.aclose()

    def _pool(self, request: Request) -> httpcore.AsyncConnectionPool:
        tls = request.tls if request.url.scheme == "https" else None
        if tls not in self._pools:
            self._pools[tls] = httpcore.AsyncConnectionPool(
                ssl_context=tls,
                http1=tls is not None,
                http2=True,
                retries=0,
                network_backend=self._backend,
                max_connections=None,
            )
        return self._pools[tls]


async def _pieces(answer: httpcore.Response, target: str) -> AsyncGenerator[bytes, None]:
    """The body of an answer as it came."""
    try:
        async for piece in answer.aiter_stream():
            yield piece
    except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, OSError) as error:
        raise of_httpcore(error, target) from error


class _Backend(httpcore.AsyncNetworkBackend):
    """Connects to judged addresses only, in the order of the answer."""

    def __init__(self, policy: EgressPolicy) -> None:
        self._policy = policy
        self._sockets = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to the first address that takes it."""
        marks = MARKS.get()
        marks.dns_begun = time.monotonic()
        addresses = await checked_addresses(self._policy, host, port)
        marks.dns_ended = time.monotonic()
        failure: Exception = httpcore.ConnectError("no address")
        for address in addresses:
            try:
                return await self._connected(host, address, port)
            except (httpcore.NetworkError, OSError) as error:
                failure = error
        raise of_socket(failure, f"{host}:{port}") from failure

    async def _connected(self, host: str, address: str, port: int) -> httpcore.AsyncNetworkStream:
        self._policy.check(host, address, port)
        stream = await self._sockets.connect_tcp(address, port)
        peer = stream.get_extra_info("server_addr")
        try:
            self._policy.check(host, str(peer[0]), port)
        except Exception:
            await stream.aclose()
            raise
        return stream


async def _trace(event: str, info: Any) -> None:
    marks = MARKS.get(None)
    if marks is None:
        return
    if event == "connection.connect_tcp.started":
        marks.connect_begun = time.monotonic()
    elif event in ("connection.connect_tcp.complete", "connection.start_tls.complete"):
        marks.connected = time.monotonic()
    elif event == "connection.start_tls.started":
        marks.tls_begun = time.monotonic()
