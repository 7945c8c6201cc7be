"""The sweeper: turns the silence of a worker into events, and rings the queue again when it lost its data."""

from __future__ import annotations

import itertools
import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol
from uuid import UUID

from application import group_places, leases, waiting, worker_list
from application.calling import call_waiting, ranked
from application.group_commit import is_connection_error
from application.log import Log, VersionConflict
from application.ports import CommandKind, CommandQueue, RunCommand
from domain.errors import Unavailable
from domain.events import Actor
from domain.execution import GROUP_TIMEOUT, QUEUE_TIMEOUT, AttemptNotMine, Execution, ExecutionFinished

RESEND_SECONDS = 120.0
FORGET_EVERY_SECONDS, SILENT_SECONDS = 60.0, 600.0
ROWS_A_SECOND = 2000
"""Waiting executions for which the next look is a second later."""
BY = Actor("sweeper")
logger = logging.getLogger("testmesh.sweeper")


class Row(Protocol):
    """An execution that waits, from the read model: for attempt `attempt`, or for try `number` of the teardown that it owes."""

    @property
    def id(self) -> UUID:
        """The execution."""

    @property
    def attempt(self) -> int:
        """Which attempt."""

    @property
    def kind(self) -> str:
        """`attempt` or `teardown`."""

    @property
    def number(self) -> int:
        """Which try of the teardown; 0 for an attempt."""

    @property
    def priority(self) -> int:
        """As in Requested."""

    @property
    def runs_on(self) -> tuple[str, ...]:
        """Labels that the worker must have."""

    @property
    def groups(self) -> tuple[Mapping[str, Any], ...]:
        """As in Requested."""

    @property
    def queue_timeout(self) -> float:
        """Seconds that it may wait; 0 for any time."""


Waiting = Callable[[], Sequence[Row]]


