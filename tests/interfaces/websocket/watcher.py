"""A client of the event stream, message by message."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from websockets.asyncio.client import ClientConnection, connect

from tests.support.served import Room


def address(room: Room) -> str:
    """Where the room's server takes WebSocket connections."""
    return room.server.url.replace("http", "ws", 1) + "/ws"


def watching(room: Room, key: str | None = None, **options: Any) -> connect:
    """A connection with the room's key, or another."""
    headers = {"Authorization": f"Bearer {key or room.key}"}
    return connect(address(room), additional_headers=headers, proxy=None, **options)


async def ask(socket: ClientConnection, **message: Any) -> None:
    """Send a message."""
    await socket.send(orjson.dumps(message).decode())


async def hear(socket: ClientConnection, seconds: float = 5.0) -> Any:
    """The next message; TimeoutError when none comes."""
    return orjson.loads(await asyncio.wait_for(socket.recv(), seconds))


async def heard(socket: ClientConnection, kind: str) -> list[Any]:
    """Messages up to the first of a kind, heartbeats left out; TimeoutError when it does not come within 15 s."""
    messages: list[Any] = []
    async with asyncio.timeout(15):
        while not messages or messages[-1]["type"] != kind:
            message = await hear(socket)
            if message["type"] != "heartbeat":
                messages.append(message)
    return messages


async def subscribe(socket: ClientConnection, topic: str, id: str = "s", begin: str | None = None) -> Any:
    """The answer to a subscription."""
    await ask(socket, type="subscribe", id=id, topic=topic, **({} if begin is None else {"from": begin}))
    return await hear(socket)
