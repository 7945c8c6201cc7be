"""Watching executions over real WebSocket connections: every event once, in order, from wherever one left off."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.support.served import Room


def watching(room: Room, key: str | None = None, **headers: str) -> Any:
    """A connection with the room's key, or another."""
    given = {"Authorization": f"Bearer {key or room.key}", **headers}
    return connect(room.server.socket_url, additional_headers=given, proxy=None)


async def ask(socket: ClientConnection, **message: Any) -> None:
    """Send a message."""
    await socket.send(orjson.dumps(message).decode())


async def hear(socket: ClientConnection, seconds: float = 5.0) -> Any:
    """The next message."""
    return orjson.loads(await asyncio.wait_for(socket.recv(), seconds))


async def subscribe(socket: ClientConnection, topic: str, id: str = "s", **more: Any) -> Any:
    """The answer to a subscription."""
    await ask(socket, type="subscribe", id=id, topic=topic, **more)
    return await hear(socket)


async def heard(socket: ClientConnection, kind: str = "end") -> list[Any]:
    """Messages up to the first of a kind, which is the last."""
    messages = [await hear(socket)]
    while messages[-1]["type"] != kind:
        messages.append(await hear(socket))
    return messages


async def test_a_finished_execution_is_replayed_from_its_start_to_its_end(room: Room) -> None:
    id = await asyncio.to_thread(room.request)
    await asyncio.to_thread(room.drive, id)
    async with watching(room) as socket:
        assert (await subscribe(socket, f"execution:{id}", **{"from": "start"}))["type"] == "subscribed"
        messages = await heard(socket)
    assert [m["event"]["version"] for m in messages[:-1]] == list(range(1, len(messages)))
    assert messages[0]["topic"] == "execution.requested"
    assert messages[-2]["topic"] == "execution.finished"
