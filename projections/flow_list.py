"""The flows of a workspace as they are now, to list, search and name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import psycopg

from domain.flow import Flow
from projections.paging import BY_NAME, Page
from projections.rows import Pool, Row, Table, Where, as_uuid, fetch, fetch_one, json_text
from projections.view import Projection, Recorded

TABLE = Table(
    "flows.flow_list",
    ("id",),
    {
        "id": "uuid",
        "workspace": "text",
        "project": "text",
        "key": "text",
        "path": "text",
        "name": "text",
        "description": "text",
        "suite": "text",
        "tags": "jsonb",
        "revision": "integer",
        "digest": "text",
        "document": "jsonb",
        "steps": "integer",
        "archived": "boolean",
        "created_at": "timestamptz",
        "updated_at": "timestamptz",
        "actor": "text",
        "position": "bigint",
    },
)
COLUMNS = ", ".join(TABLE.types)
NAME_CHARS = 400
"""Longer names are cut: an index entry has its limit."""


class FlowListProjection(Projection):
    """One row a flow."""

    name = "flow_list"
    log = "flows"
    topics = (
        Flow.Registered.TOPIC,
        Flow.Revised.TOPIC,
        Flow.Renamed.TOPIC,
        Flow.Tagged.TOPIC,
        Flow.Archived.TOPIC,
        Flow.Restored.TOPIC,
    )
    tables = (TABLE.name,)

    def ddl(self) -> str:
        """The table, with indexes for the order of pages and for tags."""
        return """
        CREATE TABLE IF NOT EXISTS flows.flow_list (
            id uuid PRIMARY KEY,
            workspace text NOT NULL,
            project text NOT NULL,
            key text NOT NULL,
            path text NOT NULL,
            name text NOT NULL,
            description text NOT NULL,
            suite text NOT NULL,
            tags jsonb NOT NULL,
            revision integer NOT NULL,
            digest text NOT NULL,
            document jsonb NOT NULL,
            steps integer NOT NULL,
            archived boolean NOT NULL,
            created_at timestamptz NOT NULL,
            updated_at timestamptz NOT NULL,
            actor text NOT NULL,
            position bigint NOT NULL
        );
        CREATE INDEX IF NOT EXISTS flow_list_by_name ON flows.flow_list (workspace, lower(name) COLLATE "C", id);
        CREATE INDEX IF NOT EXISTS flow_list_by_tag ON flows.flow_list USING gin (tags jsonb_path_ops)"""

    def apply(self, connection: psycopg.Connection[Any], batch: Sequence[Recorded]) -> None:
        """Bring the rows of the flows in the batch up to date."""
        ids = {recorded.event.originator_id for recorded in batch}
        rows = {row["id"]: row for row in TABLE.load(connection, "id", ids)}
        for recorded in batch:
            id = recorded.event.originator_id
            rows[id] = _fold(rows.get(id, {}), recorded)
        TABLE.upsert(connection, rows.values())


def _fold(row: Row, recorded: Recorded) -> Row:
    event = recorded.event
    changed = {**row, **_change(event)}
    return {**changed, "updated_at": event.timestamp, "actor": event.actor, "position": recorded.position}


def _change(event: Any) -> Row:
    if isinstance(event, Flow.Registered):
        names = ("workspace", "project", "key", "path")
        first = {name: getattr(event, name) for name in names}
        begun = {"id": event.originator_id, "created_at": event.timestamp, "archived": False, "revision": 1}
        return {**first, **begun, "tags": list(event.tags), **_source(event)}
    if isinstance(event, Flow.Revised):
        return {"revision": event.revision, **_source(event)}
    if isinstance(event, Flow.Renamed):
        return {"path": event.path}
    if isinstance(event, Flow.Tagged):
        return {"tags": list(event.tags)}
    return {"archived": isinstance(event, Flow.Archived)}


def _source(event: Flow.Registered | Flow.Revised) -> Row:
    values = {name: getattr(event, name) for name in ("description", "suite", "digest", "document", "steps")}
    return {**values, "name": event.name[:NAME_CHARS]}


class FlowList:
    """Queries. Rows: id, workspace, project, key, path, name, description, suite, tags, revision, digest, document,
    steps, archived, created_at, updated_at, actor, position."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def page(
        self,
        workspace: str,
        *,
        project: str | None = None,
        tag: str | None = None,
        suite: str | None = None,
        text: str | None = None,
        archived: bool | None = False,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page:
        """Flows by name. `text` is searched in name, path and description; `archived` None gives both kinds."""
        where = Where()
        where.equal(workspace=workspace, project=project, suite=suite, archived=archived)
        if tag is not None:
            where.add("tags @> %s::jsonb", json_text([tag]))
        if text:
            where.add("strpos(lower(concat_ws(chr(10), name, path, description)), lower(%s)) > 0", text)
        return BY_NAME.page(self._pool, f"SELECT {COLUMNS} FROM flows.flow_list", where, cursor, limit)

    def get(self, workspace: str, id: str | UUID) -> Row | None:
        """One flow."""
        sql = f"SELECT {COLUMNS} FROM flows.flow_list WHERE workspace = %s AND id = %s"
        return fetch_one(self._pool, sql, (workspace, as_uuid(id)))

    def in_use(self, workspace: str, *, project: str | None = None, suite: str | None = None) -> list[Row]:
        """Every flow that is not archived, by path: id, project, path, name, suite, tags."""
        where = Where()
        where.equal(workspace=workspace, project=project, suite=suite, archived=False)
        sql = f"SELECT id, project, path, name, suite, tags FROM flows.flow_list WHERE {where} ORDER BY path, id"
        return fetch(self._pool, sql, where.values)

    def find(self, workspace: str, called: str) -> list[Row]:
        """The flows with exactly this id, key, path or name; those in use before archived ones."""
        sql = (
            f"SELECT {COLUMNS} FROM flows.flow_list"
            " WHERE workspace = %s AND (key = %s OR path = %s OR name = %s OR id = %s) ORDER BY archived, name, id LIMIT 100"
        )
        return fetch(self._pool, sql, (workspace, called, called, called[:NAME_CHARS], as_uuid(called)))
