"""The suite runs of a workspace: what was asked for, how far each has come, and how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import psycopg

from domain.suite_run import SuiteRun
from projections.paging import NEWEST_FIRST, Page
from projections.rows import Pool, Row, Table, Where, as_uuid, fetch_one
from projections.view import Projection, Recorded

TABLE = Table(
    "executions.suite_run_list",
    ("id",),
    {
        "id": "uuid",
        "workspace": "text",
        "name": "text",
        "selection": "jsonb",
        "matrix": "jsonb",
        "trigger": "text",
        "actor": "text",
        "parallel": "integer",
        "fail_fast": "boolean",
        "timeout": "double precision",
        "origin": "text",
        "root": "text",
        "total": "integer",
        "status": "text",
        "cancel_requested": "boolean",
        "verdict": "text",
        "counts": "jsonb",
        "requested_at": "timestamptz",
        "finished_at": "timestamptz",
        "duration_ms": "double precision",
        "first_position": "bigint",
        "position": "bigint",
    },
)
COLUMNS = ", ".join(TABLE.types)
TOPICS = (
    SuiteRun.Requested.TOPIC,
    SuiteRun.CasesPlanned.TOPIC,
    SuiteRun.CasesStarted.TOPIC,
    SuiteRun.CasesEnded.TOPIC,
    SuiteRun.CasesSkipped.TOPIC,
    SuiteRun.CancelRequested.TOPIC,
    SuiteRun.Finished.TOPIC,
)


class SuiteRunListProjection(Projection):
    """One row a suite run."""

    name = "suite_run_list"
    log = "executions"
    topics = TOPICS
    tables = (TABLE.name,)

    def ddl(self) -> str:
        """The table, with indexes for the order of pages, for what is open, and for chains of reruns."""
        return """
        CREATE TABLE IF NOT EXISTS executions.suite_run_list (
            id uuid PRIMARY KEY,
            workspace text NOT NULL,
            name text NOT NULL,
            selection jsonb NOT NULL,
            matrix jsonb NOT NULL,
            trigger text NOT NULL,
            actor text NOT NULL,
            parallel integer NOT NULL,
            fail_fast boolean NOT NULL,
            origin text NOT NULL,
            root text NOT NULL,
            total integer NOT NULL,
            status text NOT NULL,
            cancel_requested boolean NOT NULL,
            verdict text,
            counts jsonb NOT NULL,
            requested_at timestamptz NOT NULL,
            finished_at timestamptz,
            duration_ms double precision,
            first_position bigint NOT NULL,
            position bigint NOT NULL
        ) WITH (fillfactor = 70);
        CREATE INDEX IF NOT EXISTS suite_run_list_by_age
            ON executions.suite_run_list (workspace, requested_at DESC, id DESC);
        CREATE INDEX IF NOT EXISTS suite_run_list_by_root ON executions.suite_run_list (root);
        CREATE INDEX IF NOT EXISTS suite_run_list_open ON executions.suite_run_list (id) WHERE status <> 'finished';
        ALTER TABLE executions.suite_run_list ADD COLUMN IF NOT EXISTS timeout double precision NOT NULL DEFAULT 0"""

    def apply(self, connection: psycopg.Connection[Any], batch: Sequence[Recorded]) -> None:
        """Bring the rows of the suite runs in the batch up to date."""
        ids = {recorded.event.originator_id for recorded in batch}
        rows = {row["id"]: row for row in TABLE.load(connection, "id", ids)}
        for recorded in batch:
            id = recorded.event.originator_id
            rows[id] = {**rows.get(id, {}), **_change(rows.get(id, {}), recorded), "position": recorded.position}
        TABLE.upsert(connection, rows.values())


def _change(row: Row, recorded: Recorded) -> Row:
    event = recorded.event
    if isinstance(event, SuiteRun.Requested):
        return _requested(event, recorded.position)
    if isinstance(event, SuiteRun.CasesStarted):
        return {"status": "running", "counts": _moved(row, "waiting", ["running"] * len(event.cases))}
    if isinstance(event, SuiteRun.CasesEnded):
        return {"counts": _moved(row, "running", [ended["verdict"] for ended in event.cases])}
    if isinstance(event, SuiteRun.CasesSkipped):
        return {"counts": _moved(row, "waiting", ["skipped"] * len(event.cases))}
    if isinstance(event, SuiteRun.CancelRequested):
        return {"cancel_requested": True}
    if isinstance(event, SuiteRun.Finished):
        took = (event.timestamp - row["requested_at"]).total_seconds() * 1000
        return {"status": "finished", "verdict": event.verdict, "finished_at": event.timestamp, "duration_ms": took}
    return {}


def _requested(event: SuiteRun.Requested, position: int) -> Row:
    same = ("workspace", "name", "selection", "matrix", "trigger", "actor", "parallel", "fail_fast", "timeout", "origin")
    return {
        **{name: getattr(event, name) for name in (*same, "root", "total")},
        "id": event.originator_id,
        "status": "queued",
        "cancel_requested": False,
        "verdict": None,
        "counts": {"waiting": event.total},
        "requested_at": event.timestamp,
        "finished_at": None,
        "duration_ms": None,
        "first_position": position,
    }


def _moved(row: Row, source: str, targets: Sequence[str]) -> dict[str, int]:
    counts = dict(row["counts"])
    counts[source] = counts.get(source, 0) - len(targets)
    for target in targets:
        counts[target] = counts.get(target, 0) + 1
    return {name: count for name, count in sorted(counts.items()) if count}


class SuiteRunList:
    """Queries. Rows: id, workspace, name, selection (as asked), matrix, trigger, actor, parallel, fail_fast, timeout (seconds,
    0 for any time), origin (the suite run that it reruns), root (the first of the chain), total, status (queued, running,
    finished), cancel_requested, verdict, counts (cases by verdict, or waiting, running, skipped), requested_at, finished_at,
    duration_ms, first_position and position (of its first and newest event)."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def page(
        self,
        workspace: str,
        *,
        status: str | None = None,
        verdict: str | None = None,
        name: str | None = None,
        root: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page:
        """Suite runs, newest first; `root` gives those of a chain of reruns."""
        where = Where()
        where.equal(workspace=workspace, status=status, verdict=verdict, name=name, root=root)
        return NEWEST_FIRST.page(self._pool, f"SELECT {COLUMNS} FROM {TABLE.name}", where, cursor, limit)

    def get(self, workspace: str, id: str | UUID) -> Row | None:
        """One suite run."""
        sql = f"SELECT {COLUMNS} FROM {TABLE.name} WHERE workspace = %s AND id = %s"
        return fetch_one(self._pool, sql, (workspace, as_uuid(id)))

    def open(self) -> list[UUID]:
        """The suite runs of all workspaces that are not finished, oldest first."""
        sql = f"SELECT id FROM {TABLE.name} WHERE status <> 'finished' ORDER BY first_position"
        with self._pool.connection() as connection:
            return [row[0] for row in connection.execute(sql.encode()).fetchall()]

    def under_way(self) -> tuple[int, float]:
        """How many suite runs of all workspaces are not finished, and for how many seconds the oldest of those has waited of
        which no case has begun."""
        sql = (
            "SELECT count(*) AS n, coalesce(extract(epoch FROM clock_timestamp() - min(requested_at)"
            f" FILTER (WHERE status = 'queued')), 0)::float8 AS waiting FROM {TABLE.name} WHERE status <> 'finished'"
        )
        row = fetch_one(self._pool, sql)
        return (int(row["n"]), float(row["waiting"])) if row else (0, 0.0)
