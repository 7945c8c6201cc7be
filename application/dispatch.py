"""The dispatcher: follows the executions log and rings the queue for every attempt or teardown that is wanted."""

from __future__ import annotations

import logging
import threading
import time

import psycopg

from application.group_commit import is_connection_error
from application.log import Log, Recorded
from application.ports import CommandQueue, RunCommand
from domain.errors import Unavailable
from domain.execution import Execution

NAME = "dispatcher"
TOPICS = (
    Execution.Requested.TOPIC,
    Execution.Requeued.TOPIC,
    Execution.AttemptAbandoned.TOPIC,
    Execution.Finished.TOPIC,
)
BATCH = 500
logger = logging.getLogger("testmesh.dispatcher")


def command_for(recorded: Recorded) -> RunCommand | None:
    """The command that an event asks for, if any. A stale one is harmless: the claim decides."""
    event = recorded.event
    if isinstance(event, Execution.Requested):
        return RunCommand(event.originator_id, 1)
    if isinstance(event, Execution.Requeued):
        return RunCommand(event.originator_id, event.attempt)
    if isinstance(event, Execution.AttemptAbandoned):
        return RunCommand(event.originator_id, event.attempt, "teardown", event.teardown)
    return None


class Dispatcher:
    """Sends, then advances its position: dying between the two sends twice, never not at all."""

    def __init__(self, log: Log, queue: CommandQueue) -> None:
        self._log = log
        self._queue = queue
        self._known: int | None = None
        """The position that this dispatcher wrote last; None when it must be read."""

    def step(self) -> int:
        """Send one batch; the number of events read."""
        position = self._position() if self._known is None else self._known
        self._known = None
        batch = self._log.read(position, BATCH, TOPICS)
        if not batch:
            self._known = position
            return 0
        commands = [command for command in map(command_for, batch) if command is not None]
        if commands:
            self._queue.send(commands)
        if self._advance(position, batch[-1].position):
            self._known = batch[-1].position
        return len(batch)

    def run(self, stop: threading.Event) -> None:
        """Follow until stopped: a notification is a hint, a poll each second the truth."""
        assert self._log.database is not None
        while not stop.is_set():
            try:
                with self._log.database.connect() as connection:
                    connection.execute("LISTEN testmesh_executions")
                    self._follow(connection, stop)
            except Exception as error:
                if not (is_connection_error(error) or isinstance(error, Unavailable)):
                    logger.exception("the dispatcher failed; it goes on")
                stop.wait(0.5)

    def _follow(self, connection: psycopg.Connection[tuple[object, ...]], stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                while self.step():
                    pass
            except Unavailable as error:
                logger.warning("the queue does not answer, commands wait: %s", error)
                stop.wait(0.5)
                continue
            begun = time.monotonic()
            for _ in connection.notifies(timeout=1.0, stop_after=1):
                break
            if time.monotonic() - begun < 0.001:
                stop.wait(0.001)

    def _position(self) -> int:
        assert self._log.database is not None
        with self._log.database.pool.connection() as connection:
            row = connection.execute("SELECT position FROM executions.tracking WHERE name = %s", (NAME,)).fetchone()
        return row[0] if row else 0

    def _advance(self, old: int, new: int) -> bool:
        """Two dispatchers are harmless: the slower one's position is not written. Whether it was."""
        assert self._log.database is not None
        with self._log.database.pool.connection() as connection:
            written = connection.execute(
                "INSERT INTO executions.tracking (name, position) VALUES (%s, %s)"
                " ON CONFLICT (name) DO UPDATE SET position = excluded.position"
                " WHERE executions.tracking.position = %s",
                (NAME, new, old),
            )
        return written.rowcount == 1
