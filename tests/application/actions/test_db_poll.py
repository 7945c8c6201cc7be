"""The action `db_poll`: conditions, waiting, servers that start late, and what it tells when it gives up."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import psycopg
import pytest

from application.actions.database_poll import DB_POLL
from application.actions.database_query import DATABASE_QUERY
from application.engine.action import ActionFailed
from tests.support.action_context import Bench, bench
from tests.support.mariadb import MariaDb

MEMORY = "sqlite::memory:"
TWO = "SELECT * FROM (SELECT 7 AS id, 'paid' AS status, NULL AS note UNION ALL SELECT 8, 'open', 'x')"
NONE = f"{TWO} WHERE id = 9"


@pytest.fixture
async def one() -> AsyncIterator[Bench]:
    async with bench() as made:
        yield made


def ask(query: str, **config: Any) -> dict[str, Any]:
    return {"connection": MEMORY, "query": query, "timeout": "50ms", "interval": "20ms", **config}


async def failure(bench: Bench, config: dict[str, Any]) -> ActionFailed:
    with pytest.raises(ActionFailed) as failed:
        await bench.run(DB_POLL, config)
    return failed.value


@pytest.mark.parametrize(
    ("query", "config"),
    [
        (TWO, {}),
        (TWO, {"condition": {"row_exists": True}}),
        (NONE, {"condition": {"row_exists": False}}),
        (TWO, {"condition": {"row_count": 2}}),
        (TWO, {"condition": {"row_count": "2"}}),
        (TWO, {"condition": {"row_count": ">= 1"}}),
        (NONE, {"condition": {"row_count": 0}}),
        (TWO, {"condition": {"value_equals": {"column": "status", "value": "paid"}}}),
        (TWO, {"condition": {"value_equals": {"column": "id", "value": "7"}}}),
        (TWO, {"condition": {"value_equals": {"column": "note", "value": None}}}),
        (TWO, {"condition": {"value_not_null": "id"}}),
        (TWO, {"condition": {"value_not_null": {"column": "id"}}}),
        (TWO, {"expected_value": "paid", "column": "status"}),
        (TWO, {"condition": {"row_count": 2, "value_not_null": "id"}, "expected_value": 7, "column": "id"}),
    ],
)
async def test_a_condition_that_holds_at_once(one: Bench, query: str, config: dict[str, Any]) -> None:
    result = await one.run(DB_POLL, ask(query, **config))

    assert (result["success"], result["attempts"]) == (True, 1)
    assert result["row_count"] == len(result["rows"])
    assert result["first_row"] == (result["rows"][0] if result["rows"] else None)


@pytest.mark.parametrize(
    ("query", "config", "seen"),
    [
        (NONE, {}, "no row"),
        (TWO, {"condition": {"row_exists": False}}, "expected no row, there were 2"),
        (TWO, {"condition": {"row_count": 3}}, "expected row_count == 3, it was 2"),
        (TWO, {"condition": {"row_count": "> 2"}}, "expected row_count > 2, it was 2"),
        (TWO, {"expected_value": "sent", "column": "status"}, "expected status to be 'sent', it was 'paid'"),
        (TWO, {"expected_value": True, "column": "id"}, "expected id to be True, it was 7"),
        (NONE, {"expected_value": 7, "column": "id"}, "expected id to be 7, there was no row"),
        (TWO, {"condition": {"value_not_null": "note"}}, "expected note to have a value, it was null"),
        (
            TWO,
            {"condition": {"row_count": 1, "value_not_null": "note"}},
            "expected row_count == 1, it was 2 and expected note to have a value, it was null",
        ),
    ],
)
async def test_what_is_not_met_in_time_is_told_with_the_last_rows(
    one: Bench, query: str, config: dict[str, Any], seen: str
) -> None:
    failed = await failure(one, ask(query, **config))

    assert failed.message.startswith(f"{seen} within 0.05 s (")
    assert failed.result is not None
    assert failed.result["rows"] == (await one.run(DATABASE_QUERY, {"connection": MEMORY, "query": query}))["rows"]
    assert (failed.result["success"], failed.result["attempts"] > 1) == (False, True)


async def test_it_asks_again_until_the_value_is_there(one: Bench) -> None:
    await one.run(DATABASE_QUERY, {"connection": MEMORY, "query": "CREATE TABLE o (s); INSERT INTO o VALUES ('open')"})
    config = ask("SELECT s FROM o", expected_value="paid", column="s", timeout="5s", interval="10ms")
    one.exchange = {}
    waiting = asyncio.create_task(one.run(DB_POLL, config))
    while "response" not in one.exchange:
        await asyncio.sleep(0)
    await one.run(DATABASE_QUERY, {"connection": MEMORY, "query": "UPDATE o SET s = 'paid'"})

    result = await waiting
    assert (result["first_row"], result["attempts"] >= 2) == ({"s": "paid"}, True)


async def test_max_attempts_ends_it_early(one: Bench) -> None:
    failed = await failure(one, ask(NONE, max_attempts=3, timeout="60s", interval="1ms"))

    assert failed.message == "no row after 3 tries"


@pytest.mark.parametrize(
    ("config", "message", "hint"),
    [
        ({"query": "SELEC 1"}, "syntax error", None),
        ({"query": "CREATE TABLE t (a)"}, "never gives any", "add RETURNING or SELECT"),
        ({"expected_value": 1, "column": "statsu"}, "no column 'statsu'", 'did you mean "status"?'),
        ({"condition": {"row_exist": True}}, "no key 'row_exist'", 'did you mean "row_exists"?'),
        ({"condition": {}}, "condition is an object of", None),
        ({"condition": "rows"}, "condition is an object of", None),
        ({"condition": {"row_count": "many"}}, "row_count is a number", None),
        ({"condition": {"row_count": True}}, "row_count is a number", None),
        ({"condition": {"row_exists": "perhaps"}}, "true or false", None),
        ({"condition": {"value_equals": {"column": "id"}}}, "column and value", None),
        ({"condition": {"value_not_null": 7}}, "name of a column", None),
        ({"column": "id"}, "belong together", None),
        ({"expected_value": 1}, "belong together", None),
        ({"max_attempts": 0}, "max_attempts must be a number", None),
        ({"timeout": "soon"}, "timeout: ", None),
    ],
)
async def test_what_can_never_be_met_fails_at_once(one: Bench, config: dict[str, Any], message: str, hint: str | None) -> None:
    async with asyncio.timeout(5):
        error = await one.error(DB_POLL, {"connection": MEMORY, "query": TWO, "timeout": "60s", **config})

    assert message in error.message
    if hint is not None:
        assert error.hint == hint


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
async def test_a_server_that_never_comes_is_told_in_the_failure(one: Bench, scheme: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        url = f"{scheme}://ann:secret@127.0.0.1:{port}/shop"
        failed = await failure(one, ask("SELECT 1", connection=url))

    assert failed.message.startswith("no answer within 0.05 s (")
    assert f"no connection to {scheme}://ann@127.0.0.1:{port}/shop" in failed.message
    assert "refused" in failed.message
    assert "secret" not in failed.message
    assert failed.result is not None
    assert failed.result["rows"] == []


@pytest.mark.servers
async def test_a_server_that_comes_late_is_waited_for(one: Bench, fresh_database: Callable[[], str]) -> None:
    url = fresh_database()
    parts = psycopg.conninfo.conninfo_to_dict(url)
    ended = asyncio.Event()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", int(parts["port"]))

        async def pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                sink.write(data)
            sink.close()

        await asyncio.gather(pass_on(reader, back), pass_on(there, writer))
        ended.set()

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    late = url.replace(f":{parts['port']}/", f":{port}/")
    waiting = asyncio.create_task(one.run(DB_POLL, ask("SELECT 1 AS n", connection=late, timeout="10s")))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    server = await asyncio.start_server(relay, "127.0.0.1", port)
    async with server:
        result = await waiting
        await one.close()
        await ended.wait()

    assert (result["rows"], result["attempts"] > 1) == ([{"n": 1}], True)


@pytest.mark.servers
async def test_it_asks_mariadb_too(one: Bench, mariadb: MariaDb) -> None:
    result = await one.run(DB_POLL, ask("SELECT 1 AS n", connection=mariadb.url(), timeout="5s"))

    assert result["rows"] == [{"n": 1}]
