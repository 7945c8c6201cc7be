"""The longest waits in PostgreSQL, and its deadlocks, while something else goes on."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any

import psycopg

LOOK_SECONDS = 0.05
"""A wait may be this much longer than what was seen of it."""
_LOCKS = """
SELECT extract(epoch FROM clock_timestamp() - waitstart)::float8, left(w.query, 60),
       (SELECT string_agg(left(b.query, 60) || ' (' || b.state || ')', '; ') FROM pg_stat_activity b
        WHERE b.pid = ANY(pg_blocking_pids(w.pid)))
FROM pg_locks JOIN pg_stat_activity w USING (pid) WHERE NOT granted AND waitstart IS NOT NULL
"""
_IDLE = """
SELECT extract(epoch FROM clock_timestamp() - state_change)::float8, left(query, 60), state
FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'
"""
_DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
Wait = tuple[float, str, str]


class Waits:
    """Looks twenty times a second, from a thread of its own, while the block runs."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.lock: Wait = (0.0, "", "")
        """The longest wait of anybody for a lock: seconds, who waited, for whom."""
        self.idle: Wait = (0.0, "", "")
        """The longest time that a transaction stood open while its client said nothing: seconds, what it said last, state."""
        self.deadlocks = 0
        """How many PostgreSQL had to break since the database was made, by the last look; it tells them a second late."""
        self._enough = threading.Event()
        self._thread = ThreadPoolExecutor(1)

    def __enter__(self) -> Waits:
        self._done = self._thread.submit(self._run)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._enough.set()
        self._thread.shutdown()
        self._done.result()

    def _run(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            while not self._enough.wait(LOOK_SECONDS):
                self.lock = max([self.lock, *_rows(connection, _LOCKS)], key=_seconds)
                self.idle = max([self.idle, *_rows(connection, _IDLE)], key=_seconds)
                self.deadlocks = (connection.execute(_DEADLOCKS).fetchone() or (0,))[0]


def _rows(connection: psycopg.Connection[Any], sql: str) -> list[Wait]:
    return [(seconds, who, why or "") for seconds, who, why in connection.execute(sql.encode()).fetchall()]


def _seconds(wait: Wait) -> float:
    return wait[0]
