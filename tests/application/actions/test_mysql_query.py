"""The action `database_query` on a real MariaDB: values, parameters, rows, errors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from application.actions.database_query import DATABASE_QUERY
from application.actions.registry import ACTIONS
from domain.limits import LIMITS
from tests.support.action_context import Bench, bench
from tests.support.mariadb import MariaDb, needs_mariadb

needs_mariadb()
pytestmark = pytest.mark.servers


@pytest.fixture
async def one() -> AsyncIterator[Bench]:
    async with bench() as made:
        yield made


@pytest.fixture
def table(mariadb: MariaDb, mysql_url: str) -> str:
    """An empty table `things(id, name unique, data)`."""
    database = mysql_url.rpartition("/")[2]
    mariadb.execute("DROP TABLE IF EXISTS things", database)
    mariadb.execute("CREATE TABLE things (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(50) UNIQUE, data JSON)", database)
    return "things"


def ask(url: str, query: str, **config: Any) -> dict[str, Any]:
    return {"connection": url, "query": query, **config}


async def value(bench: Bench, url: str, expression: str, **config: Any) -> Any:
    result = await bench.run(DATABASE_QUERY, ask(url, f"SELECT {expression}", **config))
    (found,) = result["first_row"].values()
    return found


TYPES = [
    ("TINYINT", "1", 1),
    ("BIGINT UNSIGNED", "18446744073709551615", 18446744073709551615),
    ("YEAR", "2024", 2024),
    ("BIT(10)", "b'1000000001'", 513),
    ("DOUBLE", "1.5", 1.5),
    ("DECIMAL(10,2)", "12.50", 12.5),
    ("DECIMAL(10,2)", "3.00", 3),
    ("DECIMAL(40,0)", "123456789012345678901234567890", 123456789012345678901234567890),
    ("VARCHAR(9)", "'007'", "007"),
    ("LONGTEXT", "'12:30 ü€'", "12:30 ü€"),
    ("ENUM('a','b')", "'b'", "b"),
    ("DATE", "'2024-02-03'", "2024-02-03"),
    ("TIME(1)", "'-12:30:45.5'", "-12:30:45.5"),
    ("DATETIME(3)", "'2024-02-03 04:05:06.789'", "2024-02-03T04:05:06.789"),
    ("TIMESTAMP NULL", "'2024-02-03 04:05:06'", "2024-02-03T04:05:06"),
    ("BLOB", "X'deadbeef'", "3q2+7w=="),
    ("BINARY(2)", "X'00ff'", "AP8="),
    ("UUID", "'6f9619ff-8b86-d011-b42d-00c04fc964ff'", "6f9619ff-8b86-d011-b42d-00c04fc964ff"),
    ("JSON", """'{"a": [1, 2.5, null, "x"]}'""", {"a": [1, 2.5, None, "x"]}),
    ("JSON", "'null'", None),
    ("JSON", "'\"text\"'", "text"),
    ("INT", "NULL", None),
]


async def test_values_arrive_as_plain_data_of_their_type(one: Bench, mysql_url: str) -> None:
    columns = ", ".join(f"c{number} {type}" for number, (type, _, _) in enumerate(TYPES))
    values = ", ".join(literal for _, literal, _ in TYPES)
    query = f"CREATE OR REPLACE TABLE types ({columns}); INSERT INTO types VALUES ({values}); SELECT * FROM types"
    row = (await one.run(DATABASE_QUERY, ask(mysql_url, query)))["first_row"]

    assert list(row.values()) == [expected for _, _, expected in TYPES]
    assert [type(item) for item in row.values()] == [type(expected) for _, _, expected in TYPES]


async def test_json_that_a_function_makes_is_parsed_too_and_text_that_looks_like_it_is_not(one: Bench, mysql_url: str) -> None:
    assert await value(one, mysql_url, "JSON_OBJECT('a', JSON_ARRAY(1, 'x'))") == {"a": [1, "x"]}
    assert await value(one, mysql_url, """'{"a": 1}'""") == '{"a": 1}'


async def test_a_date_that_is_none_is_text_too(one: Bench, mysql_url: str) -> None:
    query = "SET sql_mode = ''; CREATE TEMPORARY TABLE zero (at DATETIME); INSERT INTO zero VALUES (0); SELECT at FROM zero"
    assert (await one.run(DATABASE_QUERY, ask(mysql_url, query)))["first_row"] == {"at": "0000-00-00T00:00:00"}


@pytest.mark.parametrize("places", ["?, ?, ?, ?, ?, ?, ?", "$1, $2, $3, $4, $5, $6, $7", "%s, %s, %s, %s, %s, %s, %s"])
async def test_parameters_of_every_type_go_in_and_come_back(one: Bench, mysql_url: str, places: str) -> None:
    names = [f"v{number}" for number in range(7)]
    query = f"WITH v ({', '.join(names)}) AS (SELECT {places}) SELECT * FROM v"
    params = ["o'brien %s ? $1 \\ \" \n\0 ü\U0001f600", 2**63, -1.5, True, None, {"k": ["ü", None]}, [1, 2]]
    row = (await one.run(DATABASE_QUERY, ask(mysql_url, query, params=params)))["first_row"]

    assert list(row.values()) == [*params[:3], 1, None, '{"k": ["ü", null]}', "[1, 2]"]


async def test_a_name_is_a_parameter_too_and_a_negative_number_makes_no_comment(one: Bench, mysql_url: str) -> None:
    assert await value(one, mysql_url, ["5 -:n", " ':n' AS quoted"][0], named_params={"n": -3}) == 8
    assert await value(one, mysql_url, "':n' # :n is not a place\n WHERE :n = 1 -- :n", named_params={"n": 1}) == ":n"


@pytest.mark.parametrize("mode", ["", "NO_BACKSLASH_ESCAPES", "ANSI_QUOTES"])
async def test_text_in_a_parameter_is_never_sql(one: Bench, mysql_url: str, table: str, mode: str) -> None:
    await one.run(DATABASE_QUERY, ask(mysql_url, f"SET sql_mode = '{mode}'"))
    for hostile in ("x'); DROP TABLE things; --", "x\\'); DROP TABLE things; --", "\\", "'", '"', "''\\''"):
        await one.run(DATABASE_QUERY, ask(mysql_url, "INSERT INTO things (name) VALUES (?)", params=[hostile]))
        assert await value(one, mysql_url, "name FROM things ORDER BY id DESC LIMIT ?", params=[1]) == hostile


async def test_text_is_never_sql_under_a_character_set_that_swallows_backslashes(one: Bench, mysql_url: str) -> None:
    await one.run(DATABASE_QUERY, ask(mysql_url, "SET NAMES gbk"))
    assert await value(one, mysql_url, "count(*) FROM seq_1_to_3 WHERE 'x' = ?", params=["\u543f' OR 1=1 -- "]) == 0


async def test_text_is_found_in_columns_of_other_character_sets(one: Bench, mysql_url: str) -> None:
    columns = "a VARCHAR(20) CHARACTER SET latin1, b VARCHAR(20) COLLATE utf8mb4_unicode_ci"
    await one.run(DATABASE_QUERY, ask(mysql_url, f"CREATE OR REPLACE TABLE sets ({columns})"))
    await one.run(DATABASE_QUERY, ask(mysql_url, "INSERT INTO sets VALUES (?, ?)", params=["ü' \\", "ü' \\"]))

    assert await value(one, mysql_url, "count(*) FROM sets WHERE a = $1 AND b = $1", params=["ü' \\"]) == 1


async def test_a_backslash_in_the_query_is_refused_where_it_could_be_read_in_two_ways(one: Bench, mysql_url: str) -> None:
    await one.run(DATABASE_QUERY, ask(mysql_url, "SET sql_mode = 'NO_BACKSLASH_ESCAPES'"))
    error = await one.error(DATABASE_QUERY, ask(mysql_url, "SELECT 'a\\', ?, '", params=["x"]))
    assert (error.kind, "0 places" in error.message) == ("config", True)
    error = await one.error(DATABASE_QUERY, ask(mysql_url, "SELECT 'a\\'', ?", params=["x"]))
    assert (error.kind, "NO_BACKSLASH_ESCAPES" in error.message) == ("config", True)


async def test_rows_of_returning_are_kept_and_counted(one: Bench, mysql_url: str, table: str) -> None:
    query = "INSERT INTO things (name, data) VALUES ('a', '{}'), ('b', NULL) RETURNING id, name, data"
    result = await one.run(DATABASE_QUERY, ask(mysql_url, query))

    assert result["rows"] == [{"id": 1, "name": "a", "data": {}}, {"id": 2, "name": "b", "data": None}]
    assert (result["count"], result["row_count"], result["rows_affected"]) == (2, 2, 2)
    result = await one.run(DATABASE_QUERY, ask(mysql_url, "INSERT INTO things (name) VALUES ('c'); SELECT * FROM things"))
    assert (result["count"], result["rows_affected"]) == (3, 1)


async def test_a_statement_without_rows_tells_how_many_it_changed(one: Bench, mysql_url: str, table: str) -> None:
    await one.run(DATABASE_QUERY, ask(mysql_url, "INSERT INTO things (name) VALUES ('a'), ('b'), ('c')"))
    same = await one.run(DATABASE_QUERY, ask(mysql_url, "UPDATE things SET name = name"))
    result = await one.run(DATABASE_QUERY, ask(mysql_url, "DELETE FROM things WHERE name <> 'a'"))

    assert same["rows_affected"] == 3
    assert (result["rows"], result["count"], result["first_row"], result["rows_affected"]) == ([], 0, None, 2)


async def test_several_statements_give_the_rows_of_the_last_that_has_any(one: Bench, mysql_url: str, table: str) -> None:
    query = "SELECT 1 AS x; INSERT INTO things (name) VALUES ('a;b'); SELECT name FROM things; UPDATE things SET name = 'c'"
    result = await one.run(DATABASE_QUERY, ask(mysql_url, query))

    assert result["rows"] == [{"name": "a;b"}]
    assert (result["count"], result["rows_affected"]) == (1, 2)


async def test_columns_of_the_same_name_are_all_kept(one: Bench, mysql_url: str) -> None:
    result = await one.run(DATABASE_QUERY, ask(mysql_url, "SELECT 1 AS id, 2 AS id, 3 AS other"))

    assert result["rows"] == [{"id": 1, "id_2": 2, "other": 3}]


async def test_no_more_rows_are_kept_than_asked_for_and_all_are_counted(one: Bench, mysql_url: str) -> None:
    query = "SELECT seq AS n FROM seq_1_to_1234"
    result = await one.run(DATABASE_QUERY, ask(mysql_url, query, max_rows=250))

    assert [row["n"] for row in result["rows"]] == list(range(1, 251))
    assert (result["count"], result["truncated"]) == (1234, True)
    assert await value(one, mysql_url, "1") == 1


async def test_no_more_bytes_are_kept_than_the_limit_and_no_larger_row_is_read(mysql_url: str) -> None:
    async with bench(limits=replace(LIMITS, response_read_bytes=10_000)) as small:
        result = await small.run(DATABASE_QUERY, ask(mysql_url, "SELECT repeat('x', 990) AS t FROM seq_1_to_500"))
        error = await small.error(DATABASE_QUERY, ask(mysql_url, "SELECT repeat('x', 20000)"))
        assert await value(small, mysql_url, "1") == 1

    assert (len(result["rows"]), result["count"], result["truncated"]) == (10, 500, True)
    assert (error.kind, error.message) == ("response_too_large", "a row is larger than 10000 bytes")


async def test_an_error_tells_message_place_and_code(one: Bench, mysql_url: str, table: str) -> None:
    error = await one.error(DATABASE_QUERY, ask(mysql_url, "SELECT :n,\n  nmae\nFROM things", named_params={"n": 1}))
    assert error.kind == "query"
    assert error.message == "Unknown column 'nmae' in 'SELECT' at line 2, column 3 of the query (SQLSTATE 42S22, error 1054)"
    error = await one.error(DATABASE_QUERY, ask(mysql_url, "SELECT 1;\n SELEC 2"))
    assert "near 'SELEC 2' at line 2, column 2 of the query (SQLSTATE 42000, error 1064)" in error.message
    error = await one.error(DATABASE_QUERY, ask(mysql_url, "SELECT * FROM thinks"))
    assert "thinks' doesn't exist at line 1, column 15 of the query" in error.message


async def test_a_broken_constraint_is_told_and_the_session_goes_on(one: Bench, mysql_url: str, table: str) -> None:
    await one.run(DATABASE_QUERY, ask(mysql_url, "INSERT INTO things (name) VALUES ('a')"))
    error = await one.error(DATABASE_QUERY, ask(mysql_url, "INSERT INTO things (name) VALUES ('a')"))

    assert error.message == "Duplicate entry 'a' for key 'name' (SQLSTATE 23000, error 1062)"
    assert await value(one, mysql_url, "count(*) FROM things") == 1


async def test_a_value_that_cannot_be_read_is_told_when_all_rows_are_through(one: Bench, mysql_url: str, table: str) -> None:
    await one.run(DATABASE_QUERY, ask(mysql_url, "SET check_constraint_checks = 0"))
    await one.run(DATABASE_QUERY, ask(mysql_url, "INSERT INTO things (data) VALUES ('{}'), ('{broken'), ('{}')"))
    error = await one.error(DATABASE_QUERY, ask(mysql_url, "SELECT data FROM things ORDER BY id"))

    assert (error.kind, "row 2 holds a value that cannot be read" in error.message) == ("query", True)
    assert await value(one, mysql_url, "1") == 1


async def test_no_file_of_the_machine_is_sent(one: Bench, mysql_url: str, table: str) -> None:
    error = await one.error(DATABASE_QUERY, ask(mysql_url, "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE things (name)"))

    assert (error.kind, "LOAD DATA LOCAL is off" in error.message) == ("config", True)
    assert await value(one, mysql_url, "count(*) FROM things") == 0


async def test_poll_waits_for_a_row(one: Bench, mysql_url: str, table: str) -> None:
    config = ask(mysql_url, "SELECT name FROM things", poll={"timeout": "5s", "interval": "20ms"})
    waiting = asyncio.create_task(one.run(DATABASE_QUERY, config))
    async with bench() as other:
        await other.run(DATABASE_QUERY, ask(mysql_url, "INSERT INTO things (name) VALUES ('late')"))

    assert (await waiting)["first_row"] == {"name": "late"}


async def test_an_object_needs_no_type_for_the_action_of_mysql(one: Bench, mariadb: MariaDb) -> None:
    server = {"host": "127.0.0.1", "port": mariadb.port, "user": "ann", "password": mariadb.password}
    result = await one.run(ACTIONS["mysql.query"], {"connection": server, "query": "SELECT 1 AS n"})

    assert result["rows"] == [{"n": 1}]


async def test_the_password_is_told_to_the_masker_and_shown_nowhere(one: Bench, mariadb: MariaDb, mysql_url: str) -> None:
    await one.run(DATABASE_QUERY, ask(mysql_url, "SELECT seq, ? FROM seq_1_to_9", params=["x"]))

    assert one.secrets == [mariadb.password]
    assert mariadb.password not in repr(one.exchange)
    assert mysql_url not in repr(one.exchange)
    assert one.exchange["request"]["params"] == ["x"]
    assert (one.exchange["response"]["count"], len(one.exchange["response"]["rows"])) == (9, 5)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"params": [1]}, "0 places"),
        ({"query": "SELECT ?; SELECT 2", "params": [1]}, "one statement"),
        ({"query": "SELECT ?", "params": [{1, 2}]}, "could not be sent"),
        ({"query": "SELECT ?", "params": [float("nan")]}, "could not be sent"),
        ({"query": "SELECT ?", "params": ["\ud800"]}, "could not be sent"),
        ({"query": "SELECT ?", "params": [{"a": float("inf")}]}, "could not be sent"),
        ({"max_rows": 0}, "from 1 to 10000"),
    ],
)
async def test_a_config_that_cannot_be_carried_out_is_told(
    one: Bench, mysql_url: str, config: dict[str, Any], message: str
) -> None:
    error = await one.error(DATABASE_QUERY, {"connection": mysql_url, "query": "SELECT 1", **config})

    assert error.kind == "config"
    assert message in error.message
    assert await value(one, mysql_url, "1") == 1
