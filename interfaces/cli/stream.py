"""The event stream of a server: many topics over one connection, across lost connections, to the end of each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from domain.errors import Refusal, Unavailable
from interfaces.cli.refused import of_answer, of_problem

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

PATIENCE = 60.0
RETRY_SECONDS = 0.5
"""A stream that was lost is tried again for so long, so often."""
WINDOW = 50
"""Topics followed at the same time; the server allows 100 a connection."""


async def _at_once(topic: str) -> None:
    """Nothing to wait for."""


class Stream:
    """Events of topics, each from its beginning to its end, in the order of each topic."""

    def __init__(
        self,
        url: str,
        key: str,
        topics: Sequence[str],
        *,
        note: Callable[[str], None] = lambda text: None,
        ready: Callable[[str], Awaitable[None]] = _at_once,
        patience: float = PATIENCE,
    ) -> None:
        """`note` hears of lost connections; `ready` is awaited before a topic is first subscribed to; `patience` is in
        seconds."""
        self._url = url
        self._key = key
        self._positions = dict.fromkeys(topics, "")
        self._note = note
        self._ready = ready
        self._patience = patience

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        """The messages of type event. Unavailable after `patience` without a connection; other refusals at once."""
        from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

        lost: float | None = None
        while self._positions:
            why = "the server closed it"
            try:
                async for message in self._connected():
                    lost = None
                    if message["type"] == "event":
                        yield message
            except (OSError, WebSocketException) as error:
                why = str(error) or type(error).__name__
                if isinstance(error, ConnectionClosed) and error.rcvd and error.rcvd.reason:
                    why = error.rcvd.reason
                if isinstance(error, InvalidStatus) and error.response.status_code < 500:
                    why = self._bearable(error).message
            if self._positions:
                lost = await self._wait(lost, why)

    async def _connected(self) -> AsyncIterator[dict[str, Any]]:
        """What one connection brings; it is closed at the end of the last topic."""
        from websockets.asyncio.client import connect

        headers = {"Authorization": f"Bearer {self._key}"}
        address = self._url.replace("http", "ws", 1) + "/ws"
        subscribed: set[str] = set()
        async with connect(address, additional_headers=headers, proxy=None, max_size=2**22) as socket:
            await self._subscribe(socket, subscribed)
            async for text in socket:
                message = orjson.loads(text)
                if message["type"] == "error":
                    raise of_problem(message["problem"])
                if message["type"] == "end":
                    del self._positions[message["id"]]
                    subscribed.discard(message["id"])
                    await self._subscribe(socket, subscribed)
                elif message.get("id") in self._positions:
                    self._positions[message["id"]] = message.get("position", "")
                yield message
                if not self._positions:
                    return

    async def _subscribe(self, socket: ClientConnection, subscribed: set[str]) -> None:
        for topic in list(self._positions):
            if len(subscribed) >= WINDOW:
                return
            if topic not in subscribed:
                begin = self._positions[topic]
                if not begin:
                    await self._ready(topic)
                wanted = {"type": "subscribe", "id": topic, "topic": topic, "from": begin or "start"}
                await socket.send(orjson.dumps(wanted).decode())
                subscribed.add(topic)

    def _bearable(self, error: Any) -> Refusal:
        """The refusal of a handshake, if waiting may help; else it is raised."""
        refusal = of_answer(self._url, error.response.status_code, error.response.body or b"")
        if refusal.code != "too_many_connections":
            raise refusal from error
        return refusal

    async def _wait(self, lost: float | None, why: str) -> float:
        if lost is None:
            lost = time.monotonic()
            self._note(f"no event stream from {self._url} ({why}); trying for {self._patience:.0f} s to go on")
        if time.monotonic() - lost > self._patience:
            raise Unavailable(f"the event stream of {self._url} is lost: {why}")
        await asyncio.sleep(RETRY_SECONDS)
        return lost
