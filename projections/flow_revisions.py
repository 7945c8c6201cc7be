"""Every revision of every flow: when, by whom, and where its exact source is kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import psycopg

from domain.flow import Flow
from projections.rows import Pool, Row, Table, as_uuid, fetch
from projections.view import Projection, Recorded

TABLE = Table(
    "flows.flow_revisions",
    ("flow", "revision"),
    {
        "flow": "uuid",
        "revision": "integer",
        "workspace": "text",
        "at": "timestamptz",
        "actor": "text",
        "digest": "text",
        "name": "text",
        "steps": "integer",
        "document": "jsonb",
        "position": "bigint",
    },
)


class FlowRevisionsProjection(Projection):
    """One row a revision."""

    name = "flow_revisions"
    log = "flows"
    topics = (Flow.Registered.TOPIC, Flow.Revised.TOPIC)
    tables = (TABLE.name,)

    def ddl(self) -> str:
        """The table; revisions are read by flow."""
        return """
        CREATE TABLE IF NOT EXISTS flows.flow_revisions (
            flow uuid NOT NULL,
            revision integer NOT NULL,
            workspace text NOT NULL,
            at timestamptz NOT NULL,
            actor text NOT NULL,
            digest text NOT NULL,
            name text NOT NULL,
            steps integer NOT NULL,
            document jsonb NOT NULL,
            position bigint NOT NULL,
            PRIMARY KEY (flow, revision)
        )"""

    def apply(self, connection: psycopg.Connection[Any], batch: Sequence[Recorded]) -> None:
        """Add the revisions."""
        TABLE.upsert(connection, map(_row, batch))


def _row(recorded: Recorded) -> Row:
    event = recorded.event
    return {
        "flow": event.originator_id,
        "revision": 1 if isinstance(event, Flow.Registered) else event.revision,
        "workspace": event.workspace,
        "at": event.timestamp,
        "actor": event.actor,
        "digest": event.digest,
        "name": event.name,
        "steps": event.steps,
        "document": event.document,
        "position": recorded.position,
    }


class FlowRevisions:
    """Queries."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def of(self, workspace: str, flow: str | UUID) -> list[Row]:
        """The revisions of a flow, newest first: revision, at, actor, digest, name, steps, document, position."""
        sql = (
            "SELECT revision, at, actor, digest, name, steps, document, position FROM flows.flow_revisions"
            " WHERE workspace = %s AND flow = %s ORDER BY revision DESC"
        )
        return fetch(self._pool, sql, (workspace, as_uuid(flow)))