class Sweeper:
    """Two looks at the leases a second, one at the queue. Two sweepers are harmless: the log refuses the second."""

    def __init__(
        self,
        log: Log,
        queue: CommandQueue,
        waiting: Waiting,
        caught_up: Callable[[int], bool],
        *,
        lease_seconds: float = leases.LEASE_SECONDS,
        resend_seconds: float = RESEND_SECONDS,
        in_groups: Callable[[], Sequence[UUID]] = lambda: (),
    ) -> None:
        """`waiting` reads the execution list; `caught_up` says whether it has reached a position (it may wait a while);
        `in_groups` are the open executions with concurrency groups."""
        self._log = log
        self._queue = queue
        self._waiting = waiting
        self._caught_up = caught_up
        self._lease = lease_seconds
        self._resend = resend_seconds
        self._in_groups = in_groups
        self._forget_at = self._mend_at = self._tend_at = 0.0

    def run(self, stop: threading.Event, pause: float = 0.5) -> None:
        """Sweep until stopped; a lost lease is seen twice, so two pauses are a part of what a recovery takes."""
        others = (self.mend_groups, self.restore_queue, self.call, self.tend, self.forget)
        for number in itertools.count():
            if stop.wait(pause):
                return
            for duty in (self.sweep_leases, *(others if number % 2 else ())):
                try:
                    duty()
                except Unavailable as error:
                    logger.warning("%s: %s", duty.__name__, error)
                except Exception as error:
                    if not is_connection_error(error):
                        logger.exception("%s failed; the next round tries again", duty.__name__)

    def sweep_leases(self) -> int:
        """Take lost attempts from their workers; how many."""
        assert self._log.database is not None
        with self._log.database.pool.connection() as connection:
            found = leases.lost(connection, self._lease)
        return sum(self._abandon(lost) for lost in found)

    def _abandon(self, lost: leases.Lost) -> bool:
        execution = self._log.find(Execution, lost.execution)
        if execution is None:
            return False
        side = [leases.release(lost.execution, lost.worker)]
        try:
            if execution.worker != lost.worker:
                raise AttemptNotMine(f"attempt {lost.attempt} is not run by {lost.worker} any more")
            execution.abandon(BY, lost.attempt, "deadline" if lost.over_deadline else "worker_lost")
            self._log.put(execution, side=side)
        except (AttemptNotMine, ExecutionFinished):
            self._forget(lost)
            return False
        except VersionConflict:
            return False
        logger.warning("attempt %s of execution %s was lost; now %s", lost.attempt, lost.execution, execution.status)
        return True

    def _forget(self, lost: leases.Lost) -> None:
        """A row whose attempt is over already."""
        assert self._log.database is not None
        write = leases.drop(lost)
        with self._log.database.pool.connection() as connection:
            connection.execute(write.sql, write.params)

    def restore_queue(self) -> int:
        """When the queue was emptied: once the read model has all of the log, send everything that waits."""
        if self._queue.epoch() is not None:
            return 0
        nonce = uuid.uuid4().hex
        self._queue.begin_epoch(nonce)
        if not self._caught_up(self._log.head()):
            return 0
        self._uncall()
        commands = self._commands(self._waiting())
        if commands:
            self._queue.send(commands)
        if self._queue.commit_epoch(nonce):
            logger.warning("the queue had lost its data; %s commands were sent again", len(commands))
        return len(commands)

    def call(self) -> int:
        """Call those for whom there is a place in their groups, should the dispatcher have missed one."""
        return call_waiting(self._log, self._queue)

    def mend_groups(self) -> int:
        """Once a minute, and at first: places of open executions that have no row, as after a restored backup."""
        if time.monotonic() < self._mend_at:
            return 0
        assert self._log.database is not None
        with self._log.database.pool.connection() as connection:
            lacking = group_places.missing(connection, self._in_groups())
            made = group_places.restore(connection, self._log, lacking) if lacking else 0
        self._mend_at = time.monotonic() + FORGET_EVERY_SECONDS
        return made

    def _uncall(self) -> None:
        assert self._log.database is not None
        with self._log.database.pool.connection() as connection:
            group_places.uncall_all(connection)

    def forget(self) -> int:
        """Once a minute: forget workers that ended without a word."""
        if time.monotonic() < self._forget_at:
            return 0
        self._forget_at = time.monotonic() + FORGET_EVERY_SECONDS
        assert self._log.database is not None
        with self._log.database.pool.connection() as connection:
            worker_list.forget(connection, SILENT_SECONDS)
        return self._queue.forget_receivers(SILENT_SECONDS)

    def tend(self) -> int:
        """End what has waited longer than it may, and send again what has waited long; how many were sent. Since when each
        waits, and when it was last sent, is kept in the database, not here. Long queues are looked at less often."""
        if time.monotonic() < self._tend_at:
            return 0
        rows = {row.id: row for row in self._waiting()}
        self._tend_at = time.monotonic() + len(rows) / ROWS_A_SECOND
        if not rows:
            return 0
        seen = self._noted(list(rows.values()))
        overdue = [(rows[id], waited) for id, waited, _ in seen if _bounds(rows[id], waited)]
        for row, waited in overdue:
            self._time_out(row, waited)
        over = {row.id for row, _ in overdue}
        commands = self._commands([rows[id] for id, _, due in seen if due and id not in over])
        if commands:
            self._queue.send(commands)
        return len(commands)

    def _noted(self, rows: Sequence[Row]) -> list[tuple[UUID, float, bool]]:
        """What waits, for how many seconds, and whether it is to be sent again."""
        assert self._log.database is not None
        wishes = [f"{row.attempt} {row.kind} {row.number}" for row in rows]
        with self._log.database.pool.connection() as connection:
            due = connection.execute(
                "INSERT INTO executions.resent AS r (execution, wish, at, first)"
                " SELECT i, w, clock_timestamp(), clock_timestamp() FROM unnest(%b::uuid[], %b::text[]) AS u(i, w)"
                " ON CONFLICT (execution) DO UPDATE SET at = clock_timestamp(), wish = excluded.wish,"
                " first = CASE WHEN r.wish IN (excluded.wish, '') THEN r.first ELSE clock_timestamp() END"
                " WHERE r.wish <> excluded.wish OR r.at < clock_timestamp() - make_interval(secs => %s)"
                " RETURNING execution, xmax <> 0 AND first < at - make_interval(secs => %s)",
                ([row.id for row in rows], wishes, self._resend, self._resend),
            ).fetchall()
            connection.execute("DELETE FROM executions.resent WHERE NOT execution = ANY(%s)", ([row.id for row in rows],))
            seen = connection.execute(
                "SELECT execution, extract(epoch FROM clock_timestamp() - first)::float8 FROM executions.resent"
            ).fetchall()
        again = {id for id, again in due if again}
        known = {row.id for row in rows}
        return [(id, waited, id in again) for id, waited in seen if id in known]

    def _time_out(self, row: Row, waited: float) -> None:
        """End it, unless a worker, a cancel or another sweeper was faster: the append decides."""
        execution = self._log.find(Execution, row.id)
        assert self._log.database is not None
        with self._log.database.pool.connection() as connection:
            why = waiting.reasons(connection, row.id, row.runs_on)
            full = bool(group_places.without_room(connection, [row.id]))
        causes = [cause for cause in _bounds(row, waited) if cause == QUEUE_TIMEOUT or full]
        if execution is None or not causes or row.attempt != execution.attempt or not _waits_for(execution, row):
            return
        try:
            message = f"it has waited {waited:.0f} s: {'; '.join(why)}"[:1000]
            execution.time_out(BY, row.attempt, causes[-1], message)
            self._log.put(execution)
        except (AttemptNotMine, ExecutionFinished, VersionConflict):
            return
        logger.warning("execution %s: %s; now %s", row.id, message, execution.status)

    def _commands(self, rows: Sequence[Row]) -> list[RunCommand]:
        """Of these, all but those that wait for a place in a group."""
        grouped = [row.id for row in rows if row.groups]
        if not grouped:
            return [_command(row) for row in rows]
        assert self._log.database is not None
        with self._log.database.pool.connection() as connection:
            held_up = group_places.without_room(connection, grouped)
        return ranked(self._log, [_command(row) for row in rows if row.id not in held_up])


def _bounds(row: Row, waited: float) -> list[str]:
    """The bounds that this wait is over, as causes; a group's last."""
    queue = [QUEUE_TIMEOUT] if row.queue_timeout and waited >= row.queue_timeout else []
    first = row.attempt == 1 and row.kind == "attempt"
    group = first and any(group["timeout"] and waited >= group["timeout"] for group in row.groups)
    return [*queue, *([GROUP_TIMEOUT] if group else [])]


def _waits_for(execution: Execution, row: Row) -> bool:
    if row.kind == "teardown":
        return execution.status == "owes_teardown" and execution.teardowns + 1 == row.number
    return execution.status == "queued"


def _command(row: Row) -> RunCommand:
    kind: CommandKind = "teardown" if row.kind == "teardown" else "attempt"
    return RunCommand(row.id, row.attempt, kind, row.number, row.priority, row.runs_on)
