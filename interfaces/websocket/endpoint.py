"""The route /ws: who may connect, and the life of a connection."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from typing import Any

from sanic import Request, Sanic, Websocket
from sanic.exceptions import RequestCancelled, WebsocketClosed
from sanic.response import HTTPResponse
from websockets.exceptions import ConnectionClosed

from domain.errors import Forbidden, Refusal
from interfaces.authentication import Authenticator, Caller
from interfaces.rest.app import authenticate, refused
from interfaces.websocket.hub import Hub
from interfaces.websocket.watching import Patience, TooSlow, Watching

PATH = "/ws"
MOST_CONNECTIONS = 20
"""Of one user at a time, in one process."""
SCOPE = "runs:read"
TRY_AGAIN_LATER, UNAUTHENTICATED = 1013, 4401
CLOSE_SECONDS = 1.0
LINGER_SECONDS = 10.0
logger = logging.getLogger("testmesh.websocket")


def add_websocket(app: Sanic[Any, Any], hub: Hub, patience: Patience | None = None) -> None:
    """Add the route. The handshake carries `Authorization: Bearer`; one with an Origin is a browser's and is refused
    until browsers can have tickets."""
    app.ctx.hub = hub
    app.ctx.patience = patience or Patience()
    app.ctx.connections = Counter()
    app.on_request(_admit)
    app.add_websocket_route(_serve, PATH, name="websocket")


async def _admit(request: Request) -> HTTPResponse | None:
    """Judge the handshake before the upgrade."""
    if request.path != PATH:
        return None
    try:
        if request.headers.get("upgrade", "").lower() != "websocket":
            raise UpgradeRequired("this address speaks WebSocket")
        if "origin" in request.headers:
            raise Forbidden("browsers may not connect here", code="origin_refused")
        caller = await authenticate(request)
        if not caller.may(SCOPE):
            raise Forbidden(f"this key does not have the scope {SCOPE}", code="missing_scope")
        if request.app.ctx.connections[caller.user] >= MOST_CONNECTIONS:
            raise Forbidden(f"a user may have {MOST_CONNECTIONS} connections", code="too_many_connections")
        request.ctx.caller = caller
    except Refusal as refusal:
        return refused(refusal, request)
    return None


class UpgradeRequired(Refusal):
    """A plain request where a WebSocket handshake is needed."""

    code = "upgrade_required"


async def _serve(request: Request, socket: Websocket) -> None:
    caller, ctx = request.ctx.caller, request.app.ctx
    ctx.connections[caller.user] += 1
    watching = Watching(ctx.reading, ctx.hub, caller, socket.send, ctx.patience)
    guarding = asyncio.create_task(_guard(ctx.authenticate, caller, ctx.patience.again))
    receiving = asyncio.create_task(_receive(socket, watching))
    try:
        tasks: set[asyncio.Future[Any]] = {receiving, guarding, watching.failure}
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        await _let_go(socket, next((found for task in done if (found := _failure(task)) is not None), None))
    finally:
        guarding.cancel()
        receiving.cancel()
        await asyncio.gather(receiving, guarding, return_exceptions=True)
        await watching.close()
        ctx.connections -= Counter({caller.user: 1})


def _failure(done: asyncio.Future[Any]) -> BaseException | None:
    """Why a part of the connection ended; None when the client has left."""
    error = done.exception()
    found = done.result() if error is None else error
    return found if isinstance(found, BaseException) else None


async def _guard(authenticator: Authenticator, caller: Caller, seconds: float) -> None:
    """Raise PermissionError once the key or its user may not watch any more."""
    while True:
        await asyncio.sleep(seconds)
        now = await asyncio.to_thread(authenticator.renewed, caller)
        if now is None or not now.may(SCOPE):
            raise PermissionError("this caller may not watch any more")


async def _receive(socket: Websocket, watching: Watching) -> None:
    try:
        async for text in socket:
            await watching.receive(text)
    except ConnectionClosed:
        return


async def _let_go(socket: Websocket, error: BaseException | None) -> None:
    """Close with the reason that helps the client."""
    if error is None or isinstance(error, ConnectionClosed | WebsocketClosed | RequestCancelled):
        return
    if isinstance(error, TooSlow):
        await _dismiss(socket, TRY_AGAIN_LATER, str(error))
    elif isinstance(error, PermissionError):
        await _close(socket, UNAUTHENTICATED, str(error))
    else:
        logger.error("a connection failed", exc_info=error)
        await _close(socket, TRY_AGAIN_LATER, "try again")


async def _dismiss(socket: Websocket, code: int, reason: str) -> None:
    """Close a client that lags behind so that it can still read why. Until it has taken what is on its way, what it sends
    is read and thrown away: closed with unread data, TCP would reset the connection and lose the close frame."""
    transport: Any = socket.io_proto.transport if socket.io_proto else None
    if transport is None:
        return
    socket.ws_proto.fail(code, reason)
    for data in filter(None, socket.ws_proto.data_to_send()):
        transport.write(data)
    transport.resume_reading()
    end = time.monotonic() + LINGER_SECONDS
    while transport.get_write_buffer_size() and not transport.is_closing() and time.monotonic() < end:  # noqa: ASYNC110
        # asyncio tells nobody when a transport's buffer has drained
        await asyncio.sleep(0.05)
    socket.fail_connection(code, reason)


async def _close(socket: Websocket, code: int, reason: str) -> None:
    """Say why, without waiting long for a client that does not read."""
    try:
        await asyncio.wait_for(socket.close(code, reason), CLOSE_SECONDS)
    except TimeoutError:
        socket.fail_connection(code, reason)
