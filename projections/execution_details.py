"""One execution in full: its request, and what happened in each attempt, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import psycopg

from projections.execution_history import TOPICS, History, fold
from projections.execution_list import COLUMNS
from projections.execution_tables import DDL, TABLES
from projections.rows import Pool, Row, as_uuid, read
from projections.view import Projection, Recorded

_STEP = (
    "seq, attempt, path, phase, number, name, action, worker, status, verdict, started_at, finished_at, duration_ms,"
    " tries, outputs, result, error, reason, exchange, payload"
)


# The tables are locked (against a rebuild's switch alone) before the snapshot is taken: between two statements of one
# snapshot, another table could take a name, with rows that this snapshot does not see.
_ONE_MOMENT = (
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;"
    f" LOCK TABLE executions.execution_list, {', '.join(table.name for table in TABLES)} IN ACCESS SHARE MODE"
)


class ExecutionDetailsProjection(Projection):
    """Normalised rows of requests, attempts, steps, teardowns and log lines."""

    name = "execution_details"
    log = "executions"
    topics = TOPICS
    tables = tuple(table.name for table in TABLES)

    def ddl(self) -> str:
        """Five tables, each read by execution."""
        return DDL

    def apply(self, connection: psycopg.Connection[Any], batch: Sequence[Recorded]) -> None:
        """Fold the batch over what the tables hold."""
        history = History(connection, batch)
        for recorded in batch:
            fold(history, recorded)
        history.write(connection)


class ExecutionDetails:
    """Queries."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def get(self, workspace: str, id: str | UUID) -> Row | None:
        """The row of the execution list, and: `request` {seed, variables, timeout, teardown_timeout, on_worker_lost,
        max_attempts, document}, `outputs`, `attempts`.

        An attempt: number, worker, started_at, ended_at, ended ({how: finished, verdict} or {how: abandoned, why, then,
        counts}; None while it runs), teardown_given_up (tries, or None), steps, teardowns ({number, worker, started_at,
        finished_at, verdict}; verdict `lost` when its worker was), logs ({at, level, message}) that belong to no step.
        A step: path, phase, number, name, action, worker, status (running, finished, lost), verdict, started_at,
        finished_at, duration_ms, tries, outputs, result, error, reason, exchange, payload (reference or None), logs.
        Variables under telling names are masked.
        """
        key = as_uuid(id)
        with self._pool.connection() as connection, connection.transaction():
            connection.execute(_ONE_MOMENT.encode())
            listed = read(
                connection,
                f"SELECT {COLUMNS} FROM executions.execution_list WHERE workspace = %s AND id = %s",
                (workspace, key),
            )
            return {**listed[0], **_history(connection, key)} if listed else None


def _history(connection: psycopg.Connection[Any], key: UUID | None) -> Row:
    requests = read(
        connection,
        "SELECT seed, variables, timeout, teardown_timeout, on_worker_lost, max_attempts, document"
        " FROM executions.execution_requests WHERE execution = %s",
        (key,),
    )
    attempts = read(
        connection,
        "SELECT number, worker, started_at, ended_at, ended, teardown_given_up, outputs"
        " FROM executions.execution_attempts WHERE execution = %s ORDER BY number",
        (key,),
    )
    outputs = [attempt.pop("outputs") for attempt in attempts]
    _fill(connection, key, attempts)
    return {
        "request": requests[0] if requests else None,
        "outputs": outputs[-1] if outputs else None,
        "attempts": attempts,
    }


def _fill(connection: psycopg.Connection[Any], key: UUID | None, attempts: Sequence[Row]) -> None:
    """Give each attempt its steps, teardowns and log lines."""
    table = "executions.execution_"
    steps = read(connection, f"SELECT {_STEP} FROM {table}steps WHERE execution = %s ORDER BY seq", (key,))
    teardowns = read(
        connection,
        f"SELECT attempt, number, worker, started_at, finished_at, verdict FROM {table}teardowns"
        " WHERE execution = %s ORDER BY attempt, number",
        (key,),
    )
    logs = read(connection, f"SELECT seq, attempt, path, at, lines FROM {table}logs WHERE execution = %s ORDER BY seq", (key,))
    for attempt in attempts:
        number = attempt["number"]
        attempt["teardowns"] = [_without_attempt(row) for row in teardowns if row["attempt"] == number]
        own = [row for row in steps if row["attempt"] == number]
        attempt["logs"] = _share_logs(own, [row for row in logs if row["attempt"] == number])
        attempt["steps"] = [_step(row, attempt) for row in own]


def _without_attempt(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "attempt"}


def _step(row: Row, attempt: Row) -> Row:
    """A step of an attempt that has ended does not run any more, even if nobody could say how it ended."""
    if row["status"] == "running" and not _may_run(row, attempt):
        row["status"] = "lost"
    return {name: value for name, value in row.items() if name not in ("seq", "attempt")}


def _may_run(row: Row, attempt: Row) -> bool:
    if attempt["ended_at"] is None:
        return True
    taken = [t for t in attempt["teardowns"] if t["number"] and t["finished_at"] is None]
    return any(row["worker"] == t["worker"] and row["started_at"] >= t["started_at"] for t in taken)


def _share_logs(steps: Sequence[Row], logs: Sequence[Row]) -> list[Row]:
    """Give each line to the newest step of its path that had begun by then; what belongs to none comes back."""
    places: dict[str, list[Row]] = {}
    for step in steps:
        step["logs"] = []
        places.setdefault(step["path"], []).append(step)
    rest: list[Row] = []
    for row in logs:
        begun = [step for step in places.get(row["path"], ()) if step["seq"] < row["seq"]]
        lines = [{"at": row["at"], **line} for line in row["lines"]]
        (begun[-1]["logs"] if begun else rest).extend(lines)
    return rest
