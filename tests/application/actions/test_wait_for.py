"""The action wait_for: readiness of real servers, and the last thing seen when they are not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from application.actions.wait_for import WAIT_FOR
from application.engine.action import ActionFailed
from application.engine.egress import WorkerPolicy
from tests.support.action_context import bench
from tests.support.http_server import Answer, Received, always, http_server, reply, reply_json

SOON = {"timeout": "80ms", "interval": "20ms"}


async def waited(config: dict[str, Any]) -> Any:
    """The result of waiting."""
    async with bench() as steps:
        return await steps.run(WAIT_FOR, {**SOON, **config})


async def last_seen(config: dict[str, Any]) -> str:
    """The message when it was never ready."""
    async with bench() as steps:
        with pytest.raises(ActionFailed) as raised:
            await steps.run(WAIT_FOR, {**SOON, **config})
    assert raised.value.result is not None
    assert raised.value.result["attempts"] >= 2
    return raised.value.message


def third_time(ready: bytes) -> Answer:
    """503 twice, then ready."""
    tries: list[str] = []

    async def answer(received: Received, writer: asyncio.StreamWriter) -> bytes:
        tries.append(received.path)
        return ready if len(tries) > 2 else reply("starting", 503)

    return answer


async def test_it_waits_until_the_server_is_ready() -> None:
    async with http_server(third_time(reply_json({"state": {"up": True}}))) as server:
        result = await waited({"url": server.url, "timeout": "5s", "json_path": "$.state.up", "json_value": True})
    assert result["attempts"] == 3
    assert set(result) == set(WAIT_FOR.result)


@pytest.mark.parametrize(
    ("config", "seen"),
    [
        ({}, "the status was 503"),
        ({"status_code": 204}, "the status was 503, not 204"),
        ({"status_code": 503, "body_contains": "pong"}, "the body did not contain 'pong'"),
        ({"status_code": "503", "json_path": "$.a"}, "nothing at $.a"),
        ({"status_code": [200, 503], "json_path": "state", "json_value": "up"}, "at state was 'down', not 'up'"),
    ],
)
async def test_the_last_thing_seen_is_named(config: dict[str, Any], seen: str) -> None:
    async with http_server(always(reply_json({"state": "down"}, 503))) as server:
        assert seen in await last_seen({"url": server.url, **config})


async def test_a_port_is_waited_for() -> None:
    async with http_server(always(reply())) as server:
        assert (await waited({"type": "tcp", "host": "127.0.0.1", "port": server.port}))["attempts"] == 1
    assert "refused the connection" in await last_seen({"type": "tcp", "host": "127.0.0.1", "port": str(server.port)})
    assert "refused the connection" in await last_seen({"url": server.url})


async def test_a_server_that_never_answers_is_left() -> None:
    async def silence(received: Received, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    async with http_server(silence) as server, bench() as steps:
        with pytest.raises(ActionFailed, match="no answer in time"):
            await steps.run(WAIT_FOR, {"url": server.url, "timeout": "100ms"})


@pytest.mark.parametrize(
    "config",
    [
        {"type": "udp"},
        {"type": "tcp", "host": "h"},
        {"type": "tcp", "port": 1},
        {"type": "tcp", "host": "h", "port": 70000},
        {"type": "http"},
        {"url": "ftp://h/"},
        {"url": "http://h/", "json_value": 1},
        {"url": "http://h/", "timeout": 0},
    ],
)
async def test_what_cannot_be_waited_for_is_an_error_at_once(config: dict[str, Any]) -> None:
    async with bench() as steps:
        assert (await steps.error(WAIT_FOR, config)).kind == "config"


@pytest.mark.parametrize("kind", ["http", "tcp"])
async def test_a_refused_address_is_not_tried_again(kind: str) -> None:
    async with http_server(always(reply())) as server, bench(egress=WorkerPolicy()) as steps:
        config = {"type": kind, "url": server.url, "host": "127.0.0.1", "port": server.port}
        assert (await steps.error(WAIT_FOR, config)).kind == "egress"
    assert not server.connections
