"""The Redis actions on a real Valkey."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from application.actions.redis_commands import REDIS_COMMAND, REDIS_DEL, REDIS_EXISTS, REDIS_GET, REDIS_SET
from application.engine.egress import WorkerPolicy
from tests.support.action_context import Bench, bench

pytestmark = pytest.mark.servers


@pytest.fixture(scope="module")
def url(valkey_url: str) -> str:
    """A database that nothing else in this session uses."""
    return urlsplit(valkey_url)._replace(path="/5").geturl()


@pytest.fixture
async def one(url: str) -> AsyncIterator[Bench]:
    async with bench() as made:
        await made.run(REDIS_COMMAND, {"url": url, "command": "FLUSHDB"})
        yield made


async def send(bench: Bench, url: str, command: str, *args: Any) -> Any:
    return (await bench.run(REDIS_COMMAND, {"url": url, "command": command, "args": list(args)}))["value"]


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("text ü\r\n", "text ü\r\n"),
        ("", ""),
        ('{"a": 1}', '{"a": 1}'),
        ("007", "007"),
        (7, "7"),
        (1.5, "1.5"),
        (True, "true"),
        ({"a": [1, None]}, '{"a":[1,null]}'),
    ],
)
async def test_a_value_is_kept_as_text_and_stays_text(one: Bench, url: str, value: Any, kept: str) -> None:
    assert await one.run(REDIS_SET, {"url": url, "key": "k", "value": value}) == {"ok": True}
    assert await one.run(REDIS_GET, {"url": url, "key": "k"}) == {"value": kept, "exists": True}


async def test_a_missing_key_is_null(one: Bench, url: str) -> None:
    assert await one.run(REDIS_GET, {"url": url, "key": "nothing"}) == {"value": None, "exists": False}


@pytest.mark.parametrize(("ttl", "milliseconds"), [(60, 60_000), ("1m30s", 90_000), ("250ms", 250)])
async def test_a_key_lives_as_long_as_its_ttl(one: Bench, url: str, ttl: object, milliseconds: int) -> None:
    await one.run(REDIS_SET, {"url": url, "key": "k", "value": "v", "ttl": ttl})

    assert milliseconds - 200 < await send(one, url, "PTTL", "k") <= milliseconds
    await one.run(REDIS_SET, {"url": url, "key": "k", "value": "v"})
    assert await send(one, url, "PTTL", "k") == -1


async def test_keys_are_found_and_deleted_one_by_one_or_together(one: Bench, url: str) -> None:
    for key in "abc":
        await one.run(REDIS_SET, {"url": url, "key": key, "value": key})

    assert await one.run(REDIS_EXISTS, {"url": url, "key": "a"}) == {"exists": True, "count": 1}
    assert await one.run(REDIS_EXISTS, {"url": url, "key": ["a", "x"]}) == {"exists": False, "count": 1}
    assert await one.run(REDIS_DEL, {"url": url, "key": "a"}) == {"deleted": 1}
    assert await one.run(REDIS_DEL, {"url": url, "key": ["a", "b", "c"]}) == {"deleted": 2}


async def test_any_command_gives_its_reply(one: Bench, url: str) -> None:
    assert await send(one, url, "HSET", "h", "name", "Ann Lee", "age", 7) == 2
    assert await send(one, url, "HGETALL", "h") == {"name": "Ann Lee", "age": "7"}
    assert await send(one, url, "hgetall", "none") == {}
    assert await send(one, url, "CONFIG GET", "databases") == {"databases": "16"}
    assert await send(one, url, "RPUSH", "l", "a", 2) == 2
    assert await send(one, url, "LRANGE", "l", 0, -1) == ["a", "2"]
    assert await send(one, url, "LPOP", "none") is None
    assert await send(one, url, "EVAL", "return {1, 'x', {false}, redis.error_reply('bad')}", 0) == [
        1,
        "x",
        [None],
        {"error": "bad"},
    ]
    shell = {"url": url, "command": "SET s 'two words'"}
    assert (await one.run(REDIS_COMMAND, shell))["value"] == "OK"
    assert await send(one, url, "GET", "s") == "two words"


async def test_bytes_that_are_no_text_come_as_base64(one: Bench, url: str) -> None:
    await send(one, url, "EVAL", r"redis.call('SET', 'b', '\255\0')", 0)

    assert (await one.run(REDIS_GET, {"url": url, "key": "b"}))["value"] == {"base64": "/wA="}


async def test_a_database_of_its_own_is_used(one: Bench, url: str) -> None:
    parts = urlsplit(url)
    second = {"host": parts.hostname, "port": parts.port, "password": parts.password, "db": 2}
    await one.run(REDIS_SET, {**second, "key": "k", "value": "two"})

    assert (await one.run(REDIS_GET, {**second, "key": "k"}))["value"] == "two"
    assert (await one.run(REDIS_GET, {"url": url, "key": "k"}))["value"] is None
    await one.run(REDIS_DEL, {**second, "key": "k"})


async def test_steps_with_the_same_target_share_a_connection(one: Bench, url: str) -> None:
    ids = await asyncio.gather(*(send(one, url, "CLIENT ID") for _ in range(5)))

    assert len(set(ids)) == 1
    assert len(one.resources) == 1


async def test_a_refused_command_tells_why_and_the_connection_goes_on(one: Bench, url: str) -> None:
    await send(one, url, "RPUSH", "l", "a")
    error = await one.error(REDIS_GET, {"url": url, "key": "l"})

    assert error.kind == "command"
    assert "WRONGTYPE" in error.message
    assert await send(one, url, "PING") == "PONG"


@pytest.mark.parametrize(
    ("action", "config", "message"),
    [
        (REDIS_COMMAND, {"command": "subscribe news"}, "more than one reply"),
        (REDIS_COMMAND, {"command": "MONITOR"}, "more than one reply"),
        (REDIS_COMMAND, {"command": "client reply off"}, "how the connection speaks"),
        (REDIS_COMMAND, {"command": "SELECT", "args": [3]}, "use db"),
        (REDIS_COMMAND, {"command": "AUTH x"}, "use username"),
        (REDIS_COMMAND, {"command": "SET a 'b"}, "not closed"),
        (REDIS_COMMAND, {"command": " "}, "empty"),
        (REDIS_COMMAND, {"command": "GET", "args": "a"}, "args must be a list"),
        (REDIS_COMMAND, {"command": "GET", "args": [None]}, "args[0] is null"),
        (REDIS_SET, {"key": "k", "value": None}, "value is null"),
        (REDIS_SET, {"key": "k", "value": "v", "ttl": 0}, "at least a millisecond"),
        (REDIS_SET, {"key": "k", "value": "v", "ttl": "soon"}, "ttl: not a duration"),
        (REDIS_SET, {"key": "\ud800", "value": "v"}, "surrogate"),
        (REDIS_DEL, {"key": []}, "empty list"),
    ],
)
async def test_a_config_that_cannot_be_carried_out_is_told(
    one: Bench, url: str, action: Any, config: dict[str, Any], message: str
) -> None:
    error = await one.error(action, {"url": url, **config})

    assert error.kind == "config"
    assert message in error.message


async def test_the_password_is_told_to_the_masker_and_shown_nowhere(one: Bench, url: str) -> None:
    password = urlsplit(url).password
    await one.run(REDIS_SET, {"url": url, "key": "k", "value": "v"})

    assert password
    assert set(one.secrets) == {password}
    assert password not in repr(one.exchange)
    assert one.exchange["request"]["command"] == ["SET", "k", "v"]
    assert one.exchange["response"] == {"value": "OK"}


async def test_what_cannot_be_reached_has_a_kind_of_its_own(one: Bench, url: str) -> None:
    parts = urlsplit(url)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        unused = listener.getsockname()[1]

    async def kind(url: str) -> str:
        error = await one.error(REDIS_GET, {"url": url, "key": "k"})
        assert str(parts.password) not in error.message
        assert error.hint or error.kind in ("connection_error", "command")
        return error.kind

    assert await kind(f"redis://127.0.0.1:{unused}") == "connection_refused"
    assert await kind("redis://no-such-host.invalid") == "dns"
    assert await kind(f"redis://:wrong@127.0.0.1:{parts.port}") == "auth"
    assert await kind(f"redis://127.0.0.1:{parts.port}") == "auth"
    assert await kind(parts._replace(path="/9999").geturl()) == "command"


async def test_a_worker_reaches_only_what_its_policy_allows(url: str) -> None:
    config = {"url": url, "command": "PING"}
    async with bench(egress=WorkerPolicy(allow=[f"127.0.0.1:{urlsplit(url).port}"])) as allowed:
        assert (await allowed.run(REDIS_COMMAND, config))["value"] == "PONG"
    async with bench(egress=WorkerPolicy()) as refusing:
        assert (await refusing.error(REDIS_COMMAND, config)).kind == "egress"


async def test_a_cancelled_step_leaves_no_reply_for_the_next(one: Bench, url: str) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await send(one, url, "BLPOP", "never", 5)

    begun = time.monotonic()
    assert await send(one, url, "PING") == "PONG"
    assert time.monotonic() - begun < 1


async def test_a_connection_that_the_server_ended_is_opened_again_before_anything_is_sent(one: Bench, url: str) -> None:
    number = await send(one, url, "CLIENT ID")
    async with bench() as other:
        await send(other, url, "CLIENT KILL", "ID", number)
    await asyncio.sleep(0.02)

    assert await send(one, url, "CLIENT ID") != number
