"""What was decided about each tick of each schedule, and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import psycopg

from domain.schedule import Schedule
from projections.paging import Order, Page
from projections.rows import Pool, Row, Table, Where, as_uuid
from projections.view import Projection, Recorded

TABLE = Table(
    "schedules.schedule_decisions",
    ("schedule", "version"),
    {
        "schedule": "uuid",
        "version": "integer",
        "workspace": "text",
        "at": "timestamptz",
        "tick": "timestamptz",
        "first": "timestamptz",
        "count": "integer",
        "decision": "text",
        "execution": "text",
        "cancels": "text",
        "revision": "integer",
        "why": "text",
        "position": "bigint",
    },
)


class ScheduleDecisionsProjection(Projection):
    """One row a decision."""

    name = "schedule_decisions"
    log = "schedules"
    topics = (Schedule.TickConsidered.TOPIC,)
    tables = (TABLE.name,)

    def ddl(self) -> str:
        """The table; decisions are read by schedule, newest first."""
        return """
        CREATE TABLE IF NOT EXISTS schedules.schedule_decisions (
            schedule uuid NOT NULL,
            version integer NOT NULL,
            workspace text NOT NULL,
            at timestamptz NOT NULL,
            tick timestamptz NOT NULL,
            first timestamptz NOT NULL,
            count integer NOT NULL,
            decision text NOT NULL,
            execution text NOT NULL,
            cancels text NOT NULL,
            revision integer NOT NULL,
            why text NOT NULL,
            position bigint NOT NULL,
            PRIMARY KEY (schedule, version)
        )"""

    def apply(self, connection: psycopg.Connection[Any], batch: Sequence[Recorded]) -> None:
        """Add the decisions."""
        TABLE.upsert(connection, map(_row, batch))


def _row(recorded: Recorded) -> Row:
    event = recorded.event
    same = ("workspace", "tick", "first", "count", "decision", "execution", "cancels", "revision", "why")
    return {
        **{name: getattr(event, name) for name in same},
        "schedule": event.originator_id,
        "version": event.originator_version,
        "at": event.timestamp,
        "position": recorded.position,
    }


_LATEST = Order({"version": int}, down=True)


class ScheduleDecisions:
    """Queries."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def page(
        self,
        workspace: str,
        schedule: str | UUID,
        *,
        decision: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page:
        """The decisions of a schedule, newest first: at, tick, first, count, decision, execution, cancels, revision (of the
        flow; 0 where nothing started), why, version, position."""
        where = Where()
        where.add("workspace = %s AND schedule = %s", workspace, as_uuid(schedule))
        where.equal(decision=decision)
        columns = "at, tick, first, count, decision, execution, cancels, revision, why, version, position"
        return _LATEST.page(self._pool, f"SELECT {columns} FROM {TABLE.name}", where, cursor, limit)
