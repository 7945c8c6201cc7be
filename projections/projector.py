"""Follows one log and keeps its projections: rows and positions in one transaction, a batch at a time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import psycopg

from projections.health import BATCH, Health, is_passing
from projections.positions import CHANNEL, head_of
from projections.rows import Pool
from projections.view import Projection, ReadEvents, Recorded

BUSY_SECONDS = 0.01
PAUSE_SECONDS = 0.5
LOCK_SECONDS = 1.0
logger = logging.getLogger("testmesh.projector")


class Projector:
    """One follower a log. Two are harmless: a projection's row in `tracking` is held by the one that advances it.

    A projection that cannot take an event stops there and is tried again alone, with growing pauses; the others go on.
    """

    def __init__(
        self,
        pool: Pool,
        connect: Callable[[], psycopg.Connection[Any]],
        log_name: str,
        projections: Sequence[Projection],
        read_events: ReadEvents,
        *,
        poll_seconds: float = 0.5,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`pool` and `connect` give autocommit connections; `poll_seconds` is how late a lost notification is noticed."""
        self._pool = pool
        self._connect = connect
        self._log = log_name
        self._projections = tuple(projections)
        self._read = read_events
        self._poll = poll_seconds
        self._health = {projection.name: Health(projection.name, clock) for projection in projections}
        self._busy = False

    @property
    def stopped(self) -> dict[str, str]:
        """The projections that cannot go on, with the error of each."""
        return {name: health.error for name, health in list(self._health.items()) if health.error}

    def step(self) -> int:
        """Take one batch for those that stand near the head and one for those far behind; the events read, 0 when there
        is nothing new. Raises when the database does not answer."""
        self._busy = False
        positions = self._positions()
        ready = [p for p in self._projections if self._health[p.name].is_due() and not self._is_held(p, positions)]
        alone = [p for p in ready if self._health[p.name].limit < BATCH]
        together = [p for p in ready if p not in alone]
        front = max((positions[p.name] for p in together), default=0) - BATCH
        groups = [[p for p in together if positions[p.name] >= front], [p for p in together if positions[p.name] < front]]
        read = sum(self._take(group, positions) for group in groups if group)
        return read + sum(self._take_alone(projection, positions) for projection in alone)

    def catch_up(self) -> None:
        """Step until nothing is new; what another projector or a rebuild holds at this moment is waited for."""
        while self.step() or self._busy:
            if self._busy:
                time.sleep(BUSY_SECONDS)

    def run(self, stop: threading.Event) -> None:
        """Follow until stopped, one projector a log at a time; whatever breaks, it begins anew."""
        while not stop.is_set():
            try:
                with self._connect() as connection:
                    if self._is_chosen(connection, stop):
                        self._follow(connection, stop)
            except Exception as error:
                if not is_passing(error):
                    logger.exception("the projector of %s failed; it begins anew", self._log)
                stop.wait(PAUSE_SECONDS)

    def _is_chosen(self, connection: psycopg.Connection[Any], stop: threading.Event) -> bool:
        """Wait for the session lock that keeps others idle; it saves work, safety does not rest on it."""
        sql = "SELECT pg_try_advisory_lock(hashtext('testmesh_projector'), hashtext(%s))"
        while not stop.is_set():
            row = connection.execute(sql, (self._log,)).fetchone()
            if row and row[0]:
                return True
            stop.wait(LOCK_SECONDS)
        return False

    def _follow(self, connection: psycopg.Connection[Any], stop: threading.Event) -> None:
        connection.execute(f"LISTEN testmesh_{self._log}".encode())
        while not stop.is_set():
            while not stop.is_set() and self.step():
                pass
            for _ in connection.notifies(timeout=self._poll, stop_after=1):
                pass

    def _positions(self) -> dict[str, int]:
        names = [projection.name for projection in self._projections]
        sql = f"SELECT name, position FROM {self._log}.tracking WHERE name = ANY(%s)"
        with self._pool.connection() as connection:
            found = dict(connection.execute(sql.encode(), (names,)).fetchall())
            missing = [name for name in names if name not in found]
            if missing:
                begin = f"INSERT INTO {self._log}.tracking SELECT n, 0 FROM unnest(%s::text[]) n ON CONFLICT DO NOTHING"
                connection.execute(begin.encode(), (missing,))
        return {name: found.get(name, 0) for name in names}

    def _is_held(self, projection: Projection, positions: dict[str, int]) -> bool:
        """Whether one that it follows is stopped where it stands itself, or farther back."""
        here = positions[projection.name]
        return any(self._health[name].error and positions[name] <= here for name in self._ahead(projection))

    def _ahead(self, projection: Projection) -> list[str]:
        return [name for name in projection.follows if name in self._health]

    def _take(self, group: Sequence[Projection], positions: dict[str, int]) -> int:
        """One batch for several projections in one transaction."""
        try:
            batch = self._read(min(positions[projection.name] for projection in group), BATCH, ())
        except Exception as error:
            if is_passing(error):
                raise
            for projection in group:
                self._health[projection.name].limit = BATCH // 2
            return 1
        return self._write(group, positions, batch, batch[-1].position) if batch else 0

    def _take_alone(self, projection: Projection, positions: dict[str, int]) -> int:
        """A smaller batch, of the topics that it wants only, for a projection that stumbled."""
        health = self._health[projection.name]
        with self._pool.connection() as connection:
            head = head_of(connection, self._log)
        try:
            batch = self._read(positions[projection.name], health.limit, projection.topics)
        except Exception as error:
            if is_passing(error):
                raise
            return health.stumble(health.limit, f"the event after position {positions[projection.name]}: {_said(error)}")
        end = batch[-1].position if len(batch) == health.limit else max(head, batch[-1].position if batch else 0)
        if end <= positions[projection.name]:
            health.pass_all()
            return 0
        return self._write([projection], positions, batch, end)

    def _write(self, group: Sequence[Projection], positions: dict[str, int], batch: Sequence[Recorded], end: int) -> int:
        """Apply a batch that reaches up to `end`; 0 when nobody could be advanced."""
        reached = dict(positions)
        outcomes: list[Callable[[], int]] = []
        with self._pool.connection() as connection, connection.transaction():
            connection.execute("SET LOCAL idle_in_transaction_session_timeout = '30s'")
            mine = self._held(connection, group, positions)
            for projection in group:
                if projection.name in mine:
                    outcomes.append(self._advance(connection, projection, batch, end, reached))
            moved = max((reached[p.name] for p in group if reached[p.name] > positions[p.name]), default=0)
            if moved:
                connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, f"{self._log} {moved}"))
        progress = max((outcome() for outcome in outcomes), default=0)
        return progress and max(1, len(batch))

    def _held(self, connection: psycopg.Connection[Any], group: Sequence[Projection], positions: dict[str, int]) -> set[str]:
        """Those whose row nobody else holds and that stand where they stood when the batch was read."""
        names = [projection.name for projection in group]
        sql = f"SELECT name, position FROM {self._log}.tracking WHERE name = ANY(%s) FOR UPDATE SKIP LOCKED"
        rows = dict(connection.execute(sql.encode(), (names,)).fetchall())
        mine = {name for name, position in rows.items() if position == positions[name]}
        self._busy = self._busy or len(mine) < len(names)
        return mine

    def _advance(
        self,
        connection: psycopg.Connection[Any],
        projection: Projection,
        batch: Sequence[Recorded],
        end: int,
        reached: dict[str, int],
    ) -> Callable[[], int]:
        """Apply what one projection has not seen, in a savepoint; what is to be remembered once the commit is known."""
        health, start = self._health[projection.name], reached[projection.name]
        last = min([end, *(reached[name] for name in self._ahead(projection))])
        unseen = projection.wanted([recorded for recorded in batch if start < recorded.position <= last])
        if last <= start:
            return lambda: 0
        try:
            with connection.transaction():
                if unseen:
                    projection.apply(connection, unseen)
                sql = f"UPDATE {self._log}.tracking SET position = %s WHERE name = %s"
                connection.execute(sql.encode(), (last, projection.name))
        except Exception as error:
            if connection.closed or is_passing(error):
                raise
            told = f"{_place(unseen)}: {_said(error)}"
            return lambda: health.stumble(len(unseen), told)
        reached[projection.name] = last
        return health.passed


def _place(events: Sequence[Recorded]) -> str:
    return f"position {events[0].position} ({events[0].topic})" if events else "no event"


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
