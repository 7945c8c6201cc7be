"""The table of leases in a real PostgreSQL: nobody waits for one row with others in hand."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import psycopg
import pytest

from application import leases
from application.database import Database

pytestmark = pytest.mark.servers
ONE, TWO = UUID(int=1), UUID(int=2)
Connection = psycopg.Connection[Any]


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    made = Database(database_url)
    with made.connect() as connection:
        for execution in (ONE, TWO):
            write = leases.take(execution, 1, "attempt", "w", 60.0)
            connection.execute(write.sql, write.params)
    yield made
    made.close()


@pytest.fixture
def appending(database: Database) -> Iterator[Connection]:
    """A connection in the middle of an append that ends the second execution."""
    with database.connect() as connection, connection.transaction():
        write = leases.release(TWO, "w")
        connection.execute(write.sql, write.params)
        yield connection


@pytest.fixture
def other(database: Database) -> Iterator[Connection]:
    """Another connection, which may not wait."""
    with database.connect() as connection:
        connection.execute("SET lock_timeout = 300")
        yield connection


def test_a_heartbeat_prolongs_what_the_worker_holds_and_names_nothing_else(database: Database, other: Connection) -> None:
    before = _beats(other)
    assert {beat.execution for beat in leases.beat(other, "w", [ONE, TWO, UUID(int=3)])} == {ONE, TWO}
    assert all(beat > before[execution] for execution, beat in _beats(other).items())
    assert leases.beat(other, "v", [ONE]) == []
    assert [beat.execution for beat in leases.beat(other, "w", [ONE])] == [ONE]


def test_a_heartbeat_does_not_wait_for_an_append_and_holds_what_it_ends_until_it_has(
    appending: Connection, other: Connection
) -> None:
    before = _beats(other)
    assert {beat.execution for beat in leases.beat(other, "w", [ONE, TWO])} == {ONE, TWO}, "it may fail yet"
    after = _beats(other)
    assert after[ONE] > before[ONE]
    assert after[TWO] == before[TWO]


def test_the_sweeper_does_not_wait_for_an_append(appending: Connection, other: Connection) -> None:
    leases.lost(other, 0.0)
    assert [lost.execution for lost in leases.lost(other, 0.0)] == [ONE]


def test_what_an_append_left_as_it_was_is_lost_a_round_later(database: Database, other: Connection) -> None:
    with database.connect() as connection, connection.transaction(force_rollback=True):
        write = leases.release(TWO, "w")
        connection.execute(write.sql, write.params)
        leases.lost(other, 0.0)
    assert [lost.execution for lost in leases.lost(other, 0.0)] == [ONE]
    assert {lost.execution for lost in leases.lost(other, 0.0)} == {ONE, TWO}


def _beats(connection: Connection) -> dict[UUID, Any]:
    return dict(connection.execute("SELECT execution, beat FROM executions.leases").fetchall())
