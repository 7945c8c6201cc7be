"""The session behind `database_query`: transactions, cancels, lost connections, and what it may reach."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from application.actions.database_query import DATABASE_QUERY
from application.engine.egress import WorkerPolicy
from tests.support.action_context import Bench, bench

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def url(fresh_database: Callable[[], str]) -> str:
    return fresh_database()


@pytest.fixture
async def one() -> AsyncIterator[Bench]:
    async with bench() as made:
        yield made


@pytest.fixture
def table(url: str) -> str:
    """An empty table `things(id, name unique, data)`."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS things")
        connection.execute("CREATE TABLE things (id serial PRIMARY KEY, name text UNIQUE, data jsonb)")
    return "things"


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def ask(url: str, query: str, **config: Any) -> dict[str, Any]:
    return {"connection": url, "query": query, **config}


async def value(bench: Bench, url: str, expression: str, **config: Any) -> Any:
    result = await bench.run(DATABASE_QUERY, ask(url, f"SELECT {expression}", **config))
    (found,) = result["first_row"].values()
    return found


async def test_a_transaction_is_undone_when_a_statement_fails(one: Bench, url: str, table: str) -> None:
    query = "INSERT INTO things (name) VALUES ('a'); SELECT 1 / 0"
    error = await one.error(DATABASE_QUERY, ask(url, query, transaction=True))

    assert "division by zero" in error.message
    assert await value(one, url, "count(*) FROM things") == 0
    await one.run(DATABASE_QUERY, ask(url, "INSERT INTO things (name) VALUES ('b')", transaction="true"))
    assert await value(one, url, "count(*) FROM things") == 1


async def test_a_transaction_may_span_steps_and_ends_with_the_execution(url: str, table: str) -> None:
    async with bench() as first, bench() as second:
        await first.run(DATABASE_QUERY, ask(url, "BEGIN"))
        await first.run(DATABASE_QUERY, ask(url, "INSERT INTO things (name) VALUES ('a')"))
        assert await value(first, url, "count(*) FROM things") == 1
        assert await value(second, url, "count(*) FROM things") == 0
        await first.close()
        assert await value(second, url, "count(*) FROM things") == 0


async def test_steps_with_the_same_connection_share_a_session(one: Bench, url: str) -> None:
    pids = await asyncio.gather(*(value(one, url, "pg_backend_pid()") for _ in range(5)))

    assert len(set(pids)) == 1
    assert await value(one, f"{url}?application_name=other", "pg_backend_pid()") != pids[0]
    assert await value(one, f"{url}?application_name=other", "current_setting('application_name')") == "other"


async def test_a_cancelled_step_cancels_its_query_on_the_server(one: Bench, url: str) -> None:
    running = asyncio.create_task(one.run(DATABASE_QUERY, ask(url, "SELECT pg_sleep(60), 'hung query'")))
    async with bench() as other:
        count = "count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep(60)%'"
        while await value(other, url, count) != 1:
            await asyncio.sleep(0.01)
        begun = time.monotonic()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert await value(other, url, count) == 0
    assert time.monotonic() - begun < 2
    assert await value(one, url, "1") == 1


async def test_a_timed_out_step_inside_a_transaction_leaves_nothing_behind(one: Bench, url: str, table: str) -> None:
    query = "INSERT INTO things (name) VALUES ('a'); SELECT pg_sleep(60)"
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await one.run(DATABASE_QUERY, ask(url, query, transaction=True))

    assert await value(one, url, "count(*) FROM things") == 0


async def test_a_statement_timeout_of_the_server_is_a_timeout(one: Bench, url: str) -> None:
    error = await one.error(DATABASE_QUERY, ask(url, "SET statement_timeout = 50; SELECT pg_sleep(5)"))

    assert error.kind == "timeout"


async def test_a_session_that_the_server_ended_is_opened_again_before_anything_is_sent(one: Bench, url: str) -> None:
    pid = await value(one, url, "pg_backend_pid()")
    async with bench() as other:
        await value(other, url, "pg_terminate_backend(:pid, 2000)", named_params={"pid": pid})

    assert await value(one, url, "pg_backend_pid()") != pid


