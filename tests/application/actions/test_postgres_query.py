"""The action `database_query` on a real PostgreSQL: values, parameters, rows, errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from application.actions.database_query import DATABASE_QUERY
from application.engine.action import ActionFailed
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
    ("1e400::numeric", f"1{'0' * 400}"),
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


async def test_times_are_iso_8601_though_the_database_has_another_style(one: Bench, url: str) -> None:
    name = psycopg.conninfo.conninfo_to_dict(url)["dbname"]
    await one.run(DATABASE_QUERY, ask(url, f"ALTER DATABASE {name} SET datestyle TO 'SQL, DMY'"))
    async with bench() as other:
        assert await value(other, url, "'2024-02-03'::date") == "2024-02-03"
    await one.run(DATABASE_QUERY, ask(url, f"ALTER DATABASE {name} RESET datestyle"))


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


async def test_poll_waits_for_a_row(one: Bench, url: str, table: str) -> None:
    config = ask(url, "SELECT name FROM things", poll={"timeout": "5s", "interval": "20ms"})
    waiting = asyncio.create_task(one.run(DATABASE_QUERY, config))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    async with bench() as other:
        await other.run(DATABASE_QUERY, ask(url, "INSERT INTO things (name) VALUES ('late')"))

    assert (await waiting)["first_row"] == {"name": "late"}


async def test_a_poll_that_is_off_asks_once(one: Bench, url: str, table: str) -> None:
    result = await one.run(DATABASE_QUERY, ask(url, "SELECT name FROM things", poll={"enabled": False, "timeout": "30s"}))
    assert result["count"] == 0


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
