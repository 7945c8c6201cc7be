"""The route /ws: who may connect, and the life of a connection."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import Any

from sanic import Request, Sanic, Websocket
from sanic.response import HTTPResponse
from websockets.exceptions import ConnectionClosed

from domain.errors import Forbidden, Refusal
from interfaces.rest.app import _refused, authenticate
from interfaces.websocket.hub import Hub
from interfaces.websocket.watching import TooSlow, Watching

PATH = "/ws"
MOST_CONNECTIONS = 20
"""Of one user at a time, in one process."""
TRY_AGAIN_LATER, POLICY, UNAUTHENTICATED = 1013, 1008, 4401
logger = logging.getLogger("testmesh.websocket")


def add_websocket(app: Sanic[Any, Any], hub: Hub) -> None:
    """Add the route. The handshake carries `Authorization: Bearer`; one with an Origin is a browser's and is refused
    until browsers can have tickets."""
    app.ctx.hub = hub
    app.ctx.connections = Counter()
    app.on_request(_admit)
    app.add_websocket_route(_serve, PATH, name="websocket")


async def _admit(request: Request) -> HTTPResponse | None:
    """Judge the handshake before the upgrade."""
    if request.path != PATH:
        return None
    try:
        if "origin" in request.headers:
            raise Forbidden("browsers may not connect here", code="origin_refused")
        caller = await authenticate(request)
        if not caller.may("runs:read"):
            raise Forbidden("this key does not have the scope runs:read", code="missing_scope")
        if request.app.ctx.connections[caller.user] >= MOST_CONNECTIONS:
            raise Forbidden(f"a user may have {MOST_CONNECTIONS} connections", code="too_many_connections")
        request.ctx.caller = caller
    except Refusal as refusal:
        return _refused(refusal, request)
    return None


async def _serve(request: Request, socket: Websocket) -> None:
    caller = request.ctx.caller
    connections: Counter[str] = request.app.ctx.connections
    connections[caller.user] += 1
    watching = Watching(request.app.ctx.reading, request.app.ctx.hub, caller, socket.send)
    receiving = asyncio.create_task(_receive(socket, watching))
    try:
        either: set[asyncio.Future[Any]] = {receiving, watching.failure}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if watching.failure.done():
            await _let_go(socket, watching.failure.result())
    finally:
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)
        await watching.close()
        connections[caller.user] -= 1


async def _receive(socket: Websocket, watching: Watching) -> None:
    try:
        async for text in socket:
            await watching.receive(text)
    except ConnectionClosed:
        return


async def _let_go(socket: Websocket, error: BaseException) -> None:
    """Close with the reason that helps the client."""
    if isinstance(error, TooSlow):
        await socket.close(TRY_AGAIN_LATER, str(error))
    elif isinstance(error, PermissionError):
        await socket.close(UNAUTHENTICATED, str(error))
    elif not isinstance(error, ConnectionClosed):
        logger.error("a subscription failed", exc_info=error)
        await socket.close(TRY_AGAIN_LATER, "try again")