async def test_a_transaction_that_went_with_its_connection_is_an_error(one: Bench, url: str) -> None:
    await one.run(DATABASE_QUERY, ask(url, "BEGIN"))
    pid = await value(one, url, "pg_backend_pid()")
    async with bench() as other:
        await value(other, url, "pg_terminate_backend(:pid, 2000)", named_params={"pid": pid})

    error = await one.error(DATABASE_QUERY, ask(url, "SELECT 1"))
    assert error.kind == "connection_error"
    assert "transaction" in error.message
    assert await value(one, url, "1") == 1


async def test_a_connection_lost_during_the_query_is_told_and_not_sent_again(one: Bench, url: str, table: str) -> None:
    query = "INSERT INTO things (name) VALUES ('a'); SELECT pg_terminate_backend(pg_backend_pid())"
    error = await one.error(DATABASE_QUERY, ask(url, query))

    assert error.kind == "connection_error"
    assert await value(one, url, "count(*) FROM things") == 0


async def test_what_cannot_be_reached_has_a_kind_of_its_own(one: Bench, url: str, unused_port: int) -> None:
    parts = psycopg.conninfo.conninfo_to_dict(url)
    target = {"host": "127.0.0.1", "port": parts["port"], "user": parts["user"], "password": parts["password"], "database": "x"}

    async def kind(**change: Any) -> str:
        error = await one.error(DATABASE_QUERY, {"connection": {**target, **change}, "query": "SELECT 1"})
        assert str(parts["password"]) not in error.message
        assert error.hint or error.kind == "connection_error"
        return error.kind

    assert await kind(port=unused_port) == "connection_refused"
    assert await kind(host="no-such-host.invalid") == "dns"
    assert await kind(password="wrong") == "auth"
    assert await kind(password="") == "auth"
    assert await kind() == "connection_error"
    assert await kind(sslmode="require") == "tls"
    assert await kind(sslmode="verify-full") == "tls"


async def test_a_server_that_never_answers_is_a_timeout(one: Bench) -> None:
    one.seconds = 0.2
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        error = await one.error(DATABASE_QUERY, ask(f"postgresql://ann:secret@127.0.0.1:{port}/db", "SELECT 1"))

    assert error.kind == "timeout"


async def test_a_worker_reaches_only_what_its_policy_allows(url: str) -> None:
    port = psycopg.conninfo.conninfo_to_dict(url)["port"]
    async with bench(egress=WorkerPolicy(allow=[f"127.0.0.1:{port}"])) as allowed, bench(egress=WorkerPolicy()) as refusing:
        assert await value(allowed, url, "1") == 1
        error = await refusing.error(DATABASE_QUERY, ask(url, "SELECT 1"))
        hostile = await allowed.error(DATABASE_QUERY, ask(f"{url}?hostaddr=10.0.0.1", "SELECT 1"))

    assert error.kind == "egress"
    assert hostile.kind == "config"


async def test_each_address_of_a_name_is_tried(one: Bench, url: str) -> None:
    assert await value(one, url.replace("127.0.0.1", "localhost"), "1") == 1


async def test_nothing_of_libpq_s_environment_or_home_leaks_in(
    one: Bench, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passfile = tmp_path / "pass"
    passfile.write_text(f"*:*:*:*:{psycopg.conninfo.conninfo_to_dict(url)['password']}\n")
    passfile.chmod(0o600)
    service = tmp_path / "services"
    service.write_text("[leak]\noptions=-c search_path=leaked\nhostaddr=192.0.2.1\npassword=leaked\n")
    leaks = {
        "PGSERVICE": "leak",
        "PGSERVICEFILE": str(service),
        "PGPASSFILE": str(passfile),
        "PGHOSTADDR": "192.0.2.1",
        "PGOPTIONS": "-c search_path=leaked",
        "PGDATABASE": "leaked",
    }
    for name, text in {
        **leaks,
        "PGDATABASE": "leaked",
        "PGPASSWORD": "leaked",
        "PGSSLMODE": "verify-full",
        "PGCLIENTENCODING": "LATIN1",
    }.items():
        monkeypatch.setenv(name, text)

    assert await value(one, url, "current_setting('search_path')") == '"$user", public'
    assert await value(one, url, "'ü€'") == "ü€"
    parts = psycopg.conninfo.conninfo_to_dict(url)
    bare = {"host": "127.0.0.1", "port": parts["port"], "user": parts["user"], "database": parts["dbname"]}
    assert (await one.error(DATABASE_QUERY, {"connection": bare, "query": "SELECT 1"})).kind == "auth"
