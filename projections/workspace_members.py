"""Workspaces, and who belongs to each in which role."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import psycopg

from domain.user import User
from domain.workspace import Workspace
from projections.rows import Pool, Row, Table, as_uuid, fetch, fetch_one
from projections.view import Projection, Recorded

WORKSPACES = Table(
    "identity.workspace_list",
    ("id",),
    {"id": "uuid", "name": "text", "opened_at": "timestamptz", "position": "bigint"},
)
MEMBERS = Table(
    "identity.workspace_members",
    ("workspace", "user_id"),
    {"workspace": "text", "user_id": "text", "role": "text", "since": "timestamptz", "position": "bigint"},
)
USERS = Table(
    "identity.user_states",
    ("user_id",),
    {"user_id": "text", "disabled": "boolean", "position": "bigint"},
)


class WorkspaceMembersProjection(Projection):
    """One row a workspace, a membership, and a user's state."""

    name = "workspace_members"
    log = "identity"
    topics = (
        Workspace.Opened.TOPIC,
        Workspace.MemberAdded.TOPIC,
        Workspace.MemberRemoved.TOPIC,
        User.Registered.TOPIC,
        User.Disabled.TOPIC,
        User.Enabled.TOPIC,
    )
    tables = (WORKSPACES.name, MEMBERS.name, USERS.name)

    def ddl(self) -> str:
        """The tables."""
        return """
        CREATE TABLE IF NOT EXISTS identity.workspace_list (
            id uuid PRIMARY KEY,
            name text NOT NULL,
            opened_at timestamptz NOT NULL,
            position bigint NOT NULL
        );
        CREATE TABLE IF NOT EXISTS identity.workspace_members (
            workspace text NOT NULL,
            user_id text NOT NULL,
            role text NOT NULL,
            since timestamptz NOT NULL,
            position bigint NOT NULL,
            PRIMARY KEY (workspace, user_id)
        );
        CREATE TABLE IF NOT EXISTS identity.user_states (
            user_id text PRIMARY KEY,
            disabled boolean NOT NULL,
            position bigint NOT NULL
        )"""

    def apply(self, connection: psycopg.Connection[Any], batch: Sequence[Recorded]) -> None:
        """The last event of each workspace, membership and user in the batch decides its row."""
        opened: dict[UUID, Row] = {}
        members: dict[tuple[str, str], Row | None] = {}
        users: dict[str, Row] = {}
        for recorded in batch:
            event = recorded.event
            if isinstance(event, Workspace.Opened):
                opened[event.originator_id] = _opened(recorded)
            elif isinstance(event, Workspace.MemberAdded | Workspace.MemberRemoved):
                members[event.workspace, event.user] = _member(recorded)
            else:
                users[str(event.originator_id)] = _user(recorded)
        WORKSPACES.upsert(connection, opened.values())
        MEMBERS.upsert(connection, [row for row in members.values() if row is not None])
        MEMBERS.delete(connection, [key for key, row in members.items() if row is None])
        USERS.upsert(connection, users.values())


def _opened(recorded: Recorded) -> Row:
    event = recorded.event
    return {"id": event.originator_id, "name": event.name, "opened_at": event.timestamp, "position": recorded.position}


def _member(recorded: Recorded) -> Row | None:
    event = recorded.event
    if isinstance(event, Workspace.MemberRemoved):
        return None
    who = {"workspace": event.workspace, "user_id": event.user, "role": event.role}
    return {**who, "since": event.timestamp, "position": recorded.position}


def _user(recorded: Recorded) -> Row:
    event = recorded.event
    disabled = isinstance(event, User.Disabled)
    return {"user_id": str(event.originator_id), "disabled": disabled, "position": recorded.position}


class WorkspaceMembers:
    """Queries."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def workspace(self, id: str | UUID) -> Row | None:
        """One workspace: id, name, opened_at, position."""
        sql = "SELECT id, name, opened_at, position FROM identity.workspace_list WHERE id = %s"
        return fetch_one(self._pool, sql, (as_uuid(id),))

    def workspaces(self) -> list[Row]:
        """Every workspace by name."""
        return fetch(self._pool, "SELECT id, name, opened_at, position FROM identity.workspace_list ORDER BY name, id")

    def members(self, workspace: str) -> list[Row]:
        """Who belongs to a workspace: user, role, since (when the role was given), disabled, position."""
        sql = (
            "SELECT m.user_id AS user, m.role, m.since, coalesce(s.disabled, false) AS disabled, m.position"
            " FROM identity.workspace_members m LEFT JOIN identity.user_states s USING (user_id)"
            " WHERE m.workspace = %s ORDER BY m.user_id"
        )
        return fetch(self._pool, sql, (workspace,))

    def role(self, workspace: str, user: str) -> str | None:
        """The role of a user who may act; None for strangers and for disabled users."""
        sql = (
            "SELECT m.role FROM identity.workspace_members m LEFT JOIN identity.user_states s USING (user_id)"
            " WHERE m.workspace = %s AND m.user_id = %s AND s.disabled IS NOT TRUE"
        )
        row = fetch_one(self._pool, sql, (workspace, user))
        return None if row is None else str(row["role"])
