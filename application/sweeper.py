"""The sweeper: turns the silence of a worker into events, and rings the queue again when it lost its data."""

from __future__ import annotations

import itertools
import logging
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from uuid import UUID

from application import leases
from application.group_commit import is_connection_error
from application.log import Log, VersionConflict
from application.ports import CommandQueue, RunCommand
from domain.errors import Unavailable
from domain.events import Actor
from domain.execution import AttemptNotMine, Execution, ExecutionFinished

RESEND_SECONDS = 120.0
FORGET_EVERY_SECONDS, SILENT_SECONDS = 60.0, 600.0
BY = Actor("sweeper")
logger = logging.getLogger("testmesh.sweeper")

Waiting = Callable[[], Sequence[tuple[UUID, int, str, int]]]
"""Executions that wait, from the read model: (id, attempt, kind, teardown number)."""


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
    ) -> None:
        """`waiting` reads the execution list; `caught_up` says whether it has reached a position (it may wait a while)."""
        self._log = log
        self._queue = queue
        self._waiting = waiting
        self._caught_up = caught_up
        self._lease = lease_seconds
        self._resend = resend_seconds
        self._forget_at = 0.0

    def run(self, stop: threading.Event, pause: float = 0.5) -> None:
        """Sweep until stopped; a lost lease is seen twice, so two pauses are a part of what a recovery takes."""
        others = (self.restore_queue, self.resend_forgotten, self.forget_receivers)
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
        commands = [_command(row) for row in self._waiting()]
        if commands:
            self._queue.send(commands)
        if self._queue.commit_epoch(nonce):
            logger.warning("the queue had lost its data; %s commands were sent again", len(commands))
        return len(commands)

    def forget_receivers(self) -> int:
        """Once a minute: forget workers that ended without a word."""
        if time.monotonic() < self._forget_at:
            return 0
        self._forget_at = time.monotonic() + FORGET_EVERY_SECONDS
        return self._queue.forget_receivers(SILENT_SECONDS)

    def resend_forgotten(self) -> int:
        """What has waited long is sent again; when it was last sent is kept in the database, not here."""
        assert self._log.database is not None
        rows = {row[0]: row for row in self._waiting()}
        if not rows:
            return 0
        with self._log.database.pool.connection() as connection:
            due = connection.execute(
                "INSERT INTO executions.resent (execution, at) SELECT i, clock_timestamp() FROM unnest(%s::uuid[]) AS i"
                " ON CONFLICT (execution) DO UPDATE SET at = clock_timestamp()"
                " WHERE executions.resent.at < clock_timestamp() - make_interval(secs => %s)"
                " RETURNING execution, xmax <> 0",
                (list(rows), self._resend),
            ).fetchall()
            connection.execute("DELETE FROM executions.resent WHERE NOT execution = ANY(%s::uuid[])", (list(rows),))
        commands = [_command(rows[row[0]]) for row in due if row[1]]
        if commands:
            self._queue.send(commands)
        return len(commands)


def _command(row: tuple[UUID, int, str, int]) -> RunCommand:
    return RunCommand(row[0], row[1], "teardown" if row[2] == "teardown" else "attempt", row[3])
