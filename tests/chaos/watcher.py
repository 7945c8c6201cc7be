"""A watcher of a topic over WebSocket that is cut off at random and resumes at the last position that it has seen."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable, Iterator
from uuid import UUID

import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, WebSocketException

QUIET_SECONDS = 4.0
"""A connection that is silent for so long is given up, as one to a process that stands still."""
PAUSE_SECONDS = 0.2
"""Between the end of a topic and the next one."""
WORKSPACE = "workspace"


class NotYet(Exception):
    """What is to be watched cannot be read yet."""


BROKEN = (OSError, TimeoutError, WebSocketException, InvalidHandshake, EOFError, NotYet)


class Watcher:
    """Watches from the beginning. A connection lives for a random number of events, or of seconds."""

    def __init__(
        self, api_url: str, key: str, seed: int, *, topic: str = WORKSPACE, events: int = 2000, seconds: float = 3.0
    ) -> None:
        """`topic` is the whole workspace, or `execution:<id>`, or `suite_run:<id>`."""
        self._url = api_url.replace("http", "ws", 1) + "/ws"
        self._key = key
        self._random = random.Random(seed)
        self._events, self._seconds = events, seconds
        self.topic = topic
        self.seen: list[tuple[UUID, int]] = []
        """(execution, version) in the order in which they came."""
        self.connections = 0
        self.position = 0
        self.ended = False
        """Whether it was told that no more will come."""
        self.at = 0.0
        """When the newest event was seen, on the clock of time.monotonic."""

    async def watch(self, until: Callable[[], int]) -> None:
        """Watch until the position that `until` gives is reached (0 for none yet), or until the topic ends."""
        while not self.ended and (not (last := until()) or self.position < last):
            try:
                await self._connection(until)
            except BROKEN:
                await asyncio.sleep(0.1 * self._random.random())

    async def _connection(self, until: Callable[[], int]) -> None:
        headers = {"Authorization": f"Bearer {self._key}"}
        async with connect(self._url, additional_headers=headers, proxy=None, open_timeout=5, close_timeout=0.1) as socket:
            self.connections += 1
            begin = f"executions:{self.position}" if self.position else "start"
            await socket.send(orjson.dumps({"type": "subscribe", "id": "s", "topic": self.topic, "from": begin}).decode())
            try:
                await self._listen(socket, until)
            finally:
                socket.transport.abort()

    async def _listen(self, socket: ClientConnection, until: Callable[[], int]) -> None:
        """Until the connection has lived long enough, which begins when it was answered: else a busy server answers nobody."""
        answer = orjson.loads(await asyncio.wait_for(socket.recv(), QUIET_SECONDS))
        if answer["type"] == "error" and answer["problem"]["status"] in (404, 503):
            raise NotYet
        assert answer["type"] == "subscribed", answer
        left, end = self._random.randint(1, self._events), time.monotonic() + self._random.random() * 2 * self._seconds
        while left and time.monotonic() < end:
            message = orjson.loads(await asyncio.wait_for(socket.recv(), min(QUIET_SECONDS, max(0.01, end - time.monotonic()))))
            assert message["type"] in ("event", "heartbeat", "end"), message
            self.ended = message["type"] == "end"
            if message["type"] == "event":
                left -= 1
                self.at = time.monotonic()
                self.seen.append((UUID(message["execution"]), message["version"]))
                self.position = int(message["position"].partition(":")[2])
            if self.ended or ((last := until()) and self.position >= last):
                return


class Watching:
    """On a thread of its own, one watcher after the other, each to the end of its topic."""

    def __init__(self, make: Callable[[str], Watcher], topics: Iterator[str | None]) -> None:
        """`topics` gives what to watch next, None when there is nothing yet; after its end, and once it is to finish, nothing
        more is begun."""
        self._make, self._topics = make, topics
        self.watchers: list[Watcher] = []
        self._last = 0
        self._failed: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)

    def start(self) -> None:
        """Begin at the beginning."""
        self._thread.start()

    def finish(self, last: int, seconds: float = 60.0) -> None:
        """Watch up to this position or to the end of the topic, then stop."""
        self._last = last
        self._thread.join(seconds)
        if self._failed:
            raise self._failed[0]
        if self._thread.is_alive():
            watcher = self.watchers[-1]
            raise AssertionError(f"the watcher of {watcher.topic} stands at {watcher.position}, not at {last}")

    @property
    def connections(self) -> int:
        """How many there were."""
        return sum(watcher.connections for watcher in self.watchers)

    def _run(self) -> None:
        try:
            for topic in self._topics:
                if topic is not None:
                    self.watchers.append(self._make(topic))
                    asyncio.run(self.watchers[-1].watch(lambda: self._last))
                if self._last:
                    return
                time.sleep(PAUSE_SECONDS)
        except BaseException as error:
            self._failed.append(error)
