"""The action `database_query` on SQLite: values, parameters, rows, errors, and what it may not reach."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from application.actions.database_query import DATABASE_QUERY
from application.actions.registry import ACTIONS
from application.engine.action import ActionFailed
from domain.limits import LIMITS
from tests.support.action_context import Bench, bench

MEMORY = "sqlite::memory:"
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
THINGS = "CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT UNIQUE, data JSON)"


@pytest.fixture
async def one(tmp_path: Path) -> AsyncIterator[Bench]:
    async with bench(folder=tmp_path) as made:
        yield made


def ask(query: str, url: str = MEMORY, **config: Any) -> dict[str, Any]:
    return {"connection": url, "query": query, **config}


async def value(bench: Bench, expression: str, url: str = MEMORY, **config: Any) -> Any:
    result = await bench.run(DATABASE_QUERY, ask(f"SELECT {expression}", url, **config))
    (found,) = result["first_row"].values()
    return found


TYPES = [
    ("INTEGER", "7", 7),
    ("INTEGER", "9223372036854775807", 9223372036854775807),
    ("REAL", "1.5", 1.5),
    ("REAL", "9e999", "Infinity"),
    ("NUMERIC", "12.50", 12.5),
    ("DECIMAL(10,2)", "3.00", 3),
    ("TEXT", "'007'", "007"),
    ("VARCHAR(9)", "'12:30 ü'", "12:30 ü"),
    ("BLOB", "X'deadbeef'", "3q2+7w=="),
    ("DATE", "'2024-02-03'", "2024-02-03"),
    ("DATETIME", "'2024-02-03 04:05:06.789'", "2024-02-03T04:05:06.789"),
    ("TIMESTAMP", "1700000000", 1700000000),
    ("JSON", """'{"a": [1, 2.5, null, "x"]}'""", {"a": [1, 2.5, None, "x"]}),
    ("JSON", "'null'", None),
    ("JSON", "'not json'", "not json"),
    ("TEXT", """'{"a": 1}'""", '{"a": 1}'),
    ("INTEGER", "NULL", None),
]


async def test_values_arrive_as_plain_data_of_their_type(one: Bench) -> None:
    columns = ", ".join(f"c{number} {type}" for number, (type, _, _) in enumerate(TYPES))
    values = ", ".join(literal for _, literal, _ in TYPES)
    query = f"CREATE TABLE types ({columns}); INSERT INTO types VALUES ({values}); SELECT * FROM types"
    row = (await one.run(DATABASE_QUERY, ask(query)))["first_row"]

    assert list(row.values()) == [expected for _, _, expected in TYPES]
    assert [type(item) for item in row.values()] == [type(expected) for _, _, expected in TYPES]


@pytest.mark.parametrize("places", ["?, ?, ?, ?, ?, ?, ?", "$1, $2, $3, $4, $5, $6, $7", "%s, %s, %s, %s, %s, %s, %s"])
async def test_parameters_of_every_type_go_in_and_come_back(one: Bench, places: str) -> None:
    names = [f"v{number}" for number in range(7)]
    query = f"WITH v ({', '.join(names)}) AS (SELECT {places}) SELECT * FROM v"
    params = ["o'brien %s ? $1 \\ \0 ü\U0001f600", 2**40, -1.5, True, None, {"k": ["ü", None]}, [1, 2]]
    row = (await one.run(DATABASE_QUERY, ask(query, params=params)))["first_row"]

    assert list(row.values()) == [*params[:3], 1, None, '{"k": ["ü", null]}', "[1, 2]"]


async def test_numbered_and_named_places_may_repeat(one: Bench) -> None:
    assert await value(one, "?2 || ?1 || ?2", params=["a", "b"]) == "bab"
    assert await value(one, "[:n] || :n FROM (SELECT 'x' AS [:n]) -- :n", named_params={"n": "y"}) == "xy"
    hostile = "x'); DROP TABLE things; --"
    await one.run(DATABASE_QUERY, ask(THINGS))
    await one.run(DATABASE_QUERY, ask("INSERT INTO things (name) VALUES (?)", params=[hostile]))
    assert await value(one, "name FROM things") == hostile


async def test_rows_of_returning_are_kept_and_counted(one: Bench) -> None:
    await one.run(DATABASE_QUERY, ask(THINGS))
    result = await one.run(DATABASE_QUERY, ask("INSERT INTO things (name) VALUES ('a'), ('b') RETURNING id, name"))
    assert result["rows"] == [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]
    assert (result["count"], result["rows_affected"]) == (2, 2)

    result = await one.run(DATABASE_QUERY, ask("UPDATE things SET name = name"))
    assert (result["rows"], result["count"], result["first_row"], result["rows_affected"]) == ([], 0, None, 2)
    assert (await one.run(DATABASE_QUERY, ask("SELECT 1")))["rows_affected"] == 0


async def test_several_statements_are_told_apart_also_around_a_trigger(one: Bench) -> None:
    query = f"""{THINGS}; -- a comment; with a semicolon
    CREATE TABLE log (text);
    CREATE TRIGGER told AFTER INSERT ON things BEGIN
      INSERT INTO log VALUES (CASE WHEN new.name = ';' THEN 'end;' ELSE new.name END);
      INSERT INTO log VALUES ('twice');
    END;
    INSERT INTO things (name) VALUES ('a;b');;
    SELECT text FROM log;
    /* done; */"""
    result = await one.run(DATABASE_QUERY, ask(query))

    assert result["rows"] == [{"text": "a;b"}, {"text": "twice"}]
    assert result["rows_affected"] == 1


async def test_columns_of_the_same_name_are_all_kept(one: Bench) -> None:
    assert (await one.run(DATABASE_QUERY, ask("SELECT 1 AS id, 2 AS id")))["rows"] == [{"id": 1, "id_2": 2}]


async def test_no_more_is_kept_than_the_limits_and_all_is_counted(one: Bench) -> None:
    query = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1234) SELECT i, hex(zeroblob(500)) AS t FROM n"
    )
    result = await one.run(DATABASE_QUERY, ask(query, max_rows=250))
    assert [row["i"] for row in result["rows"]] == list(range(1, 251))
    assert (result["count"], result["truncated"]) == (1234, True)

    async with bench(limits=replace(LIMITS, response_read_bytes=50_000)) as small:
        result = await small.run(DATABASE_QUERY, ask(query))
        error = await small.error(DATABASE_QUERY, ask("SELECT zeroblob(60000)"))
        full = [await small.error(DATABASE_QUERY, ask(f"CREATE {kind} t AS {query}")) for kind in ("TABLE", "TEMP TABLE")]
    assert (len(result["rows"]), result["count"], result["truncated"]) == (49, 1234, True)
    assert (error.kind, "too big" in error.message) == ("query", True)
    assert [(one.kind, "full" in one.message) for one in full] == [("query", True)] * 2


async def test_an_error_tells_message_place_and_name(one: Bench) -> None:
    await one.run(DATABASE_QUERY, ask(THINGS))
    error = await one.error(DATABASE_QUERY, ask("SELECT :n,\n  nmae\nFROM things", named_params={"n": 1}))
    assert (error.kind, error.message) == (
        "query",
        "no such column: nmae at line 2, column 3 of the query (SQLITE_ERROR)",
    )
    error = await one.error(DATABASE_QUERY, ask("SELECT 1;\n SELEC 2"))
    assert error.message == 'near "SELEC": syntax error at line 2, column 2 of the query (SQLITE_ERROR)'
    await one.run(DATABASE_QUERY, ask("INSERT INTO things (name) VALUES ('a')"))
    error = await one.error(DATABASE_QUERY, ask("INSERT INTO things (name) VALUES ('a')"))
    assert error.message == "UNIQUE constraint failed: things.name (SQLITE_CONSTRAINT_UNIQUE)"


async def test_a_transaction_is_undone_when_a_statement_fails(one: Bench) -> None:
    await one.run(DATABASE_QUERY, ask(THINGS))
    twice = "INSERT INTO things (name) VALUES ('a'); INSERT INTO things (name) VALUES ('a')"
    await one.error(DATABASE_QUERY, ask(twice, transaction=True))
    assert await value(one, "count(*) FROM things") == 0

    await one.run(DATABASE_QUERY, ask("BEGIN; INSERT INTO things (name) VALUES ('b')"))
    await one.error(DATABASE_QUERY, ask(twice, transaction=True))
    await one.run(DATABASE_QUERY, ask("COMMIT"))
    assert await value(one, "group_concat(name) FROM things") == "b"


async def test_memory_lives_as_long_as_the_execution(one: Bench) -> None:
    await one.run(DATABASE_QUERY, ask(THINGS))
    assert await value(one, "count(*) FROM things", "sqlite:///:memory:") == 0
    async with bench() as other:
        assert "no such table" in (await other.error(DATABASE_QUERY, ask("SELECT * FROM things"))).message
    await one.close()
    assert "no such table" in (await one.error(DATABASE_QUERY, ask("SELECT * FROM things"))).message


async def test_a_file_of_the_project_is_opened_and_shared_with_others(one: Bench, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "shop.db") as made:
        made.execute("CREATE TABLE orders (id)")
    made.close()
    await one.run(ACTIONS["sqlite.query"], {"connection": {"path": "shop.db"}, "query": "INSERT INTO orders VALUES (7)"})

    other = sqlite3.connect(tmp_path / "shop.db")
    assert other.execute("SELECT id FROM orders").fetchall() == [(7,)]
    other.execute("BEGIN EXCLUSIVE")
    error = await one.error(DATABASE_QUERY, ask("SELECT * FROM orders", "sqlite:///shop.db"))
    other.close()
    assert (error.kind, "locked" in error.message) == ("timeout", True)
    assert one.exchange["request"]["connection"] == "sqlite:///shop.db"


async def test_a_file_that_is_no_database_is_told(one: Bench, tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("not a database at all, and long enough for a header of one hundred bytes" * 9)
    error = await one.error(DATABASE_QUERY, ask("SELECT * FROM t", "sqlite:///text.db"))

    assert "not a database" in error.message


@pytest.mark.parametrize(
    "query",
    [
        "ATTACH '{0}/other.db' AS other",
        "ATTACH 'file:{0}/other.db?mode=rwc' AS other",
        "ATTACH '{0}' || '/other.db' AS other",
        "VACUUM INTO '{0}/other.db'",
        "PRAGMA temp_store_directory = '{0}'",
        "PRAGMA writable_schema = ON",
        "PRAGMA mmap_size = 1000000",
        "PRAGMA hard_heap_limit = 1",
        "PRAGMA busy_timeout = 3600000",
        "PRAGMA page_size = 65536",
        "PRAGMA max_page_count = 1000000000",
        "PRAGMA main.trusted_schema = ON",
        "SELECT load_extension('{0}/evil.so')",
        "SELECT fts3_tokenizer('simple', X'00')",
        "SELECT * FROM pragma_temp_store_directory('{0}')",
        "CREATE VIEW v AS SELECT load_extension('{0}/evil.so'); SELECT * FROM v",
    ],
)
async def test_no_statement_reaches_beyond_its_database(one: Bench, tmp_path: Path, query: str) -> None:
    error = await one.error(DATABASE_QUERY, ask(query.replace("{0}", str(tmp_path))))

    assert error.kind in ("config", "query")
    assert os.listdir(tmp_path) == []
    assert await value(one, "1") == 1


async def test_what_belongs_to_the_database_itself_may_be_asked_and_set(one: Bench) -> None:
    query = f"{THINGS}; PRAGMA foreign_keys = ON; PRAGMA user_version = 3; VACUUM; PRAGMA page_size; PRAGMA table_info(things)"
    result = await one.run(DATABASE_QUERY, ask(query))

    assert [row["name"] for row in result["rows"]] == ["id", "name", "data"]
    assert await value(one, "user_version FROM pragma_user_version") == 3


@pytest.mark.parametrize(
    "url", ["sqlite:////etc/passwd", "sqlite:///../x.db", "sqlite:////proc/self/environ", "sqlite:///x/y.db"]
)
async def test_a_file_elsewhere_is_refused(one: Bench, url: str) -> None:
    assert (await one.error(DATABASE_QUERY, ask("SELECT 1", url))).kind == "config"


async def test_where_there_is_no_folder_only_memory_is_opened() -> None:
    async with bench() as worker:
        assert await value(worker, "1") == 1
        error = await worker.error(DATABASE_QUERY, ask("SELECT 1", "sqlite:///shop.db"))

    assert (error.kind, error.message) == ("config", "a SQLite file needs a folder, and there is none here")


async def test_a_cancelled_query_is_interrupted_and_the_database_is_kept(one: Bench) -> None:
    await one.run(DATABASE_QUERY, ask(THINGS))
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await one.run(DATABASE_QUERY, ask(f"INSERT INTO things (name) VALUES ('a'); {ENDLESS}", transaction=True))

    assert time.monotonic() - begun < 1.5
    assert await value(one, "count(*) FROM things") == 0


async def test_poll_fails_when_a_query_hangs(one: Bench) -> None:
    with pytest.raises(ActionFailed, match=r"no answer within 0.05 s \(1 try\); the last query gave no answer in time"):
        await one.run(DATABASE_QUERY, ask(ENDLESS, poll={"timeout": "50ms", "interval": "10ms"}))
    assert await value(one, "1") == 1


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"query": "SELECT :x"}, "could not be sent"),
        ({"query": "SELECT ?", "params": [2**63]}, "could not be sent"),
        ({"query": "SELECT ?", "params": [{1, 2}]}, "could not be sent"),
        ({"query": "SELECT ?", "params": ["\ud800"]}, "could not be sent"),
        ({"query": "SELECT 'open"}, "does not end"),
        ({"params": [1]}, "0 places"),
    ],
)
async def test_a_config_that_cannot_be_carried_out_is_told(one: Bench, config: dict[str, Any], message: str) -> None:
    error = await one.error(DATABASE_QUERY, {"connection": MEMORY, "query": "SELECT 1", **config})

    assert error.kind == "config"
    assert message in error.message
