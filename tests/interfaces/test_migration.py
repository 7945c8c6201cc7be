"""Migration on a real server: once under a lock, and with walls between the roles."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from application.database import Database
from application.event_store import PostgresLog
from domain.errors import Conflict
from domain.events import Actor
from domain.workspace import Workspace
from interfaces.migration import AUDITOR, PROJECTOR, WRITER, Migrated, migrate
from projections.rebuild import rebuild
from projections.registry import for_log
from projections.registry import statements as read_side

pytestmark = pytest.mark.servers


@pytest.fixture
def url(fresh_database: Callable[[], str]) -> str:
    return fresh_database()


def test_processes_that_start_together_migrate_once(url: str) -> None:
    with ThreadPoolExecutor(4) as threads:
        done = list(threads.map(lambda _: migrate(Database(url), []), range(4)))
    assert sorted(result.changed for result in done) == [False, False, False, True]
    assert all(not result.missing_roles for result in done)


def test_a_second_migration_changes_nothing_and_a_newer_version_does(url: str) -> None:
    assert migrate(Database(url), []) == Migrated(True)
    assert migrate(Database(url), []) == Migrated(False)
    assert migrate(Database(url), ["CREATE TABLE IF NOT EXISTS flows.more (id integer)"]).changed


def test_the_writer_appends_and_can_never_change_an_event(url: str) -> None:
    migrate(Database(url), [])
    database = Database(url, role=WRITER)
    log = PostgresLog("identity", database)
    log.put(Workspace.open(Actor("system"), "w"))
    log.close()
    with database.connect() as connection:
        for statement in ("UPDATE identity.events SET topic = 'x'", "DELETE FROM identity.events"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode())
    database.close()


def test_the_roles_may_do_with_rebuilt_tables_what_they_might_before(url: str) -> None:
    owner = Database(url)
    migrate(owner, read_side())
    log = PostgresLog("identity", Database(url, role=WRITER))
    log.put(Workspace.open(Actor("system"), "w"))
    members = for_log("identity")[1]
    rebuild(owner.pool, members, log.read)
    log.close()
    for role, statement in (
        (WRITER, "SELECT name FROM identity.workspace_list"),
        (AUDITOR, "SELECT name FROM identity.workspace_list"),
        (PROJECTOR, "UPDATE identity.workspace_list SET position = position RETURNING name"),
    ):
        with Database(url, role=role).connect() as connection:
            assert connection.execute(statement.encode()).fetchall() == [("w",)], role
    with Database(url, role=WRITER).connect() as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("DELETE FROM identity.workspace_list")
    for database in (owner, log.database):
        database.close()


def test_an_account_that_does_not_own_the_tables_is_told_which_one_to_use(url: str) -> None:
    migrate(Database(url), read_side())
    stranger = Database(url, role=PROJECTOR)
    with pytest.raises(Conflict, match="may not exchange tables of projection workspace_members") as refused:
        rebuild(stranger.pool, for_log("identity")[1], lambda after, limit, topics: [])
    assert "admin migrate" in str(refused.value.remedy)
    stranger.close()


def test_the_projector_adds_seals_and_nobody_changes_one(url: str) -> None:
    migrate(Database(url), [])
    add = "INSERT INTO flows.seals (number, statement, signature, entries) VALUES (1, 'x', 'x', 'x')"
    with Database(url, role=PROJECTOR).connect() as connection:
        connection.execute(add.encode())
    changes = ("UPDATE flows.seals SET statement = 'y'", "DELETE FROM flows.seals")
    for role, refused in ((WRITER, (add, *changes)), (PROJECTOR, changes), (AUDITOR, (add, *changes))):
        with Database(url, role=role).connect() as connection:
            assert connection.execute("SELECT count(*) FROM flows.seals").fetchone() == (1,)
            for statement in refused:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(statement.encode())


@pytest.mark.parametrize("role", [PROJECTOR, AUDITOR])
def test_other_roles_read_events_and_append_none(url: str, role: str) -> None:
    migrate(Database(url), [])
    with Database(url, role=role).connect() as connection:
        assert connection.execute("SELECT count(*) FROM flows.events").fetchone() == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(
                "INSERT INTO flows.events (originator_id, originator_version, topic, state)"
                " VALUES (gen_random_uuid(), 1, 'x', 'x')"
            )
