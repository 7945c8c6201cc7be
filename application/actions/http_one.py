"""HTTP/1.1 behind httpx's API, over aiohttp: nothing is sent that was not asked for, and nothing twice."""

from __future__ import annotations

import io
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from application.actions.http_errors import of_aiohttp
from application.actions.http_tls import MARKS, Marks
from application.engine.action import ActionError
from application.engine.egress import EgressPolicy, checked_addresses
from domain.limits import Limits

_SILENT = ("Accept", "Accept-Encoding", "User-Agent", "Content-Type")
_MOST_HEADERS = 256
_FRESH_SECONDS = 1.5
"""How long a connection may rest before it is used again. Servers hang up after two to five seconds of silence; a request that
meets such an end is lost, and nothing is sent twice."""
_WRITE_AT_ONCE = 512 * 1024
_EXCERPT = 4096
_EXCERPT_CHARACTERS = 500


class HttpOne(httpx.AsyncBaseTransport):
    """A pool of connections under one egress policy. Extensions of a request: `tls` (SSLContext), `proxy` (httpx.URL) and
    `proxy_headers`. Errors are ActionErrors."""

    def __init__(self, policy: EgressPolicy, limits: Limits) -> None:
        connector = aiohttp.TCPConnector(
            resolver=_Resolver(policy), socket_factory=_socket_factory(policy), limit=0, keepalive_timeout=_FRESH_SECONDS
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_SILENT,
            auto_decompress=False,
            trust_env=False,
            timeout=aiohttp.ClientTimeout(),
            trace_configs=[_trace()],
            middlewares=(_once,),
            max_line_size=limits.response_header_bytes,
            max_field_size=limits.response_header_bytes,
            max_headers=_MOST_HEADERS,
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send it once. The body is read whole beforehand; the response's stream gives the bytes as they came."""
        body = request.content
        try:
            answer = await self._session.request(
                request.method,
                URL(str(request.url), encoded=True),
                headers=[(name.decode(), value.decode()) for name, value in request.headers.raw],
                data=(body if len(body) <= _WRITE_AT_ONCE else io.BytesIO(body)) if body else None,
                allow_redirects=False,
                **_connection(request),
            )
        except (aiohttp.ClientError, OSError) as error:
            raise of_aiohttp(error, target_of(request.url)) from error
        MARKS.get().answered = time.monotonic()
        extensions = {"http_version": b"HTTP/1.0" if answer.version == aiohttp.HttpVersion10 else b"HTTP/1.1"}
        stream = _Body(answer, target_of(request.url))
        return httpx.Response(answer.status, headers=list(answer.raw_headers), stream=stream, extensions=extensions)

    async def websocket(self, request: httpx.Request, options: WebSocketOptions) -> aiohttp.ClientWebSocketResponse:
        """Send the opening handshake once (RFC 6455 section 4.1); extensions of the request as above."""
        try:
            opened: aiohttp.ClientWebSocketResponse = await self._session.ws_connect(
                URL(str(request.url), encoded=True),
                headers=[(name.decode(), value.decode()) for name, value in request.headers.raw if name.lower() != b"host"],
                protocols=options.protocols,
                heartbeat=options.ping,
                max_msg_size=options.largest,
                timeout=aiohttp.ClientWSTimeout(ws_close=options.close_seconds),
                autoclose=True,
                decode_text=True,
                **_connection(request),
            )
        except (aiohttp.ClientError, OSError) as error:
            raise of_aiohttp(error, target_of(request.url)) from error
        return opened

    async def aclose(self) -> None:
        """Close all connections."""
        await self._session.close()

    close = aclose


@dataclass(frozen=True, slots=True)
class WebSocketOptions:
    """How a WebSocket is spoken: `ping` and `close_seconds` in seconds, `largest` message in bytes."""

    protocols: tuple[str, ...] = ()
    ping: float | None = None
    largest: int = 0
    close_seconds: float = 5.0


class _Body(httpx.AsyncByteStream):
    """The body of an answer as it came; a connection whose answer is not read to the end is not used again."""

    def __init__(self, answer: aiohttp.ClientResponse, target: str) -> None:
        self._answer = answer
        self._target = target

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for piece in self._answer.content.iter_any():
                yield piece
        except (aiohttp.ClientError, OSError) as error:
            raise of_aiohttp(error, self._target) from error

    async def aclose(self) -> None:
        """End the answer."""
        self._answer.close()


class _Resolver(AbstractResolver):
    """Judges every address of an answer before any is tried."""

    def __init__(self, policy: EgressPolicy) -> None:
        self._policy = policy

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_UNSPEC) -> list[ResolveResult]:
        """The addresses in the order of the answer."""
        marks = MARKS.get()
        marks.dns_begun = time.monotonic()
        addresses = await checked_addresses(self._policy, host, port)
        marks.dns_ended = time.monotonic()
        return [_resolved(host, address, port) for address in addresses]

    async def close(self) -> None:
        """Nothing is kept."""


