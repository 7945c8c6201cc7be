"""Migration: every table, function and role that this version needs, made once under a lock."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from application import schema as logs
from application.database import Database
from domain.errors import Conflict
from domain.values import dataclass
from interfaces.locks import AdvisoryLock

WRITER, PROJECTOR, AUDITOR = "testmesh_writer", "testmesh_projector", "testmesh_auditor"
ROLES = (WRITER, PROJECTOR, AUDITOR)
"""The advisory lock of migrations; any constant of our own."""
_OLDEST = 15_00_00
_READ_SIDE_WRITES = ("tracking",)
_WRITE_SIDE = (
    "snapshots",
    "payloads",
    "workspace_keys",
    "tracking",
    "leases",
    "resent",
    "dead_letters",
    "group_places",
    "workers",
)
logger = logging.getLogger("testmesh.migration")

_HISTORY = """
CREATE TABLE IF NOT EXISTS public.testmesh_migrations (
    digest text PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now()
)
"""


@dataclass(frozen=True, slots=True)
class Migrated:
    """What a migration did; `missing_roles` are walls that this server's account may not build."""

    changed: bool
    missing_roles: tuple[str, ...] = ()


def migrate(database: Database, statements: Sequence[str]) -> Migrated:
    """Bring the database to this version; several processes at once do it once. Unavailable when it does not answer."""
    wanted = [*logs.statements(), *statements]
    digest = hashlib.sha256("\n".join(wanted).encode()).hexdigest()
    with database.connect() as connection:
        _check_server(connection)
        connection.execute("SET lock_timeout = 0")
        connection.execute("SELECT pg_advisory_lock(%s)", (int(AdvisoryLock.MIGRATION),))
        try:
            connection.execute(_HISTORY)
            known = connection.execute("SELECT 1 FROM public.testmesh_migrations WHERE digest = %s", (digest,)).fetchone()
            if known is None:
                _apply(connection, wanted, digest)
            return Migrated(known is None, tuple(role for role in ROLES if not usable(connection, role)))
        finally:
            connection.execute("SELECT pg_advisory_unlock(%s)", (int(AdvisoryLock.MIGRATION),))


def usable(connection: psycopg.Connection[Any], role: str) -> bool:
    """Whether this account may act as the role."""
    row = connection.execute(
        "SELECT pg_has_role(current_user, oid, 'MEMBER') FROM pg_roles WHERE rolname = %s", (role,)
    ).fetchone()
    return bool(row and row[0])


def _check_server(connection: psycopg.Connection[Any]) -> None:
    version = connection.info.server_version
    if version < _OLDEST:
        raise Conflict(f"PostgreSQL {version // 10000} is too old; TestMesh needs {_OLDEST // 10000} or newer")


def _apply(connection: psycopg.Connection[Any], wanted: Sequence[str], digest: str) -> None:
    with connection.transaction():
        for statement in wanted:
            connection.execute(statement.encode())
        connection.execute("INSERT INTO public.testmesh_migrations (digest) VALUES (%s)", (digest,))
    for role in ROLES:
        _make_role(connection, role)
    if all(_exists(connection, role) for role in ROLES):
        _grant(connection)
    logger.info("the database is at this version now")


def _make_role(connection: psycopg.Connection[Any], role: str) -> None:
    """Roles belong to the whole server, so another database's migration may make them at the same moment."""
    if _exists(connection, role):
        return
    try:
        connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)))
        connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(role)))
    except (psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
        pass
    except psycopg.errors.InsufficientPrivilege:
        logger.warning("the role %s cannot be made by this account; `testmesh doctor` says what is missing", role)


def _exists(connection: psycopg.Connection[Any], role: str) -> bool:
    return connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone() is not None


def _grant(connection: psycopg.Connection[Any]) -> None:
    """The writer may only add events, the projector only seals; the projector owns the read models; the auditor only reads."""
    for schema in logs.LOGS:
        tables = [
            row[0] for row in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", (schema,)).fetchall()
        ]
        _run(connection, "GRANT USAGE ON SCHEMA {} TO {}, {}, {}", schema, *ROLES)
        _run(connection, "GRANT SELECT ON ALL TABLES IN SCHEMA {} TO {}, {}, {}", schema, *ROLES)
        _run(connection, "GRANT USAGE ON ALL SEQUENCES IN SCHEMA {} TO {}, {}", schema, WRITER, PROJECTOR)
        for table in tables:
            _grant_table(connection, schema, table)


def _grant_table(connection: psycopg.Connection[Any], schema: str, table: str) -> None:
    if table == "events":
        _run(connection, "GRANT INSERT ON {}.{} TO {}", schema, table, WRITER)
    elif table == "seals":
        _run(connection, "GRANT INSERT ON {}.{} TO {}", schema, table, PROJECTOR)
    elif table in _WRITE_SIDE:
        roles = (WRITER, PROJECTOR) if table in _READ_SIDE_WRITES else (WRITER,)
        for role in roles:
            _run(connection, "GRANT INSERT, UPDATE, DELETE ON {}.{} TO {}", schema, table, role)
    else:
        _run(connection, "GRANT INSERT, UPDATE, DELETE, TRUNCATE ON {}.{} TO {}", schema, table, PROJECTOR)
        if table == "api_key_usage":
            _run(connection, "GRANT INSERT, UPDATE, DELETE ON {}.{} TO {}", schema, table, WRITER)


def _run(connection: psycopg.Connection[Any], statement: str, *names: str) -> None:
    connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))
