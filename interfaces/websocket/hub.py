"""The hub of a server process: reads the live feed once for all watchers and keeps its newest part in memory."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Collection
from typing import Any

import psycopg

from application.group_commit import is_connection_error
from domain.limits import MIB
from projections.live_feed import LiveFeed

KEPT = 20_000
KEPT_BYTES = 64 * MIB
"""Events in memory, and their size as JSON; a watcher that is further behind reads the database until it has caught up."""
POLL_SECONDS = 1.0
BATCH = 1000
Rows = list[dict[str, Any]]
logger = logging.getLogger("testmesh.websocket")


class Hub:
    """The tail of the feed. `tail` reads from the database, so a watcher can be at any position and miss nothing."""

    def __init__(
        self,
        feed: LiveFeed,
        connect: Callable[[], psycopg.Connection[Any]],
        *,
        kept: int = KEPT,
        kept_bytes: int = KEPT_BYTES,
    ) -> None:
        """`kept` is how many events stay in memory, `kept_bytes` how large they may be together."""
        self.feed = feed
        self._connect = connect
        self._kept = kept
        self._kept_bytes = kept_bytes
        self._bytes = 0
        self._ring: deque[dict[str, Any]] = deque()
        self._start = 0
        """Everything above this position, up to the newest, is in the ring."""
        self._read = 0
        """Up to where the thread has read; the ring may not have it yet."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
        self._begun = asyncio.Event()

    async def start(self) -> None:
        """Begin to follow; returns when the position of the beginning is known."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()
        await self._begun.wait()

    async def close(self) -> None:
        """Follow no more."""
        self._stop.set()
        await asyncio.to_thread(self._thread.join, 10)

    @property
    def head(self) -> int:
        """The newest position that is known here."""
        return int(self._ring[-1]["feed_id"]) if self._ring else self._start

    async def news(self, seen: int, seconds: float) -> None:
        """Return when there is something above the position, at the latest after some seconds."""
        if self.head > seen:
            return
        try:
            await asyncio.wait_for(self._wake.wait(), seconds)
        except TimeoutError:
            return

    async def after(self, workspace: str, position: int, executions: Collection[str] | None, limit: int) -> tuple[Rows, int]:
        """Events above the position that the watcher may see, of these executions and suite runs or of all, and the position
        that it has then seen."""
        if position >= self._start:
            return self._from_memory(workspace, position, executions, limit)
        head = self.head
        found = await asyncio.to_thread(self.feed.after, workspace, position, executions=executions, limit=limit)
        last = int(found[-1]["feed_id"]) if found else position
        return found, last if len(found) == limit else max(head, last)

    def _from_memory(self, workspace: str, position: int, executions: Collection[str] | None, limit: int) -> tuple[Rows, int]:
        found: Rows = []
        fresh: Rows = []
        for row in reversed(self._ring):
            if row["feed_id"] <= position:
                break
            fresh.append(row)
        for row in reversed(fresh):
            position = row["feed_id"]
            if row["workspace"] == workspace and (executions is None or row["execution"] in executions):
                found.append(row)
                if len(found) == limit:
                    break
        return found, position

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with self._connect() as connection:
                    connection.execute("LISTEN testmesh_projected")
                    self._follow(connection)
            except Exception as error:
                if not is_connection_error(error):
                    logger.exception("the feed cannot be read; trying again")
                self._stop.wait(0.5)

    def _follow(self, connection: psycopg.Connection[Any]) -> None:
        if self._loop is None:
            return
        if not self._begun.is_set():
            self._start = self._read = self.feed.head()
            self._loop.call_soon_threadsafe(self._begun.set)
        while not self._stop.is_set():
            rows = self.feed.tail(self._read, BATCH)
            if rows:
                self._read = int(rows[-1]["feed_id"])
                self._loop.call_soon_threadsafe(self._take, rows)
                continue
            for _ in connection.notifies(timeout=POLL_SECONDS, stop_after=1):
                pass

    def _take(self, rows: Rows) -> None:
        self._ring.extend(rows)
        self._bytes += sum(row["size"] for row in rows)
        while len(self._ring) > self._kept or self._bytes > self._kept_bytes:
            gone = self._ring.popleft()
            self._bytes -= gone["size"]
            self._start = int(gone["feed_id"])
        self._wake.set()
        self._wake = asyncio.Event()
