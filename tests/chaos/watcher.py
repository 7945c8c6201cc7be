"""A watcher of the live feed that is cut off at random and resumes at the last position that it has seen."""

from __future__ import annotations

import random
import threading
from uuid import UUID

import psycopg

from application.database import Database
from application.group_commit import is_connection_error
from projections.live_feed import LiveFeed


class Watcher:
    """Reads the feed of workspace `w` in pieces of random size, each connection for a few of them."""

    def __init__(self, url: str, seed: int) -> None:
        self._url = url
        self._random = random.Random(seed)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.seen: list[tuple[UUID, int]] = []
        """(execution, version) in the order in which they came."""
        self.connections = 0
        self._position = 0

    def start(self) -> None:
        """Begin at the beginning."""
        self._thread.start()

    def finish(self) -> None:
        """Read what is left, then stop."""
        self._stop.set()
        self._thread.join(30)
        self._read_on(1 << 30)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                self._read_on(self._random.randint(1, 12))
            except Exception as error:
                if not is_connection_error(error) and not isinstance(error, psycopg.Error):
                    raise
            self._stop.wait(0.05)

    def _read_on(self, pieces: int) -> None:
        """One connection: at most so many pieces, up to where the feed is now."""
        database = Database(self._url, size=1)
        self.connections += 1
        try:
            for _ in range(pieces):
                rows = LiveFeed(database.pool).after("w", self._position, limit=self._random.randint(1, 300))
                if not rows:
                    return
                self.seen += [(UUID(str(row["execution"])), row["version"]) for row in rows]
                self._position = rows[-1]["feed_id"]
        finally:
            database.close()
