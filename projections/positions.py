"""How far projections have come, and waiting until they have come far enough to read one's own writes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import psycopg

from projections.registry import PROJECTIONS
from projections.rows import Pool
from projections.view import Projection

CHANNEL = "testmesh_projected"
"""Told `<log> <position>` in each transaction of a projector."""
POLL_SECONDS = 1.0
Connect = Callable[[], psycopg.Connection[Any]]
_COUNT = "SELECT count(*) FROM {log}.tracking WHERE name = ANY(%s) AND position >= %s"


def position(pool: Pool, log: str, name: str) -> int:
    """The position up to which a projection has taken in the log; 0 before its first event."""
    with pool.connection() as connection:
        row = connection.execute(f"SELECT position FROM {log}.tracking WHERE name = %s".encode(), (name,)).fetchone()
    return int(row[0]) if row else 0


def lag(pool: Pool, projections: Sequence[Projection] = PROJECTIONS) -> list[tuple[str, str, int, int]]:
    """(log, projection, its position, the log's head) of each."""
    found: list[tuple[str, str, int, int]] = []
    with pool.connection() as connection:
        for log in dict.fromkeys(projection.log for projection in projections):
            at, head = _positions(connection, log), head_of(connection, log)
            found.extend((log, p.name, at.get(p.name, 0), head) for p in projections if p.log == log)
    return found


def head_of(connection: psycopg.Connection[Any], log: str) -> int:
    """The position of a log's newest event; 0 in an empty log."""
    row = connection.execute(f"SELECT coalesce(max(notification_id), 0) FROM {log}.events".encode()).fetchone()
    return int(row[0]) if row else 0


def _positions(connection: psycopg.Connection[Any], log: str) -> dict[str, int]:
    return dict(connection.execute(f"SELECT name, position FROM {log}.tracking".encode()).fetchall())


def wait_for(pool: Pool, connect: Connect, log: str, names: Sequence[str], position: int, timeout_seconds: float) -> bool:
    """Whether all the named projections have reached a position, at the latest after `timeout_seconds`.

    One query when they have; else a connection of its own that is woken by the projector, and polls each second.
    """
    wanted = set(names)
    with pool.connection() as connection:
        if _reached(connection, log, wanted, position):
            return True
    deadline = time.monotonic() + timeout_seconds
    with connect() as connection:
        connection.execute(f"LISTEN {CHANNEL}".encode())
        while not _reached(connection, log, wanted, position):
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            _sleep_until_told(connection, log, min(left, POLL_SECONDS))
    return True


def _reached(connection: psycopg.Connection[Any], log: str, names: set[str], position: int) -> bool:
    row = connection.execute(_COUNT.format(log=log).encode(), (sorted(names), position)).fetchone()
    return position <= 0 or (row is not None and row[0] == len(names))


def _sleep_until_told(connection: psycopg.Connection[Any], log: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        for notice in connection.notifies(timeout=left, stop_after=1):
            if notice.payload.startswith(f"{log} "):
                return
