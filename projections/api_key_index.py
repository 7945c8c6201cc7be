"""API keys as authentication and their owners need them; when each was last used stands beside, not in the log."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg

from domain.api_key import ApiKey
from projections.paging import Order, Page
from projections.rows import Pool, Row, Table, Where, fetch_one
from projections.view import Projection, Recorded

TABLE = Table(
    "identity.api_key_index",
    ("id",),
    {
        "id": "uuid",
        "key_id": "text",
        "workspace": "text",
        "digest": "text",
        "name": "text",
        "user_id": "text",
        "scopes": "jsonb",
        "expires_at": "timestamptz",
        "revoked": "boolean",
        "revoked_at": "timestamptz",
        "created_at": "timestamptz",
        "created_by": "text",
        "position": "bigint",
    },
)
SHOWN = (
    "k.id, k.key_id, k.workspace, k.name, k.user_id AS user, k.scopes, k.expires_at, k.revoked, k.revoked_at,"
    " k.created_at, k.created_by, k.position, u.last_used_at, u.address AS last_address"
)
FROM = "FROM identity.api_key_index k LEFT JOIN identity.api_key_usage u USING (key_id)"
USED_SECONDS = 60.0
"""A use is written at most this often a key."""
REMEMBERED = 10_000


class ApiKeyIndexProjection(Projection):
    """One row a key."""

    name = "api_key_index"
    log = "identity"
    topics = (ApiKey.Issued.TOPIC, ApiKey.Revoked.TOPIC)
    tables = (TABLE.name,)

    def ddl(self) -> str:
        """The table of keys, and the table of their use, which no event writes and no rebuild clears."""
        return """
        CREATE TABLE IF NOT EXISTS identity.api_key_index (
            id uuid PRIMARY KEY,
            key_id text NOT NULL UNIQUE,
            workspace text NOT NULL,
            digest text NOT NULL,
            name text NOT NULL,
            user_id text NOT NULL,
            scopes jsonb NOT NULL,
            expires_at timestamptz NOT NULL,
            revoked boolean NOT NULL,
            revoked_at timestamptz,
            created_at timestamptz NOT NULL,
            created_by text NOT NULL,
            position bigint NOT NULL
        );
        CREATE INDEX IF NOT EXISTS api_key_index_by_age ON identity.api_key_index (workspace, created_at DESC, id DESC);
        CREATE TABLE IF NOT EXISTS identity.api_key_usage (
            key_id text PRIMARY KEY,
            last_used_at timestamptz NOT NULL,
            address text NOT NULL
        )"""

    def apply(self, connection: psycopg.Connection[Any], batch: Sequence[Recorded]) -> None:
        """Add keys, mark revoked ones."""
        ids = {recorded.event.originator_id for recorded in batch}
        rows = {row["id"]: row for row in TABLE.load(connection, "id", ids)}
        for recorded in batch:
            event = recorded.event
            change = _issued(event) if isinstance(event, ApiKey.Issued) else {"revoked": True, "revoked_at": event.timestamp}
            id = event.originator_id
            rows[id] = {**rows.get(id, {}), **change, "position": recorded.position}
        TABLE.upsert(connection, rows.values())


def _issued(event: ApiKey.Issued) -> Row:
    return {
        "id": event.originator_id,
        "key_id": event.key_id,
        "workspace": event.workspace,
        "digest": event.digest,
        "name": event.name,
        "user_id": event.user,
        "scopes": list(event.scopes),
        "expires_at": event.expires_at,
        "revoked": False,
        "revoked_at": None,
        "created_at": event.timestamp,
        "created_by": event.actor,
    }


_NEWEST_FIRST = Order({"created_at": datetime, "id": UUID}, down=True, table="k")


class ApiKeyIndex:
    """Queries, and the note of a key's last use."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._noted: dict[str, float] = {}
        self._noting = threading.Lock()

    def find(self, key_id: str) -> Row | None:
        """The key with its digest, whether it still works or not: also workspace, name, user, scopes, expires_at,
        revoked, revoked_at, created_at, created_by, last_used_at, last_address, position."""
        return fetch_one(self._pool, f"SELECT {SHOWN}, k.digest {FROM} WHERE k.key_id = %s", (key_id,))

    def page(self, workspace: str, *, revoked: bool | None = None, cursor: str | None = None, limit: int = 50) -> Page:
        """The keys of a workspace without their digests, newest first."""
        where = Where()
        where.equal(**{"k.workspace": workspace, "k.revoked": revoked})
        return _NEWEST_FIRST.page(self._pool, f"SELECT {SHOWN} {FROM}", where, cursor, limit)

    def used(self, key_id: str, address: str = "") -> bool:
        """Note that the key was used now, at most once a minute; whether it was written."""
        if not self._is_due(key_id):
            return False
        sql = (
            "INSERT INTO identity.api_key_usage AS u (key_id, last_used_at, address) VALUES (%s, clock_timestamp(), %s)"
            " ON CONFLICT (key_id) DO UPDATE SET last_used_at = excluded.last_used_at, address = excluded.address"
            " WHERE u.last_used_at < clock_timestamp() - make_interval(secs => %s)"
        )
        with self._pool.connection() as connection:
            written = connection.execute(sql, (key_id, address, USED_SECONDS)).rowcount
        return written == 1

    def _is_due(self, key_id: str) -> bool:
        """Whether this process has not noted it within the minute."""
        now = time.monotonic()
        with self._noting:
            if now - self._noted.get(key_id, -USED_SECONDS) < USED_SECONDS:
                return False
            if len(self._noted) >= REMEMBERED:
                self._noted.clear()
            self._noted[key_id] = now
        return True
