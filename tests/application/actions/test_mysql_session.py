"""The session behind `database_query` on MariaDB: transactions, kills, lost connections, TLS, and what it may reach."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from application.actions.database_query import DATABASE_QUERY
from application.actions.database_tls import authorities
from application.engine.egress import WorkerPolicy
from domain.limits import LIMITS
from tests.support.action_context import Bench, bench
from tests.support.mariadb import MariaDb, needs_mariadb

needs_mariadb()
pytestmark = pytest.mark.servers
HUNG = "SELECT count(*) FROM seq_1_to_100000000 a, seq_1_to_100000000 b"


@pytest.fixture
async def one() -> AsyncIterator[Bench]:
    async with bench() as made:
        yield made


@pytest.fixture
def table(mariadb: MariaDb, mysql_url: str) -> str:
    """An empty table `things(id, name unique)`."""
    database = mysql_url.rpartition("/")[2]
    mariadb.execute("DROP TABLE IF EXISTS things", database)
    mariadb.execute("CREATE TABLE things (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(50) UNIQUE)", database)
    return "things"


def ask(url: str, query: str, **config: Any) -> dict[str, Any]:
    return {"connection": url, "query": query, **config}


async def value(bench: Bench, url: str, expression: str, **config: Any) -> Any:
    result = await bench.run(DATABASE_QUERY, ask(url, f"SELECT {expression}", **config))
    (found,) = result["first_row"].values()
    return found


async def running(mariadb: MariaDb, query: str) -> bool:
    rows = await asyncio.to_thread(mariadb.execute, "SHOW FULL PROCESSLIST")
    return any(row[7] is not None and query in str(row[7]) and "PROCESSLIST" not in str(row[7]) for row in rows)


async def begun(mariadb: MariaDb, task: asyncio.Task[Any], query: str) -> None:
    while not await running(mariadb, query):
        assert not task.done()
        await asyncio.sleep(0.01)


async def test_a_transaction_is_undone_when_a_statement_fails(one: Bench, mysql_url: str, table: str) -> None:
    query = "INSERT INTO things (name) VALUES ('a'); INSERT INTO things (name) VALUES ('a')"
    error = await one.error(DATABASE_QUERY, ask(mysql_url, query, transaction=True))

    assert "Duplicate entry" in error.message
    assert await value(one, mysql_url, "count(*) FROM things") == 0
    await one.run(DATABASE_QUERY, ask(mysql_url, "INSERT INTO things (name) VALUES ('b')", transaction="true"))
    assert await value(one, mysql_url, "count(*) FROM things") == 1


async def test_a_transaction_in_a_transaction_is_undone_alone(one: Bench, mysql_url: str, table: str) -> None:
    await one.run(DATABASE_QUERY, ask(mysql_url, "BEGIN; INSERT INTO things (name) VALUES ('a')"))
    query = "INSERT INTO things (name) VALUES ('b'); INSERT INTO things (name) VALUES ('a')"
    await one.error(DATABASE_QUERY, ask(mysql_url, query, transaction=True))
    await one.run(DATABASE_QUERY, ask(mysql_url, "INSERT INTO things (name) VALUES ('c')", transaction=True))
    await one.run(DATABASE_QUERY, ask(mysql_url, "COMMIT"))

    assert await value(one, mysql_url, "GROUP_CONCAT(name ORDER BY name) FROM things") == "a,c"


async def test_a_transaction_may_span_steps_and_ends_with_the_execution(mysql_url: str, table: str) -> None:
    async with bench() as first, bench() as second:
        await first.run(DATABASE_QUERY, ask(mysql_url, "BEGIN"))
        await first.run(DATABASE_QUERY, ask(mysql_url, "INSERT INTO things (name) VALUES ('a')"))
        assert await value(first, mysql_url, "count(*) FROM things") == 1
        assert await value(second, mysql_url, "count(*) FROM things") == 0
        await first.close()
        assert await value(second, mysql_url, "count(*) FROM things") == 0


async def test_steps_with_the_same_connection_share_a_session(one: Bench, mysql_url: str) -> None:
    ids = await asyncio.gather(*(value(one, mysql_url, "CONNECTION_ID()") for _ in range(5)))

    assert len(set(ids)) == 1
    assert await value(one, f"{mysql_url}?application_name=other", "CONNECTION_ID()") != ids[0]


@pytest.mark.parametrize("query", [HUNG, "SELECT SLEEP(60)", "DO SLEEP(61)"])
async def test_a_cancelled_step_kills_its_query_on_the_server(one: Bench, mariadb: MariaDb, mysql_url: str, query: str) -> None:
    await one.run(DATABASE_QUERY, ask(mysql_url, "SET @kept = 7"))
    task = asyncio.create_task(one.run(DATABASE_QUERY, ask(mysql_url, query)))
    await begun(mariadb, task, query)
    start = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert not await running(mariadb, query)
    assert time.monotonic() - start < 2
    # DO ends without an error, as if it had not been hit: then the session is not trusted any more.
    assert await value(one, mysql_url, "@kept") == (None if query.startswith("DO") else 7)
    assert one.lines == []


async def test_a_timed_out_step_inside_a_transaction_leaves_nothing_behind(one: Bench, mysql_url: str, table: str) -> None:
    query = f"INSERT INTO things (name) VALUES ('a'); {HUNG}"
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await one.run(DATABASE_QUERY, ask(mysql_url, query, transaction=True))

    assert await value(one, mysql_url, "count(*) FROM things") == 0


async def test_a_step_that_is_cancelled_while_rows_stream_ends_soon(one: Bench, mysql_url: str) -> None:
    start = time.monotonic()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await one.run(DATABASE_QUERY, ask(mysql_url, "SELECT repeat('x', 1000) FROM seq_1_to_100000000"))

    assert time.monotonic() - start < 3
    assert await value(one, mysql_url, "1") == 1


async def test_a_limit_of_the_server_is_a_timeout(one: Bench, mysql_url: str) -> None:
    error = await one.error(DATABASE_QUERY, ask(mysql_url, f"SET STATEMENT max_statement_time = 0.05 FOR {HUNG}"))

    assert error.kind == "timeout"


async def test_a_session_that_the_server_ended_is_opened_again_before_anything_is_sent(
    one: Bench, mariadb: MariaDb, mysql_url: str
) -> None:
    number = await value(one, mysql_url, "CONNECTION_ID()")
    await asyncio.to_thread(mariadb.execute, f"KILL HARD CONNECTION {number}")
    await ended(mariadb, number)

    assert await value(one, mysql_url, "CONNECTION_ID()") != number


async def test_a_transaction_that_went_with_its_connection_is_an_error(one: Bench, mariadb: MariaDb, mysql_url: str) -> None:
    await one.run(DATABASE_QUERY, ask(mysql_url, "BEGIN"))
    number = await value(one, mysql_url, "CONNECTION_ID()")
    await asyncio.to_thread(mariadb.execute, f"KILL HARD CONNECTION {number}")
    await ended(mariadb, number)

    error = await one.error(DATABASE_QUERY, ask(mysql_url, "SELECT 1"))
    assert (error.kind, "transaction" in error.message) == ("connection_error", True)
    assert await value(one, mysql_url, "1") == 1


async def ended(mariadb: MariaDb, number: int) -> None:
    while any(row[0] == number for row in await asyncio.to_thread(mariadb.execute, "SHOW PROCESSLIST")):
        await asyncio.sleep(0.01)


async def test_a_connection_lost_during_the_query_is_told_and_not_sent_again(one: Bench, mysql_url: str, table: str) -> None:
    query = "BEGIN; INSERT INTO things (name) VALUES ('a'); KILL HARD CONNECTION CONNECTION_ID(); COMMIT"
    error = await one.error(DATABASE_QUERY, ask(mysql_url, query))

    assert error.kind == "connection_error"
    assert await value(one, mysql_url, "count(*) FROM things") == 0


async def test_what_cannot_be_reached_has_a_kind_of_its_own(one: Bench, mariadb: MariaDb) -> None:
    target = {"type": "mysql", "host": "127.0.0.1", "port": mariadb.port, "user": "ann", "password": mariadb.password}

    async def kind(**change: Any) -> str:
        error = await one.error(DATABASE_QUERY, {"connection": {**target, **change}, "query": "SELECT 1"})
        assert mariadb.password not in error.message
        return error.kind

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        assert await kind(port=free.getsockname()[1]) == "connection_refused"
    assert await kind(host="no-such-host.invalid") == "dns"
    assert await kind(password="wrong") == "auth"
    assert await kind(password="") == "auth"
    assert await kind(database="nowhere") == "connection_error"
    assert await kind(sslmode="verify-full") == "tls"
    assert await kind(sslmode="verify-ca") == "tls"


@pytest.mark.parametrize(
    ("mode", "host", "secure"),
    [
        ("disable", "127.0.0.1", False),
        ("prefer", "127.0.0.1", True),
        ("require", "127.0.0.1", True),
        ("verify-ca", "localhost", True),
        ("verify-full", "127.0.0.1", True),
        ("verify-full", "localhost", None),
    ],
)
async def test_tls_as_the_mode_says(
    one: Bench, mariadb: MariaDb, mysql_url: str, monkeypatch: pytest.MonkeyPatch, mode: str, host: str, secure: bool | None
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(mariadb.identity.file))
    authorities.cache_clear()
    config = ask(f"{mysql_url.replace('127.0.0.1', host)}?sslmode={mode}", "SHOW STATUS LIKE 'Ssl_cipher'")
    try:
        if secure is None:
            assert (await one.error(DATABASE_QUERY, config)).kind == "tls"
        else:
            assert bool((await one.run(DATABASE_QUERY, config))["first_row"]["Value"]) is secure
    finally:
        authorities.cache_clear()


async def test_a_worker_reaches_only_what_its_policy_allows(mariadb: MariaDb, mysql_url: str) -> None:
    allowing = WorkerPolicy(allow=[f"127.0.0.1:{mariadb.port}"])
    async with bench(egress=allowing) as allowed, bench(egress=WorkerPolicy()) as refusing:
        assert await value(allowed, mysql_url, "1") == 1
        error = await refusing.error(DATABASE_QUERY, ask(mysql_url, "SELECT 1"))

    assert error.kind == "egress"


async def test_no_file_of_options_is_read(one: Bench, mysql_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".my.cnf").write_text("[client]\nhost=192.0.2.1\nuser=leaked\nport=1\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MYSQL_TCP_PORT", "1")
    monkeypatch.setenv("MYSQL_PWD", "leaked")

    assert (await value(one, mysql_url, "CURRENT_USER()")).startswith("ann@")


@contextmanager
def hostile(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that answers every connection so; its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    made, _ = listener.accept()
                except OSError:
                    return
                with made:
                    try:
                        answer(made)
                    except OSError:
                        continue

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"mysql://ann:secret@127.0.0.1:{listener.getsockname()[1]}/db?sslmode=disable"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def packet(number: int, payload: bytes) -> bytes:
    return struct.pack("<I", len(payload))[:3] + bytes([number]) + payload


_BEFORE, _AFTER = b"\x0a8.0.0\0" + bytes(4) + b"saltsalt\0", b"\xff\xf7\x21\x02\0\xff\x81\x15" + bytes(10) + b"saltsaltsalt\0"
GREETING = packet(0, _BEFORE + _AFTER + b"mysql_native_password\0")
OK = b"\0\0\0\x02\0\0\0"


def logged_in(made: socket.socket) -> None:
    """Greet, say yes to the log-in and to SET NAMES, and wait for the query."""
    made.sendall(GREETING)
    for number in (2, 1):
        made.recv(4096)
        made.sendall(packet(number, OK))
    made.recv(4096)


async def test_a_server_that_never_answers_is_a_timeout(one: Bench) -> None:
    one.seconds = 0.2
    with hostile(lambda made: made.recv(1) and None) as url:
        start = time.monotonic()
        error = await one.error(DATABASE_QUERY, ask(url, "SELECT 1"))

    assert error.kind == "timeout"
    assert time.monotonic() - start < 2


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\xff\xff\xff\0" + b"x" * 100,
        packet(0, b""),
        packet(0, b"\x0a"),
        packet(7, b"\x0a8.0\0"),
        packet(0, b"\x0a" + b"\xff" * 80),
    ],
)
async def test_a_server_that_speaks_no_mysql_is_told(one: Bench, said: bytes) -> None:
    with hostile(lambda made: made.sendall(said)) as url:
        error = await one.error(DATABASE_QUERY, ask(url, "SELECT 1"))

    assert error.kind in ("protocol", "connection_error", "response_too_large")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (packet(1, b"\xfb/etc/passwd"), "config"),
        (packet(1, b"\xfe" + b"\xff" * 8), "protocol"),
        (packet(1, b"\xfd\xff\xff\xff"), "protocol"),
        (packet(1, b"\x01") + packet(2, b"\x03def"), "protocol"),
        (b"\xff\xff\xff\x01" + b"x" * 200_000, "response_too_large"),
        (packet(9, OK), "protocol"),
        (b"", "connection_error"),
    ],
)
async def test_a_hostile_answer_is_an_error_and_reads_no_file(answer: bytes, kind: str) -> None:
    got: list[bytes] = []

    def serve(made: socket.socket) -> None:
        logged_in(made)
        made.sendall(answer)
        got.append(made.recv(4096) if kind == "config" else b"")

    async with bench(limits=replace(LIMITS, response_read_bytes=100_000)) as small:
        with hostile(serve) as url:
            error = await small.error(DATABASE_QUERY, ask(url, "SELECT 1"))

    assert error.kind == kind
    assert b"root" not in b"".join(got)


async def test_a_password_is_not_sent_as_it_is_without_tls(one: Bench) -> None:
    got: list[bytes] = []

    def serve(made: socket.socket) -> None:
        made.sendall(GREETING)
        got.append(made.recv(4096))
        made.sendall(packet(2, b"\xfemysql_clear_password\0"))
        got.append(made.recv(4096))

    with hostile(serve) as url:
        error = await one.error(DATABASE_QUERY, ask(url, "SELECT 1"))

    assert (error.kind, "clear text" in error.message) == ("auth", True)
    assert len(got) == 2
    assert b"secret" not in b"".join(got)


async def test_a_query_that_cannot_be_killed_is_hung_up_on_and_that_is_told(one: Bench) -> None:
    asked = threading.Event()

    def serve(made: socket.socket) -> None:
        logged_in(made)
        asked.set()
        while made.recv(4096):
            continue

    with hostile(serve) as url:
        task = asyncio.create_task(one.run(DATABASE_QUERY, ask(url, "SELECT 1")))
        await asyncio.to_thread(asked.wait, 5)
        begun = time.monotonic()
        task.cancel()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert time.monotonic() - begun < 6
    ((level, message),) = one.lines
    assert level == "warning"
    assert message.startswith("the query could not be killed and may still run on mysql://ann@127.0.0.1:")
