"""HTTP/1.1 over aiohttp: nothing is sent that was not asked for, and nothing twice."""

from __future__ import annotations

import io
import socket
import time
from functools import partial
from typing import Any

from yarl import URL

from application.actions.http_errors import of_aiohttp
from application.actions.http_messages import Request, Response
from application.actions.http_tls import MARKS, Marks
from application.actions.http_url import Url, port_of
from application.actions.lean_aiohttp import aiohttp
from application.engine.action import ActionError
from application.engine.egress import EgressPolicy, checked_addresses
from domain.limits import Limits
from domain.values import dataclass

_SILENT = ("Accept", "Accept-Encoding", "User-Agent", "Content-Type")
_MOST_HEADERS = 256
_FRESH_SECONDS = 1.5
"""How long a connection may rest before it is used again. Servers hang up after two to five seconds of silence; a request that
meets such an end is lost, and nothing is sent twice."""
_EXCERPT = 4096
_EXCERPT_CHARACTERS = 500
_WRITE_AT_ONCE = 512 * 1024


class HttpOne:
    """A pool of connections under one egress policy. Errors are ActionErrors."""

    def __init__(self, policy: EgressPolicy, limits: Limits) -> None:
        connector = _Connector(
            resolver=_Resolver(policy), socket_factory=_socket_factory(policy), limit=0, keepalive_timeout=_FRESH_SECONDS
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_SILENT,
            auto_decompress=False,
            trust_env=False,
            timeout=aiohttp.ClientTimeout(),
            middlewares=(_once,),
            max_line_size=limits.response_header_bytes,
            max_field_size=limits.response_header_bytes,
            max_headers=_MOST_HEADERS,
        )

    async def send(self, request: Request) -> Response:
        """Send it once."""
        body = request.content
        try:
            answer = await self._session.request(
                request.method,
                yarl_url(request.url),
                headers=request.headers,
                data=(body if len(body) <= _WRITE_AT_ONCE else io.BytesIO(body)) if body else None,
                allow_redirects=False,
                **_connection(request),
            )
        except (aiohttp.ClientError, OSError) as error:
            raise of_aiohttp(error, target_of(request.url)) from error
        MARKS.get().answered = time.monotonic()
        version = "HTTP/1.0" if answer.version == aiohttp.HttpVersion10 else "HTTP/1.1"
        return Response(answer.status, answer.raw_headers, version, _Pieces(answer, request.url), partial(_end, answer))

    async def websocket(self, request: Request, options: WebSocketOptions) -> aiohttp.ClientWebSocketResponse:
        """Send the opening handshake once (RFC 6455 section 4.1)."""
        try:
            opened: aiohttp.ClientWebSocketResponse = await self._session.ws_connect(
                yarl_url(request.url),
                headers=[(name, value) for name, value in request.headers if name.lower() != "host"],
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

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()


@dataclass(frozen=True, slots=True)
class WebSocketOptions:
    """How a WebSocket is spoken: `ping` and `close_seconds` in seconds, `largest` message in bytes."""

    protocols: tuple[str, ...] = ()
    ping: float | None = None
    largest: int = 0
    close_seconds: float = 5.0


class _Pieces:
    """The body of an answer as it came."""

    def __init__(self, answer: aiohttp.ClientResponse, url: Url) -> None:
        self._read = answer.content.readany
        self._url = url

    def __aiter__(self) -> _Pieces:
        return self

    async def __anext__(self) -> bytes:
        try:
            piece = await self._read()
        except (aiohttp.ClientError, OSError) as error:
            raise of_aiohttp(error, target_of(self._url)) from error
        if not piece:
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        """Closing the answer does it."""


async def _end(answer: aiohttp.ClientResponse) -> None:
    answer.close()


def yarl_url(url: Url) -> URL:
    """For aiohttp, made of the parts that were judged: yarl reads no text of its own, and finds no other host in it."""
    return URL.build(scheme=url.scheme, authority=url.netloc, path=url.path or "/", query_string=url.query or "", encoded=True)


class _Connector(aiohttp.TCPConnector):
    """Notes when a new connection is complete, TLS and tunnel included; aiohttp's own traces would cost every request more."""

    async def connect(self, *args: Any, **options: Any) -> Any:
        """As in the base class."""
        connection = await super().connect(*args, **options)
        marks = MARKS.get()
        if marks.connect_begun and not marks.connected:
            marks.connected = time.monotonic()
        return connection


class _Resolver(aiohttp.abc.AbstractResolver):
    """Judges every address of an answer before any is tried."""

    def __init__(self, policy: EgressPolicy) -> None:
        self._policy = policy

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_UNSPEC) -> list[aiohttp.abc.ResolveResult]:
        """The addresses in the order of the answer."""
        marks = MARKS.get()
        marks.dns_begun = time.monotonic()
        addresses = await checked_addresses(self._policy, host, port)
        marks.dns_ended = time.monotonic()
        return [_resolved(host, address, port) for address in addresses]

    async def close(self) -> None:
        """Nothing is kept."""


def target_of(url: Url) -> str:
    """`host:port`, for messages."""
    host = f"[{url.host}]" if ":" in url.host else url.host
    return f"{host}:{port_of(url)}"


def _connection(request: Request) -> dict[str, Any]:
    """TLS and proxy of a request, as aiohttp takes them."""
    options: dict[str, Any] = {"ssl": True if request.tls is None else request.tls}
    if request.proxy is not None:
        options |= {"proxy": yarl_url(request.proxy), "proxy_headers": request.proxy_headers or None}
    return options


def _resolved(host: str, address: str, port: int) -> aiohttp.abc.ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return {"hostname": host, "host": address, "port": port, "family": family, "proto": 0, "flags": socket.AI_NUMERICHOST}


def _socket_factory(policy: EgressPolicy) -> Any:
    """Judges the address that is really connected, literal addresses included."""

    def make(info: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, address = info
        marks: Marks = MARKS.get()
        marks.connect_begun = time.monotonic()
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
