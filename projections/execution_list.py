"""The executions of a workspace: what waits, what runs and how each ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import psycopg

from projections.execution_folding import TOPICS, fold
from projections.paging import NEWEST_FIRST, Page
from projections.rows import Pool, Row, Table, Where, as_uuid, fetch, fetch_one, json_text
from projections.view import Projection, Recorded

TABLE = Table(
    "executions.execution_list",
    ("id",),
    {
        "id": "uuid",
        "workspace": "text",
        "project": "text",
        "flow_id": "text",
        "flow_revision": "integer",
        "flow_name": "text",
        "file": "text",
        "tags": "jsonb",
        "trigger": "text",
        "actor": "text",
        "status": "text",
        "verdict": "text",
        "cause": "text",
        "message": "text",
        "attempt": "integer",
        "worker": "text",
        "teardown": "integer",
        "cancel_requested": "boolean",
        "requested_at": "timestamptz",
        "waiting_since": "timestamptz",
        "started_at": "timestamptz",
        "finished_at": "timestamptz",
        "duration_ms": "double precision",
        "steps_started": "integer",
        "steps_passed": "integer",
        "steps_failed": "integer",
        "failure": "jsonb",
        "priority": "integer",
        "runs_on": "jsonb",
        "groups": "jsonb",
        "queue_timeout": "double precision",
        "position": "bigint",
    },
)
COLUMNS = ", ".join(name for name in TABLE.types if name not in ("teardown", "waiting_since"))
WAITING = "status IN ('queued', 'owes_teardown')"

DDL = f"""
CREATE TABLE IF NOT EXISTS executions.execution_list (
    id uuid PRIMARY KEY,
    workspace text NOT NULL,
    project text NOT NULL,
    flow_id text,
    flow_revision integer,
    flow_name text NOT NULL,
    file text NOT NULL,
    tags jsonb NOT NULL,
    trigger text NOT NULL,
    actor text NOT NULL,
    status text NOT NULL,
    verdict text,
    cause text NOT NULL,
    message text NOT NULL,
    attempt integer NOT NULL,
    worker text NOT NULL,
    teardown integer NOT NULL,
    cancel_requested boolean NOT NULL,
    requested_at timestamptz NOT NULL,
    waiting_since timestamptz,
    started_at timestamptz,
    finished_at timestamptz,
    duration_ms double precision,
    steps_started integer NOT NULL,
    steps_passed integer NOT NULL,
    steps_failed integer NOT NULL,
    failure jsonb,
    priority integer NOT NULL DEFAULT 0,
    runs_on jsonb NOT NULL DEFAULT '[]',
    groups jsonb NOT NULL DEFAULT '[]',
    queue_timeout double precision NOT NULL DEFAULT 0,
    position bigint NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX IF NOT EXISTS execution_list_by_age
    ON executions.execution_list (workspace, requested_at DESC, id DESC);
CREATE INDEX IF NOT EXISTS execution_list_by_flow
    ON executions.execution_list (workspace, flow_id, requested_at DESC, id DESC);
CREATE INDEX IF NOT EXISTS execution_list_by_verdict
    ON executions.execution_list (workspace, verdict, requested_at DESC, id DESC);
CREATE INDEX IF NOT EXISTS execution_list_by_tag ON executions.execution_list USING gin (tags jsonb_path_ops);
CREATE INDEX IF NOT EXISTS execution_list_open
    ON executions.execution_list (status, workspace, requested_at DESC, id DESC) WHERE status <> 'finished';
CREATE INDEX IF NOT EXISTS execution_list_waiting
    ON executions.execution_list (waiting_since) WHERE {WAITING};
-- Rows of a release that did not know them: executions of that time asked for nothing.
ALTER TABLE executions.execution_list ADD COLUMN IF NOT EXISTS priority integer NOT NULL DEFAULT 0;
ALTER TABLE executions.execution_list ADD COLUMN IF NOT EXISTS runs_on jsonb NOT NULL DEFAULT '[]';
ALTER TABLE executions.execution_list ADD COLUMN IF NOT EXISTS groups jsonb NOT NULL DEFAULT '[]';
ALTER TABLE executions.execution_list ADD COLUMN IF NOT EXISTS queue_timeout double precision NOT NULL DEFAULT 0
"""


class Waiting(NamedTuple):
    """An execution that waits: for a worker to run attempt `attempt` ("attempt", number 0) or, when a lost attempt owes it,
    try `number` of its teardown ("teardown"). The rest is as in Requested."""

    id: UUID
    attempt: int
    kind: str
    number: int
    priority: int = 0
    runs_on: tuple[str, ...] = ()
    groups: tuple[Mapping[str, Any], ...] = ()
    queue_timeout: float = 0.0


def _waiting(row: Sequence[Any]) -> Waiting:
    id, attempt, status, teardown, priority, runs_on, groups, queue_timeout = row
    kind, number = ("attempt", 0) if status == "queued" else ("teardown", teardown)
    return Waiting(id, attempt, kind, number, priority, tuple(runs_on), tuple(groups), queue_timeout)


class ExecutionListProjection(Projection):
    """One row an execution."""

    name = "execution_list"
    log = "executions"
    topics = TOPICS
    tables = (TABLE.name,)

    def ddl(self) -> str:
        """The table, with an index for each way of paging and a small one over what is not finished."""
        return DDL

    def apply(self, connection: psycopg.Connection[Any], batch: Sequence[Recorded]) -> None:
        """Bring the rows of the executions in the batch up to date."""
        ids = {recorded.event.originator_id for recorded in batch}
        rows = {row["id"]: row for row in TABLE.load(connection, "id", ids)}
        for recorded in batch:
            id = recorded.event.originator_id
            rows[id] = fold(rows.get(id, {}), recorded)
        TABLE.upsert(connection, rows.values())


class ExecutionList:
    """Queries. Rows: id, workspace, project, flow_id, flow_revision, flow_name, file, tags, trigger, actor, status (queued,
    running, owes_teardown, tearing_down, finished), verdict, cause, message, attempt, worker, cancel_requested,
    requested_at, started_at (of the first attempt), finished_at, duration_ms, steps_started, steps_passed and
    steps_failed (of the newest attempt), failure ({path, text} of its first failing step), priority, runs_on, groups ({name,
    max, when_full, timeout} each), queue_timeout, position."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def page(
        self,
        workspace: str,
        *,
        status: str | None = None,
        verdict: str | None = None,
        flow: str | None = None,
        tag: str | None = None,
        trigger: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page:
        """Executions, newest first; `flow` is the id of a flow."""
        where = Where()
        where.equal(workspace=workspace, status=status, verdict=verdict, flow_id=flow, trigger=trigger)
        if tag is not None:
            where.add("tags @> %s::jsonb", json_text([tag]))
        return NEWEST_FIRST.page(self._pool, f"SELECT {COLUMNS} FROM {TABLE.name}", where, cursor, limit)

    def get(self, workspace: str, id: str | UUID) -> Row | None:
        """One execution."""
        sql = f"SELECT {COLUMNS} FROM {TABLE.name} WHERE workspace = %s AND id = %s"
        return fetch_one(self._pool, sql, (workspace, as_uuid(id)))

    def waiting(self) -> list[Waiting]:
        """What waits for a worker in any workspace, longest first."""
        columns = "id, attempt, status, teardown, priority, runs_on, groups, queue_timeout"
        sql = f"SELECT {columns} FROM {TABLE.name} WHERE {WAITING} ORDER BY waiting_since, id"
        with self._pool.connection() as connection:
            rows = connection.execute(sql.encode()).fetchall()
        return [_waiting(row) for row in rows]

    def in_groups(self) -> list[UUID]:
        """Open executions that are in concurrency groups, in any workspace, in the order of their requests."""
        sql = f"SELECT id FROM {TABLE.name} WHERE status <> 'finished' AND groups <> '[]' ORDER BY requested_at, id"
        with self._pool.connection() as connection:
            return [row[0] for row in connection.execute(sql.encode()).fetchall()]

    def queued(self, workspace: str | None, most: int) -> int:
        """How many executions wait for their first or a further attempt, counted up to `most`; None for all workspaces."""
        where = Where()
        where.equal(status="queued", workspace=workspace)
        sql = f"SELECT count(*) AS n FROM (SELECT 1 FROM {TABLE.name} WHERE {where} LIMIT %s) q"
        return int(fetch(self._pool, sql, [*where.values, most])[0]["n"])

    def waiting_by_labels(self, *, in_groups: bool = True) -> list[tuple[tuple[str, ...], int, datetime]]:
        """What waits in all workspaces by the labels that it asks for: (labels, how many, since when the oldest). Without
        `in_groups` only what no concurrency group holds up."""
        wanted = WAITING if in_groups else f"{WAITING} AND groups = '[]'"
        columns = "runs_on, count(*), min(waiting_since)"
        sql = f"SELECT {columns} FROM {TABLE.name} WHERE {wanted} GROUP BY runs_on ORDER BY runs_on"
        with self._pool.connection() as connection:
            rows = connection.execute(sql.encode()).fetchall()
        return [(tuple(runs_on), count, since) for runs_on, count, since in rows]

    def counts(self) -> dict[str, int]:
        """How many executions have each status, in all workspaces."""
        sql = f"SELECT status, count(*) AS n FROM {TABLE.name} GROUP BY status ORDER BY status"
        return {row["status"]: row["n"] for row in fetch(self._pool, sql)}

    def oldest_waiting(self) -> datetime | None:
        """Since when the one that has waited longest waits."""
        row = fetch_one(self._pool, f"SELECT min(waiting_since) AS since FROM {TABLE.name} WHERE {WAITING}")
        return row["since"] if row else None
