"""The dispatcher: follows the executions log and rings the queue for every attempt or teardown that is wanted."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from application.calling import call_waiting, cancel_older, groups_in_use, ranked
from application.following import follow
from application.log import Log
from application.ports import CommandQueue, RunCommand
from domain.execution import Execution

if TYPE_CHECKING:
    import psycopg

NAME = "dispatcher"
TOPICS = (
    Execution.Requested.TOPIC,
    Execution.Requeued.TOPIC,
    Execution.AttemptAbandoned.TOPIC,
    Execution.Finished.TOPIC,
)
BATCH = 500


MOST_COUNTED = 100_000


def lag(connection: psycopg.Connection[Any]) -> tuple[int, int]:
    """The dispatcher's position in the log, and how many events that it acts on stand above it, counted up to MOST_COUNTED."""
    row = connection.execute(
        "WITH at AS (SELECT coalesce((SELECT position FROM executions.tracking WHERE name = %s), 0) AS position)"
        " SELECT position, (SELECT count(*) FROM (SELECT 1 FROM executions.events WHERE notification_id > position"
        " AND topic = ANY(%s) LIMIT %s) e) FROM at",
        (NAME, list(TOPICS), MOST_COUNTED),
    ).fetchone()
    return (row[0], row[1]) if row else (0, 0)


class Dispatcher:
    """Sends, then advances its position: dying between the two sends twice, never not at all.

    What is in a concurrency group is sent when there is a place for it: after its request, or after the end of another.
    """

    def __init__(self, log: Log, queue: CommandQueue) -> None:
        self._log = log
        self._queue = queue
        self._known: int | None = None
        """The position that this dispatcher wrote last; None when it must be read."""
        self._groups = True
        """Whether anybody may wait for a place; until it was looked, somebody may."""

    def step(self) -> int:
        """Send one batch; the number of events read."""
        position = self._position() if self._known is None else self._known
        self._known = None
        batch = self._log.read(position, BATCH, TOPICS)
        if not batch:
            self._known = position
            return 0
        commands = [command for recorded in batch if (command := self._command(recorded.event)) is not None]
        if commands:
            self._queue.send(commands)
        self._mind_groups([recorded.event for recorded in batch])
        if self._advance(position, batch[-1].position):
            self._known = batch[-1].position
        return len(batch)

    def _command(self, event: Any) -> RunCommand | None:
        """The command that an event asks for, if any. A stale one is harmless: the claim decides."""
        id = event.originator_id
        if isinstance(event, Execution.Requested):
            return None if event.groups else RunCommand(id, 1, priority=event.priority, runs_on=tuple(event.runs_on))
        if isinstance(event, Execution.Requeued):
            return self._routed(RunCommand(id, event.attempt))
        if isinstance(event, Execution.AttemptAbandoned):
            return self._routed(RunCommand(id, event.attempt, "teardown", event.teardown))
        return None

    def _routed(self, command: RunCommand) -> RunCommand:
        """With what the request says about the way; only lost attempts come here."""
        request = self._log.load(Execution, command.execution).request
        routed = replace(command, priority=request.priority, runs_on=tuple(request.runs_on))
        return ranked(self._log, [routed])[0] if request.groups else routed

    def _mind_groups(self, events: Sequence[Any]) -> None:
        """Cancel what newer executions replace, and call whose turn it is."""
        joined = [event for event in events if isinstance(event, Execution.Requested) and event.groups]
        for event in joined:
            for group in event.groups:
                if group["when_full"] == "cancel_older":
                    cancel_older(self._log, event.originator_id, group["name"])
        if joined or (self._groups and any(isinstance(event, Execution.Finished) for event in events)):
            self._groups = True
            call_waiting(self._log, self._queue)
            self._groups = groups_in_use(self._log)

    def run(self, stop: threading.Event) -> None:
        """Follow until stopped."""
        follow(self._log, self.step, stop, "dispatcher")

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
