"""Folds the events of a batch into the rows of attempts, steps, teardowns and log lines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

import psycopg

from domain.execution import MAX_TEARDOWNS, Execution
from projections.execution_folding import shown_variables
from projections.execution_tables import ATTEMPTS, LOGS, REQUESTS, STEPS, TEARDOWNS
from projections.rows import Row, Table
from projections.view import Recorded

_OUTCOME = ("verdict", "duration_ms", "tries", "outputs", "result", "error", "reason", "exchange")
_BOUNDS = ("seed", "timeout", "teardown_timeout", "on_worker_lost", "max_attempts", "document")


class Rows:
    """Rows of one table by key, of which those that changed are written back."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._rows: dict[tuple[Any, ...], Row] = {}
        self._changed: set[tuple[Any, ...]] = set()

    def remember(self, rows: Sequence[Row]) -> None:
        """Rows as they are in the database."""
        self._rows.update((self._key(row), row) for row in rows)

    def get(self, *key: Any) -> Row | None:
        """A row, when it is known."""
        return self._rows.get(key)

    def put(self, **values: Any) -> None:
        """A new row; columns that are not named are null."""
        row = {**dict.fromkeys(self._table.types), **values}
        self._rows[self._key(row)] = row
        self._changed.add(self._key(row))

    def change(self, row: Row | None, **values: Any) -> None:
        """New values for a known row; nothing for None."""
        if row is not None:
            row.update(values)
            self._changed.add(self._key(row))

    def write(self, connection: psycopg.Connection[Any]) -> None:
        """Store what changed."""
        self._table.upsert(connection, [self._rows[key] for key in sorted(self._changed)])

    def _key(self, row: Row) -> tuple[Any, ...]:
        return tuple(row[name] for name in self._table.key)


class History:
    """What a batch says, on top of what the tables hold already."""

    def __init__(self, connection: psycopg.Connection[Any], batch: Sequence[Recorded]) -> None:
        self.requests, self.logs, self.steps = Rows(REQUESTS), Rows(LOGS), Rows(STEPS)
        self.attempts, self.teardowns = Rows(ATTEMPTS), Rows(TEARDOWNS)
        self._running: dict[tuple[UUID, int, str, str], list[int]] = {}
        self._load(connection, batch)

    def _load(self, connection: psycopg.Connection[Any], batch: Sequence[Recorded]) -> None:
        ending = {recorded.event.originator_id for recorded in batch if recorded.topic in _ENDS}
        finishing = {r.event.originator_id for r in batch if r.topic == Execution.StepFinished.TOPIC}
        self.attempts.remember(ATTEMPTS.load(connection, "execution", ending))
        self.teardowns.remember(TEARDOWNS.load(connection, "execution", ending))
        running = STEPS.load(connection, "execution", finishing, "AND status = 'running' ORDER BY seq")
        self.steps.remember(running)
        for row in running:
            self.begin((row["execution"], row["attempt"], row["worker"], row["path"]), row["seq"])

    def begin(self, step: tuple[UUID, int, str, str], seq: int) -> None:
        """Note that a step (execution, attempt, worker, path) runs."""
        self._running.setdefault(step, []).append(seq)

    def end(self, step: tuple[UUID, int, str, str]) -> Row | None:
        """The row of the step that runs there, the newest one; it runs no more."""
        begun = self._running.get(step)
        return self.steps.get(step[0], begun.pop()) if begun else None

    def open_teardown(self, execution: UUID, attempt: int) -> Row | None:
        """The teardown of an attempt that has begun and not ended."""
        known = (self.teardowns.get(execution, attempt, number) for number in range(MAX_TEARDOWNS, -1, -1))
        return next((row for row in known if row is not None and row["finished_at"] is None), None)

    def write(self, connection: psycopg.Connection[Any]) -> None:
        """Store what changed."""
        for rows in (self.requests, self.attempts, self.steps, self.teardowns, self.logs):
            rows.write(connection)


def fold(history: History, recorded: Recorded) -> None:
    """Take one event in."""
    _CHANGES[recorded.topic](history, recorded.event, recorded.position)


def _requested(history: History, event: Execution.Requested, position: int) -> None:
    bounds = {name: getattr(event, name) for name in _BOUNDS}
    shown = shown_variables(event.variables)
    history.requests.put(execution=event.originator_id, variables=shown, position=position, **bounds)


