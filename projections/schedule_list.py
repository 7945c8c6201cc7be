"""The schedules of a workspace as they are now, to list, to name, and for the scheduler to know of."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg

from domain.schedule import PLAN, Schedule
from projections.execution_folding import shown_variables
from projections.paging import BY_NAME, Page
from projections.rows import Pool, Row, Table, Where, as_uuid, fetch, fetch_one
from projections.view import Projection, Recorded

TABLE = Table(
    "schedules.schedule_list",
    ("id",),
    {
        "id": "uuid",
        "workspace": "text",
        "name": "text",
        "flow": "text",
        "cron": "text",
        "time_zone": "text",
        "jitter": "double precision",
        "overlap": "text",
        "missed": "text",
        "variables": "jsonb",
        "tags": "jsonb",
        "paused": "boolean",
        "pause_reason": "text",
        "created_at": "timestamptz",
        "updated_at": "timestamptz",
        "deleted_at": "timestamptz",
        "actor": "text",
        "considered": "timestamptz",
        "last_tick": "timestamptz",
        "last_decision": "text",
        "last_execution": "text",
        "waiting": "jsonb",
        "position": "bigint",
        "selection": "jsonb",
    },
)
COLUMNS = ", ".join(name for name in TABLE.types if name != "deleted_at")


class ScheduleListProjection(Projection):
    """One row a schedule; those deleted are kept for the scheduler, which may have something left to do."""

    name = "schedule_list"
    log = "schedules"
    topics = (
        Schedule.Created.TOPIC,
        Schedule.Changed.TOPIC,
        Schedule.Paused.TOPIC,
        Schedule.Resumed.TOPIC,
        Schedule.Deleted.TOPIC,
        Schedule.TickConsidered.TOPIC,
    )
    tables = (TABLE.name,)

    def ddl(self) -> str:
        """The table, with an index for the order of pages."""
        return """
        CREATE TABLE IF NOT EXISTS schedules.schedule_list (
            id uuid PRIMARY KEY,
            workspace text NOT NULL,
            name text NOT NULL,
            flow text NOT NULL,
            cron text NOT NULL,
            time_zone text NOT NULL,
            jitter double precision NOT NULL,
            overlap text NOT NULL,
            missed text NOT NULL,
            variables jsonb NOT NULL,
            tags jsonb NOT NULL,
            paused boolean NOT NULL,
            pause_reason text NOT NULL,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            deleted_at timestamptz,
            actor text NOT NULL,
            considered timestamptz NOT NULL,
            last_tick timestamptz,
            last_decision text NOT NULL,
            last_execution text NOT NULL,
            waiting jsonb NOT NULL,
            position bigint NOT NULL
        ) WITH (fillfactor = 70);
        CREATE INDEX IF NOT EXISTS schedule_list_by_name
            ON schedules.schedule_list (workspace, lower(name) COLLATE "C", id) WHERE deleted_at IS NULL;
        ALTER TABLE schedules.schedule_list ADD COLUMN IF NOT EXISTS selection jsonb NOT NULL DEFAULT '{}'"""

    def apply(self, connection: psycopg.Connection[Any], batch: Sequence[Recorded]) -> None:
        """Bring the rows of the schedules in the batch up to date."""
        ids = {recorded.event.originator_id for recorded in batch}
        rows = {row["id"]: row for row in TABLE.load(connection, "id", ids)}
        for recorded in batch:
            id = recorded.event.originator_id
            rows[id] = {**_fold(rows.get(id, {}), recorded.event), "position": recorded.position}
        TABLE.upsert(connection, rows.values())


def _fold(row: Row, event: Any) -> Row:
    if isinstance(event, Schedule.TickConsidered):
        return {**row, **_considered(row, event)}
    change = _created(event) if isinstance(event, Schedule.Created) else _changed(row, event)
    return {**row, **change, "updated_at": event.timestamp, "actor": event.actor}


def _created(event: Schedule.Created) -> Row:
    plan = {name: getattr(event, name) for name in PLAN}
    return {
        **_shown(plan),
        **dict.fromkeys(("pause_reason", "last_decision", "last_execution"), ""),
        "id": event.originator_id,
        "workspace": event.workspace,
        "paused": False,
        "created_at": event.timestamp,
        "deleted_at": None,
        "considered": event.since,
        "last_tick": None,
        "waiting": [],
    }


def _changed(row: Row, event: Any) -> Row:
    if isinstance(event, Schedule.Changed):
        moved = "cron" in event.changes or "time_zone" in event.changes
        return {**_shown(event.changes), "considered": max(row["considered"], event.since) if moved else row["considered"]}
    if isinstance(event, Schedule.Paused):
        return {"paused": True, "pause_reason": event.reason}
    if isinstance(event, Schedule.Resumed):
        return {"paused": False, "pause_reason": "", "considered": max(row["considered"], event.since)}
    return {"deleted_at": event.timestamp}


def _considered(row: Row, event: Schedule.TickConsidered) -> Row:
    tick = event.tick.isoformat()
    waiting = [one for one in row["waiting"] if one != tick] + ([tick] if event.decision == "queued" else [])
    newest = {"last_tick": event.tick, "last_decision": event.decision}
    started = {"last_execution": event.execution} if event.decision == "started" else {}
    return {**newest, **started, "considered": max(row["considered"], event.tick), "waiting": waiting}


def _shown(plan: Any) -> Row:
    """The fields of a plan as people may see them."""
    shown = dict(plan)
    if "variables" in shown:
        shown["variables"] = shown_variables(shown["variables"])
    if "selection" in shown:
        shown["selection"] = shown["selection"] or {}
    if "tags" in shown:
        shown["tags"] = list(shown["tags"])
    return shown


class ScheduleList:
    """Queries. Rows: id, workspace, name, flow, cron, time_zone, jitter (seconds), overlap, missed, variables, tags, paused,
    pause_reason, created_at, updated_at, actor, considered (ticks up to here are decided), last_tick, last_decision,
    last_execution, waiting (queued ticks), position, selection (what flows it runs, where it has no `flow`)."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def page(
        self,
        workspace: str,
        *,
        flow: str | None = None,
        paused: bool | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page:
        """Schedules by name; `flow` is the id of a flow."""
        where = Where()
        where.equal(workspace=workspace, flow=flow, paused=paused)
        where.add("deleted_at IS NULL")
        return BY_NAME.page(self._pool, f"SELECT {COLUMNS} FROM {TABLE.name}", where, cursor, limit)

    def get(self, workspace: str, id: str | UUID) -> Row | None:
        """One schedule."""
        sql = f"SELECT {COLUMNS} FROM {TABLE.name} WHERE workspace = %s AND id = %s AND deleted_at IS NULL"
        return fetch_one(self._pool, sql, (workspace, as_uuid(id)))

    def find(self, workspace: str, called: str) -> list[Row]:
        """The schedules with exactly this id or name."""
        sql = (
            f"SELECT {COLUMNS} FROM {TABLE.name}"
            " WHERE workspace = %s AND (name = %s OR id = %s) AND deleted_at IS NULL ORDER BY name, id LIMIT 100"
        )
        return fetch(self._pool, sql, (workspace, called, as_uuid(called)))

    def count(self, workspace: str) -> int:
        """How many schedules a workspace has."""
        sql = f"SELECT count(*) AS n FROM {TABLE.name} WHERE workspace = %s AND deleted_at IS NULL"
        row = fetch_one(self._pool, sql, (workspace,))
        return int(row["n"]) if row else 0

    def known(self) -> list[tuple[UUID, int]]:
        """What a scheduler looks at in any workspace, those deleted since yesterday too: (id, position)."""
        sql = (
            f"SELECT id, position FROM {TABLE.name}"
            " WHERE deleted_at IS NULL OR deleted_at > clock_timestamp() - interval '1 day'"
        )
        with self._pool.connection() as connection:
            return [(row[0], row[1]) for row in connection.execute(sql.encode()).fetchall()]

    def ticking(self) -> list[Row]:
        """The schedules of all workspaces that tick: id, cron, time_zone, jitter, considered, last_tick."""
        sql = (
            f"SELECT id, cron, time_zone, jitter, considered, last_tick FROM {TABLE.name}"
            " WHERE deleted_at IS NULL AND NOT paused"
        )
        return fetch(self._pool, sql)

    def now(self) -> datetime:
        """The database's clock, which all schedulers share."""
        with self._pool.connection() as connection:
            row = connection.execute("SELECT clock_timestamp()").fetchone()
        assert row is not None
        moment: datetime = row[0]
        return moment
