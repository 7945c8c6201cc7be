"""Restores a backup into empty databases: all rows of a database in one transaction, then the read models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import errors

from application import group_places
from application.database import Database
from application.group_commit import is_connection_error
from domain.errors import Conflict, Invalid, Unavailable
from interfaces.backup.layout import PARTS, Part
from interfaces.backup.reading import Backup
from interfaces.bootstrap import Platform
from projections.execution_list import ExecutionList
from projections.positions import lag
from projections.projector import Projector
from projections.registry import LOGS, for_log

_FILLED = ("events", "payloads", "workspace_keys", "seals", "dead_letters")
"""Tables that show whether a database holds anything."""


def check_empty(platform: Platform) -> None:
    """Conflict, with the remedy, when a database holds something already."""
    for url, parts in _by_database(platform).items():
        with Database(url).connect() as connection:
            _check_empty(connection, parts)


def restore(platform: Platform, backup: Backup) -> Mapping[str, int]:
    """Write everything into the databases, which must be empty, and build the read models; the head of each log.

    When it fails, a database holds either all of its rows or none. When it ends between the rows and the read models, the
    projector builds those at the next start.
    """
    platform.migrate()
    for url, parts in _by_database(platform).items():
        with Database(url).connect() as connection:
            connection.execute(
                "SET idle_in_transaction_session_timeout = 0; SET client_encoding = 'UTF8'; SET DateStyle = 'ISO'"
            )
            with _explained(), connection.transaction():
                _fill(connection, parts, backup)
    heads = {log: _project(platform, log) for log in LOGS}
    _fill_groups(platform)
    return heads


@contextmanager
def _explained() -> Iterator[None]:
    """What PostgreSQL refuses, as a refusal of ours."""
    try:
        yield
    except errors.LockNotAvailable as error:
        raise Conflict(
            "the database is in use", code="in_use", remedy="stop every server, worker and projector on it"
        ) from error
    except psycopg.DatabaseError as error:
        if is_connection_error(error):
            raise Unavailable(f"PostgreSQL does not answer: {error}") from error
        raise Invalid(f"the backup's rows do not fit: {error.diag.message_primary or error}", code="damaged_backup") from error


def _by_database(platform: Platform) -> Mapping[str, list[Part]]:
    found: dict[str, list[Part]] = {}
    for part in PARTS:
        found.setdefault(platform.settings.database_of(part.log), []).append(part)
    return found


def _check_empty(connection: psycopg.Connection[Any], parts: list[Part]) -> None:
    for part in parts:
        table = f"{part.log}.{part.table}"
        known = connection.execute("SELECT to_regclass(%s) IS NOT NULL", (table,)).fetchone()
        if part.table not in _FILLED or known is None or not known[0]:
            continue
        if connection.execute(f"SELECT 1 FROM {table} LIMIT 1".encode()).fetchone() is not None:
            raise Conflict(
                f"the database is not empty: {table} has rows",
                code="not_empty",
                remedy="restore into a new data folder (TESTMESH_DATA_DIR) or a new database (TESTMESH_DATABASE_URL)",
            )


def _fill(connection: psycopg.Connection[Any], parts: list[Part], backup: Backup) -> None:
    tables = [part for part in parts if part.table in _FILLED]
    for part in tables:
        # A server that is running on this database must not write between the look and the commit.
        connection.execute(f"LOCK TABLE {part.log}.{part.table} IN ACCESS EXCLUSIVE MODE".encode())
    _check_empty(connection, parts)
    for part in parts:
        if part.table not in _FILLED:
            connection.execute(f"DELETE FROM {part.log}.{part.table} WHERE {part.where}".encode())
        if part.name in backup.manifest.parts:
            _copy(connection, part, backup)
    for log in dict.fromkeys(part.log for part in parts):
        number = f"SELECT setval('{log}.events_notification_id_seq', greatest(max(notification_id), 1)) FROM {log}.events"
        connection.execute(number.encode())
    if any(part.table == "leases" for part in parts):
        _shift_leases(connection, backup.manifest.made_at)


def _copy(connection: psycopg.Connection[Any], part: Part, backup: Backup) -> None:
    statement = part.copy_in(backup.manifest.parts[part.name].columns)
    with connection.cursor() as cursor, cursor.copy(statement.encode()) as copy:
        for data in backup.chunks(part.name):
            copy.write(data)


def _shift_leases(connection: psycopg.Connection[Any], made_at: str) -> None:
    """The time between backup and restore is nobody's: who was under way is lost for its silence, not over its deadline."""
    connection.execute(
        "UPDATE executions.leases SET beat = beat + (clock_timestamp() - %s::timestamptz),"
        " deadline = deadline + (clock_timestamp() - %s::timestamptz)",
        (made_at, made_at),
    )


def _fill_groups(platform: Platform) -> None:
    """Places of concurrency groups, from the events. The sweeper would make them too, but perhaps after the first request."""
    listed = ExecutionList(platform.readers("executions").pool).in_groups()
    with platform.database("executions").pool.connection() as connection:
        group_places.restore(connection, platform.logs["executions"], listed)


def _project(platform: Platform, log: str) -> int:
    """Build the read models of a log from its first event; its head."""
    database = platform.readers(log)
    projector = Projector(database.pool, database.connect, log, for_log(log), platform.logs[log].read)
    projector.catch_up()
    behind = [name for _, name, position, head in lag(database.pool, for_log(log)) if position < head]
    if projector.stopped or behind:
        told = "; ".join(f"{name}: {error}" for name, error in projector.stopped.items()) or ", ".join(behind)
        raise Unavailable(
            f"everything is restored, but these read models could not be built: {told}",
            remedy="upgrade TestMesh; the projector goes on by itself",
        )
    return platform.logs[log].head()