def _attempt_started(history: History, event: Execution.AttemptStarted, position: int) -> None:
    key = {"execution": event.originator_id, "number": event.attempt}
    history.attempts.put(**key, worker=event.worker, started_at=event.timestamp, position=position)


def _step_started(history: History, event: Execution.StepStarted, position: int) -> None:
    values = {name: getattr(event, name) for name in ("attempt", "worker", "path", "phase", "number", "name", "action")}
    seq = event.originator_version
    key = {"execution": event.originator_id, "seq": seq}
    history.steps.put(**key, **values, status="running", started_at=event.timestamp, position=position)
    history.begin((event.originator_id, event.attempt, event.worker, event.path), seq)


def _step_finished(history: History, event: Execution.StepFinished, position: int) -> None:
    outcome = {name: event.outcome.get(name) for name in _OUTCOME}
    values = {**outcome, "status": "finished", "finished_at": event.timestamp, "payload": event.payload, "position": position}
    row = history.end((event.originator_id, event.attempt, event.worker, event.path))
    if row is not None:
        history.steps.change(row, **values)
        return
    names = {name: getattr(event, name) for name in ("attempt", "worker", "path", "phase")}
    key = {"execution": event.originator_id, "seq": event.originator_version}
    history.steps.put(**key, **names, **values, name=event.path)


def _log_written(history: History, event: Execution.LogWritten, position: int) -> None:
    key = {"execution": event.originator_id, "seq": event.originator_version}
    where = {"attempt": event.attempt, "path": event.path, "at": event.timestamp}
    history.logs.put(**key, **where, lines=list(event.lines), position=position)


def _attempt_abandoned(history: History, event: Execution.AttemptAbandoned, position: int) -> None:
    lost = history.open_teardown(event.originator_id, event.attempt)
    history.teardowns.change(lost, finished_at=event.timestamp, verdict="lost", position=position)
    attempt = history.attempts.get(event.originator_id, event.attempt)
    if event.why != "teardown_lost":
        ended = {"how": "abandoned", "why": event.why, "then": event.then, "counts": event.counts}
        history.attempts.change(attempt, ended_at=event.timestamp, ended=ended, position=position)


def _teardown_started(history: History, event: Execution.TeardownStarted, position: int) -> None:
    key = {"execution": event.originator_id, "attempt": event.attempt, "number": event.number}
    history.teardowns.put(**key, worker=event.worker, started_at=event.timestamp, position=position)


def _teardown_finished(history: History, event: Execution.TeardownFinished, position: int) -> None:
    row = history.teardowns.get(event.originator_id, event.attempt, event.number)
    history.teardowns.change(row, finished_at=event.timestamp, verdict=event.verdict, position=position)


def _teardown_given_up(history: History, event: Execution.TeardownGivenUp, position: int) -> None:
    lost = history.open_teardown(event.originator_id, event.attempt)
    history.teardowns.change(lost, finished_at=event.timestamp, verdict="lost", position=position)
    attempt = history.attempts.get(event.originator_id, event.attempt)
    history.attempts.change(attempt, teardown_given_up=event.tries, position=position)


def _finished(history: History, event: Execution.Finished, position: int) -> None:
    attempt = history.attempts.get(event.originator_id, event.attempt)
    if attempt is None:
        return
    history.attempts.change(attempt, outputs=dict(event.outputs), position=position)
    if attempt["ended_at"] is None:
        ended = {"how": "finished", "verdict": event.verdict}
        history.attempts.change(attempt, ended_at=event.timestamp, ended=ended)


_CHANGES: Mapping[str, Callable[[History, Any, int], None]] = {
    Execution.Requested.TOPIC: _requested,
    Execution.AttemptStarted.TOPIC: _attempt_started,
    Execution.StepStarted.TOPIC: _step_started,
    Execution.StepFinished.TOPIC: _step_finished,
    Execution.LogWritten.TOPIC: _log_written,
    Execution.AttemptAbandoned.TOPIC: _attempt_abandoned,
    Execution.TeardownStarted.TOPIC: _teardown_started,
    Execution.TeardownFinished.TOPIC: _teardown_finished,
    Execution.TeardownGivenUp.TOPIC: _teardown_given_up,
    Execution.Finished.TOPIC: _finished,
}
TOPICS = tuple(_CHANGES)
_ENDS = (
    Execution.AttemptAbandoned.TOPIC,
    Execution.TeardownFinished.TOPIC,
    Execution.TeardownGivenUp.TOPIC,
    Execution.Finished.TOPIC,
)