def target_of(url: httpx.URL) -> str:
    """`host:port`, for messages."""
    host = f"[{url.host}]" if ":" in url.host else url.host
    return f"{host}:{url.port or (443 if url.scheme == 'https' else 80)}"


def _connection(request: httpx.Request) -> dict[str, Any]:
    """TLS and proxy of a request, as aiohttp takes them."""
    tls, proxy = request.extensions.get("tls"), request.extensions.get("proxy")
    options: dict[str, Any] = {"ssl": True if tls is None else tls}
    if proxy is not None:
        options["proxy"] = URL(str(proxy), encoded=True)
    if request.extensions.get("proxy_headers"):
        options["proxy_headers"] = request.extensions["proxy_headers"]
    return options


def _resolved(host: str, address: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return {"hostname": host, "host": address, "port": port, "family": family, "proto": 0, "flags": socket.AI_NUMERICHOST}


def _socket_factory(policy: EgressPolicy) -> Any:
    """Judges the address that is really connected, literal addresses included."""

    def make(info: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, address = info
        marks: Marks = MARKS.get()
        policy.check(marks.host, str(address[0]), int(address[1]))
        made = socket.socket(family=family, type=kind, proto=protocol)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    return make


async def _once(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """aiohttp sends GET again after a dropped connection unless the error is none of its own. It would follow the redirect of
    a WebSocket, and tell nothing of the body when one is refused."""
    try:
        answer = await send(request)
        if request.headers.get("Upgrade") == "websocket" and answer.status != 101:
            raise await _refused_upgrade(answer)
        return answer
    except (aiohttp.ClientError, OSError) as error:
        raise of_aiohttp(error, f"{request.url.host}:{request.url.port}") from error


async def _refused_upgrade(answer: aiohttp.ClientResponse) -> ActionError:
    """What a server said instead of opening a WebSocket."""
    try:
        body = await answer.content.read(_EXCERPT)
    except (aiohttp.ClientError, OSError):
        body = b""
    status, text = answer.status, body.decode("utf-8", "replace")
    told = {"response": {"status": status, "headers": dict(answer.headers), "body": text}}
    answer.close()
    words = f": {text[:_EXCERPT_CHARACTERS]}" if text.strip() else ""
    return ActionError(
        "handshake", f"the server refused the WebSocket with {status} {answer.reason or ''}".rstrip() + words, exchange=told
    )


def _trace() -> aiohttp.TraceConfig:
    async def connecting(*_: Any) -> None:
        MARKS.get().connect_begun = time.monotonic()

    async def connected(*_: Any) -> None:
        MARKS.get().connected = time.monotonic()

    trace = aiohttp.TraceConfig()
    trace.on_connection_create_start.append(connecting)
    trace.on_connection_create_end.append(connected)
    return trace
