"""A WebSocket server for tests: talks as the test says, keeps the requests of its handshakes."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import WSMsgType, web

Talk = Callable[[web.WebSocketResponse], Awaitable[None]]


@dataclass(slots=True)
class WebSocketServer:
    """Where it is, and what was asked: headers and query of each handshake, frames as (type, data), close codes."""

    url: str
    port: int
    handshakes: list[web.BaseRequest] = field(default_factory=list)
    closed: list[int | None] = field(default_factory=list)


async def echo(socket: web.WebSocketResponse) -> None:
    """Send back what comes."""
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            await socket.send_str(message.data)
        elif message.type is WSMsgType.BINARY:
            await socket.send_bytes(message.data)


@asynccontextmanager
async def websocket_server(
    talk: Talk = echo, *, protocols: tuple[str, ...] = (), tls: ssl.SSLContext | None = None, refuse: int = 0
) -> AsyncIterator[WebSocketServer]:
    """A server on a free port; with `refuse`, every handshake is answered with this status."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        server.handshakes.append(request)
        if refuse:
            headers = {"Location": "/elsewhere"} if 300 <= refuse < 400 else {}
            return web.Response(status=refuse, text="not today", headers=headers)
        socket = web.WebSocketResponse(protocols=protocols, timeout=1)
        await socket.prepare(request)
        try:
            await talk(socket)
        finally:
            await socket.close()
            server.closed.append(socket.close_code)
        return socket

    runner = web.ServerRunner(web.Server(handle, access_log=None, handler_cancellation=True), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    port = runner.addresses[0][1]
    server = WebSocketServer(f"{'wss' if tls else 'ws'}://127.0.0.1:{port}", port)
    try:
        yield server
    finally:
        await runner.cleanup()
