"""The action `database_query` on a real PostgreSQL: values, transactions, time, trouble."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from application.actions.database_query import DATABASE_QUERY
from application.engine.action import ActionFailed
from application.engine.egress import WorkerPolicy
from domain.limits import LIMITS
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


TYPES = [
    ("7::int8", 7),
    ("NULL::int", None),
    ("true", True),
    ("1.5::float8", 1.5),
    ("'NaN'::float8", "NaN"),
    ("12.50::numeric", 12.5),
    ("3.00::numeric", 3),
    ("123456789012345678901234567890::numeric", 123456789012345678901234567890),
    ("'Infinity'::numeric", "Infinity"),
    ("'007'::text", "007"),
    ("'x'::char(3)", "x  "),
    ("'2024-02-03'::date", "2024-02-03"),
    ("'infinity'::date", "infinity"),
    ("'12:30:45.5'::time", "12:30:45.5"),
    ("'2024-02-03 04:05:06.789'::timestamp", "2024-02-03T04:05:06.789"),
    ("'2024-02-03 04:05:06+00'::timestamptz AT TIME ZONE 'UTC'", "2024-02-03T04:05:06"),
    ("'infinity'::timestamptz", "infinity"),
    ("'0044-03-15 12:00 BC'::timestamp", "0044-03-15 12:00:00 BC"),
    ("'1 day 2 hours'::interval", "1 day 02:00:00"),
    ("'6f9619ff-8b86-d011-b42d-00c04fc964ff'::uuid", "6f9619ff-8b86-d011-b42d-00c04fc964ff"),
    ("'\\xdeadbeef'::bytea", "3q2+7w=="),
    ("'10.0.0.1/24'::inet", "10.0.0.1/24"),
    ("'[1,5)'::int4range", "[1,5)"),
    ("ROW(1, 'a')", "(1,a)"),
    ("ARRAY[1, NULL, 3]", [1, None, 3]),
    ("ARRAY[['a', 'b'], ['c', 'd']]", [["a", "b"], ["c", "d"]]),
    ("ARRAY[1.5::numeric, 2]", [1.5, 2]),
    ("ARRAY['\\x00'::bytea]", ["AA=="]),
    ("'{}'::text[]", []),
    ("""'{"a": [1, 2.5, null, "x"]}'::json""", {"a": [1, 2.5, None, "x"]}),
    ("'null'::jsonb", None),
    ("""'"text"'::jsonb""", "text"),
    ("'12:30'::text", "12:30"),
]


async def test_values_arrive_as_plain_data_of_their_type(one: Bench, url: str) -> None:
    columns = ", ".join(f"{expression} AS c{number}" for number, (expression, _) in enumerate(TYPES))
    row = (await one.run(DATABASE_QUERY, ask(url, f"SELECT {columns}")))["first_row"]

    found = {expression: row[f"c{number}"] for number, (expression, _) in enumerate(TYPES)}
    assert found == dict(TYPES)
    assert {key: type(item) for key, item in found.items()} == {key: type(item) for key, item in TYPES}


async def test_a_time_with_zone_is_iso_8601_in_the_zone_of_the_session(one: Bench, url: str) -> None:
    await one.run(DATABASE_QUERY, ask(url, "SET TimeZone TO 'Asia/Kolkata'"))
    assert await value(one, url, "'2024-02-03 00:00Z'::timestamptz") == "2024-02-03T05:30:00+05:30"
    await one.run(DATABASE_QUERY, ask(url, "SET TimeZone TO 'UTC'"))
    assert await value(one, url, "'2024-02-03 00:00Z'::timestamptz") == "2024-02-03T00:00:00+00:00"


async def test_parameters_of_every_type_go_in_and_come_back(one: Bench, url: str) -> None:
    query = "SELECT ?::text AS t, ?::bigint AS i, ?::float8 AS f, ?::bool AS b, ?::text AS n, ?::jsonb AS j, ?::int[] AS a"
    params = ["o'brien %s $1", 2**40, 1.5, True, None, {"k": ["ü", None]}, [1, 2]]
    row = (await one.run(DATABASE_QUERY, ask(url, query, params=params)))["first_row"]

    assert list(row.values()) == params


async def test_a_text_parameter_fits_any_column_type(one: Bench, url: str) -> None:
    assert await value(one, url, ":day::date + 1", named_params={"day": "2024-02-28"}) == "2024-02-29"
    assert await value(one, url, "7 = ANY(:ids)", named_params={"ids": [6, 7]}) is True


async def test_text_in_a_parameter_is_never_sql(one: Bench, url: str, table: str) -> None:
    hostile = "x'); DROP TABLE things; --"
    await one.run(DATABASE_QUERY, ask(url, "INSERT INTO things (name) VALUES (?)", params=[hostile]))

    assert await value(one, url, "name FROM things") == hostile


async def test_rows_of_returning_are_kept_and_counted(one: Bench, url: str, table: str) -> None:
    query = "INSERT INTO things (name, data) VALUES ('a', '{}'), ('b', NULL) RETURNING id, name"
    result = await one.run(DATABASE_QUERY, ask(url, query))

    assert result["rows"] == [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]
    assert (result["count"], result["row_count"], result["rows_affected"]) == (2, 2, 2)
    assert result["first_row"] == {"id": 1, "name": "a"}
    assert result["truncated"] is False
    assert 0 < result["duration"] < 5000


async def test_a_statement_without_rows_tells_how_many_it_changed(one: Bench, url: str, table: str) -> None:
    await one.run(DATABASE_QUERY, ask(url, "INSERT INTO things (name) VALUES ('a'), ('b'), ('c')"))
    result = await one.run(DATABASE_QUERY, ask(url, "DELETE FROM things WHERE name <> 'a'"))

    assert (result["rows"], result["count"], result["first_row"], result["rows_affected"]) == ([], 0, None, 2)


async def test_several_statements_give_the_rows_of_the_last_that_has_any(one: Bench, url: str, table: str) -> None:
    query = "SELECT 1 AS x; INSERT INTO things (name) VALUES ('a;b'); SELECT name FROM things; UPDATE things SET name = 'c'"
    result = await one.run(DATABASE_QUERY, ask(url, query))

    assert result["rows"] == [{"name": "a;b"}]
    assert (result["count"], result["rows_affected"]) == (1, 2)


async def test_columns_of_the_same_name_are_all_kept(one: Bench, url: str) -> None:
    result = await one.run(DATABASE_QUERY, ask(url, "SELECT 1 AS id, 2 AS id, 3 AS other"))

    assert result["rows"] == [{"id": 1, "id_2": 2, "other": 3}]


async def test_no_more_rows_are_kept_than_asked_for_and_all_are_counted(one: Bench, url: str) -> None:
    query = "SELECT n FROM generate_series(1, 1234) n"
    result = await one.run(DATABASE_QUERY, ask(url, query, max_rows=250))

    assert [row["n"] for row in result["rows"]] == list(range(1, 251))
    assert (result["count"], result["truncated"]) == (1234, True)
    exact = await one.run(DATABASE_QUERY, ask(url, query, max_rows="1234"))
    assert (len(exact["rows"]), exact["truncated"]) == (1234, False)


async def test_no_more_bytes_are_kept_than_the_limit(url: str) -> None:
    async with bench(limits=replace(LIMITS, response_read_bytes=10_000)) as small:
        result = await small.run(DATABASE_QUERY, ask(url, "SELECT repeat('x', 999) AS t FROM generate_series(1, 500)"))

    assert (len(result["rows"]), result["count"], result["truncated"]) == (10, 500, True)


async def test_an_error_tells_message_place_code_and_advice(one: Bench, url: str, table: str) -> None:
    error = await one.error(DATABASE_QUERY, ask(url, "SELECT :long_name,\n  nmae\nFROM things", named_params={"long_name": 1}))

    assert error.kind == "query"
    assert error.message == 'column "nmae" does not exist at line 2, column 3 of the query (SQLSTATE 42703)'
    assert error.hint is not None
    assert "things.name" in error.hint
    error = await one.error(DATABASE_QUERY, ask(url, "SELECT :long_name, nmae FROM things", named_params={"long_name": 1}))
    assert "at line 1, column 20 of the query" in error.message


async def test_a_broken_constraint_is_told_with_its_detail_and_the_session_goes_on(one: Bench, url: str, table: str) -> None:
    await one.run(DATABASE_QUERY, ask(url, "INSERT INTO things (name) VALUES ('a')"))
    error = await one.error(DATABASE_QUERY, ask(url, "INSERT INTO things (name) VALUES ('a')"))

    assert "Key (name)=(a) already exists" in error.message
    assert await value(one, url, "count(*) FROM things") == 1


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


async def test_poll_waits_for_a_row(one: Bench, url: str, table: str) -> None:
    config = ask(url, "SELECT name FROM things", poll={"timeout": "5s", "interval": "20ms"})
    waiting = asyncio.create_task(one.run(DATABASE_QUERY, config))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    async with bench() as other:
        await other.run(DATABASE_QUERY, ask(url, "INSERT INTO things (name) VALUES ('late')"))

    assert (await waiting)["first_row"] == {"name": "late"}


async def test_poll_fails_when_no_row_came_in_time(one: Bench, url: str, table: str) -> None:
    config = ask(url, "SELECT name FROM things", poll={"timeout": "60ms", "interval": "20ms"})
    with pytest.raises(ActionFailed, match=r"no row within 0.06 s \(\d tries\)") as failed:
        await one.run(DATABASE_QUERY, config)

    assert failed.value.result is not None
    assert failed.value.result["count"] == 0
    error = await one.error(DATABASE_QUERY, ask(url, "DELETE FROM things", poll={}))
    assert (error.kind, "never gives rows" in error.message) == ("config", True)


async def test_the_password_is_told_to_the_masker_and_shown_nowhere(one: Bench, url: str) -> None:
    password = psycopg.conninfo.conninfo_to_dict(url)["password"]
    await one.run(DATABASE_QUERY, ask(url, "SELECT generate_series(1, 9) AS n, ?::text AS t", params=["x"]))

    assert one.secrets == [password]
    assert str(password) not in repr(one.exchange)
    assert one.exchange["request"]["params"] == ["x"]
    assert one.exchange["response"]["count"] == 9
    assert len(one.exchange["response"]["rows"]) == 5


async def test_what_cannot_be_reached_has_a_kind_of_its_own(one: Bench, url: str, unused_port: int) -> None:
    parts = psycopg.conninfo.conninfo_to_dict(url)
    target = {"host": "127.0.0.1", "port": parts["port"], "user": parts["user"], "password": parts["password"], "database": "x"}

    async def kind(**change: Any) -> str:
        error = await one.error(DATABASE_QUERY, {"connection": {**target, **change}, "query": "SELECT 1"})
        assert str(parts["password"]) not in error.message
        return error.kind

    assert await kind(port=unused_port) == "connection_refused"
    assert await kind(host="no-such-host.invalid") == "dns"
    assert await kind(password="wrong") == "auth"
    assert await kind(password="") == "auth"
    assert await kind() == "connection_error"
    assert await kind(sslmode="require") == "tls"


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


async def test_nothing_of_libpq_s_environment_or_home_leaks_in(
    one: Bench, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passfile = tmp_path / "pass"
    passfile.write_text(f"*:*:*:*:{psycopg.conninfo.conninfo_to_dict(url)['password']}\n")
    passfile.chmod(0o600)
    leaks = {
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


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"params": "x"}, "params must be a list"),
        ({"named_params": [1]}, "must be an object"),
        ({"params": [1]}, "0 places"),
        ({"max_rows": 0}, "from 1 to 10000"),
        ({"max_rows": "many"}, "from 1 to 10000"),
        ({"transaction": "maybe"}, "true or false"),
        ({"poll": {"tries": 3}}, "timeout and interval"),
        ({"poll": {"timeout": "soon"}}, "not a duration"),
        ({"query": " "}, "must be SQL"),
        ({"query": "COPY things TO STDOUT"}, "COPY"),
        ({"query": "COPY things FROM STDIN"}, "COPY"),
        ({"query": "SELECT ?::text", "params": ["a\0b"]}, "NUL"),
        ({"query": "SELECT ?::text", "params": [{1, 2}]}, "could not be sent"),
    ],
)
async def test_a_config_that_cannot_be_carried_out_is_told(
    one: Bench, url: str, table: str, config: dict[str, Any], message: str
) -> None:
    error = await one.error(DATABASE_QUERY, {"connection": url, "query": "SELECT 1", **config})

    assert error.kind == "config"
    assert message in error.message
    assert await value(one, url, "1") == 1
