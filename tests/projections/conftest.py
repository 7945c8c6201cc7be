"""A database with the tables of logs and read models, emptied before each test."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest

from application import schema
from application.database import Database
from projections.registry import LOGS, statements
from projections.rows import Pool

_TABLES = "SELECT format('%%I.%%I', schemaname, tablename) FROM pg_tables WHERE schemaname = ANY(%s)"


@pytest.fixture(scope="session")
def projected_url(fresh_database: Callable[[], str]) -> str:
    """A database with every table; its statements run twice, as they may."""
    url = fresh_database()
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in [*schema.statements(), *statements()] * 2:
            connection.execute(statement.encode())
    return url


@pytest.fixture
def database(projected_url: str) -> Iterator[Database]:
    """The database without a row."""
    with psycopg.connect(projected_url, autocommit=True) as connection:
        tables = [row[0] for row in connection.execute(_TABLES, (list(LOGS),)).fetchall()]
        emptied = [f"DELETE FROM {table}" for table in tables]
        begun = [f"ALTER SEQUENCE {log}.events_notification_id_seq RESTART" for log in LOGS]
        connection.execute("; ".join(emptied + begun).encode())
        connection.execute("INSERT INTO executions.live_feed_pruned (feed_id) VALUES (0)")
    database = Database(projected_url)
    database.pool.wait()  # its threads draw random numbers while it fills, which Hypothesis takes for ours
    yield database
    database.close()


@pytest.fixture
def pool(database: Database) -> Pool:
    """Its connections."""
    return database.pool
