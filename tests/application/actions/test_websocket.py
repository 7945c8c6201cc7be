"""The action `websocket` against a real server: acts, shared connections, expectations, ends, limits."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from application.actions.registry import ACTIONS
from application.actions.websocket import WEBSOCKET
from application.engine.action import ActionFailed
from application.engine.egress import LocalPolicy, WorkerPolicy
from domain.limits import LIMITS
from tests.support.action_context import Bench, bench
from tests.support.http_server import listening, new_identity
from tests.support.local import Local, finished, flow, outcomes
from tests.support.websocket_server import websocket_server


async def failure(steps: Bench, **config: Any) -> ActionFailed:
    """How a step fails that must not pass."""
    with pytest.raises(ActionFailed) as failed:
        await steps.run(WEBSOCKET, config)
    return failed.value


async def three(socket: web.WebSocketResponse) -> None:
    """Numbers 0 to 2, then a text that is no JSON, then silence."""
    for number in range(3):
        await socket.send_str(json.dumps({"n": number}))
    await socket.send_str("not JSON")
    await socket.receive()


async def goodbye(socket: web.WebSocketResponse) -> None:
    """One message, then the end."""
    await socket.send_str("1")
    await socket.close(code=4001, message=b"too old")


async def test_one_step_connects_sends_receives_and_closes() -> None:
    async with websocket_server() as server, bench() as steps:
        result = await steps.run(WEBSOCKET, {"url": server.url, "message": {"a": 1}, "expect": {"a": 1}, "timeout": "5s"})
        assert not [key for key in steps.resources if key.startswith("websocket:")]
    assert (result["received_message"], result["messages"], result["connected"]) == ({"a": 1}, [{"a": 1}], True)
    assert server.closed == [1000]


async def test_steps_share_a_connection_by_its_name() -> None:
    async with websocket_server() as server, bench() as steps:
        for name in ("a", "b"):
            await steps.run(WEBSOCKET, {"action": "connect", "connection": name, "url": server.url})
        for name in ("a", "b"):
            await steps.run(WEBSOCKET, {"action": "send", "name": name, "message": f"to {name}"})
        received = [await steps.run(WEBSOCKET, {"action": "receive", "name": name}) for name in ("a", "b")]
        closed = await steps.run(WEBSOCKET, {"action": "close", "name": "a", "code": 4000, "reason": "done"})
        error = await steps.error(WEBSOCKET, {"action": "send", "name": "a", "message": "x"})
    assert [result["received_message"] for result in received] == ["to a", "to b"]
    assert (closed["connected"], received[0]["connected"], 4000 in server.closed) == (False, True, True)
    assert "no connection 'a' is open" in error.message


async def test_acts_may_be_called_types_and_wait_for_a_part_of_a_message() -> None:
    acts = [
        {"type": "connect", "timeout": "5s"},
        {"type": "send", "message": {"kind": "other"}},
        {"type": "send", "message": {"kind": "ready", "room": "${room}", "more": 1}},
        {"type": "wait_for", "message": {"kind": "ready", "room": "${room}"}, "timeout": "5s"},
        {"type": "send", "message": "ping"},
        {"type": "wait_for", "message": "ping"},
        {"type": "close"},
    ]
    async with websocket_server() as server, bench(names={"room": "r-5"}) as steps:
        result = await steps.run(WEBSOCKET, {"url": server.url, "protocols": ["chat"], "actions": acts})
        acts[3:] = [{"type": "wait_for", "message": {"kind": "never"}, "timeout": "150ms"}]
        missed = await failure(steps, url=server.url, actions=acts)
        for act, message in (({"type": "wait_for"}, "needs message"), ({"type": "send", "action": "send"}, "two names of")):
            assert message in (await steps.error(WEBSOCKET, {"url": server.url, "actions": [act]})).message
    assert [message["kind"] for message in result["messages"][:2]] == ["other", "ready"]
    assert (result["messages"][2], result["connected"]) == ("ping", False)
    assert "no 1 message(s) as expected within 0.15 s" in missed.message


async def test_acts_of_one_step_know_what_came_before() -> None:
    acts = [
        {"action": "send", "message": {"token": "${start}"}},
        {"action": "receive", "expect": "message.token == start"},
        {"action": "send", "message": "${message.token + 1}"},
        {"action": "receive", "expect": "message == 6 && len(messages) == 2"},
        "close",
    ]
    async with websocket_server() as server, bench(names={"start": 5}) as steps:
        result = await steps.run(WEBSOCKET, {"url": server.url, "actions": acts})
    assert (result["messages"], result["connected"], result["close_code"]) == ([{"token": 5}, 6], False, 1000)


async def test_it_waits_for_the_message_that_is_expected_and_keeps_the_others() -> None:
    async with websocket_server(three) as server, bench() as steps:
        result = await steps.run(WEBSOCKET, {"url": server.url, "expect": "message.n == 2"})
        two = await steps.run(WEBSOCKET, {"url": server.url, "expect": {}, "count": 2})
        text = await steps.run(WEBSOCKET, {"url": server.url, "expect": "message is string"})
    assert (result["received_message"], result["count"]) == ({"n": 2}, 3)
    assert two["messages"] == [{"n": 0}, {"n": 1}]
    assert text["received_message"] == "not JSON"


async def test_a_deadline_fails_and_tells_what_came() -> None:
    async with websocket_server(three) as server, bench() as steps:
        failed = await failure(steps, url=server.url, expect="message.n == 9", timeout="150ms")
    assert "no 1 message(s) as expected within 0.15 s" in failed.message
    assert '{"n": 2}' in failed.message
    assert failed.result is not None
    assert failed.result["count"] == 4


async def test_binary_messages_are_base64() -> None:
    async with websocket_server() as server, bench() as steps:
        result = await steps.run(WEBSOCKET, {"url": server.url, "base64": "AP8=", "count": 1})
    assert result["received_message"] == {"base64": "AP8="}


async def test_a_server_that_closes_is_told_with_code_and_reason() -> None:
    async with websocket_server(goodbye) as server, bench() as steps:
        await steps.run(WEBSOCKET, {"action": "connect", "url": server.url})
        failed = await failure(steps, action="receive", count=2)
        error = await steps.error(WEBSOCKET, {"action": "send", "message": "x"})
        again = await steps.run(WEBSOCKET, {"url": server.url, "expect_close": 4001})
        wrong = await failure(steps, url=server.url, expect_close=1000)
    assert "the connection was closed, with code 4001: too old" in failed.message
    assert failed.result is not None
    assert (failed.result["messages"], failed.result["close_code"], failed.result["connected"]) == ([1], 4001, False)
    assert (error.kind, "4001: too old" in error.message) == ("connection_error", True)
    assert (again["close_code"], again["close_reason"]) == (4001, "too old")
    assert "expected close code 1000" in wrong.message


@pytest.mark.parametrize("status", [401, 302, 200])
async def test_a_refused_upgrade_tells_status_and_body_and_follows_nothing(status: int) -> None:
    async with websocket_server(refuse=status) as server, bench() as steps:
        error = await steps.error(WEBSOCKET, {"action": "connect", "url": server.url})
        exchange = dict(steps.exchange)
    assert error.kind == "handshake"
    assert f"{status}" in error.message
    assert "not today" in error.message
    assert (exchange["response"]["status"], exchange["request"]["method"]) == (status, "GET")
    assert len(server.handshakes) == 1


async def test_a_server_that_speaks_no_websocket_is_a_protocol_error() -> None:
    async def lie(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n")

    async with listening(lie) as port, bench() as steps:
        error = await steps.error(WEBSOCKET, {"action": "connect", "url": f"ws://127.0.0.1:{port}"})
    assert error.kind == "protocol"


async def test_the_handshake_carries_headers_credentials_query_and_subprotocols() -> None:
    config = {
        "url": "{}/chat?a=1",
        "params": {"b": 2},
        "headers": {"X-Room": "r"},
        "auth": {"type": "bearer", "token": "t0ken"},
        "subprotocols": ["v2", "v1"],
        "message": "x",
    }
    async with websocket_server(protocols=("v1",)) as server, bench() as steps:
        result = await steps.run(WEBSOCKET, {**config, "url": f"{server.url}/chat?a=1"})
        (request,) = server.handshakes
    assert (request.raw_path, request.headers["X-Room"], request.headers["Authorization"]) == (
        "/chat?a=1&b=2",
        "r",
        "Bearer t0ken",
    )
    assert result["subprotocol"] == "v1"
    assert "t0ken" in steps.secrets


async def test_each_way_to_fail_has_its_own_kind(tmp_path: Path) -> None:
    async with websocket_server() as gone:
        pass
    tls = new_identity(tmp_path)

    async def kind_of(url: str, **options: Any) -> str:
        async with bench(**options) as steps:
            return (await steps.error(WEBSOCKET, {"action": "connect", "url": url, "timeout": "300ms"})).kind

    async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(60)

    async with websocket_server(tls=tls.server()) as signed, listening(silence) as quiet, bench() as steps:
        kinds = [
            await kind_of(gone.url),
            await kind_of("ws://no-such-name.invalid/"),
            await kind_of(signed.url),
            await kind_of(f"ws://127.0.0.1:{quiet}/"),
            await kind_of(signed.url, egress=WorkerPolicy()),
            await kind_of("ftp://x"),
        ]
        trusted = await steps.run(WEBSOCKET, {"url": signed.url, "cert": {"ca": tls.certificate}, "message": "x", "count": 1})
        assert len(signed.handshakes) == 1
    assert kinds == ["connection_refused", "dns", "tls", "timeout", "egress", "config"]
    assert trusted["received_message"] == "x"


@pytest.mark.parametrize(
    "limits", [replace(LIMITS, stream_message_bytes=5), replace(LIMITS, stream_messages=2), replace(LIMITS, stream_bytes=10)]
)
async def test_messages_over_a_limit_are_an_error(limits: Any) -> None:
    async with websocket_server(three) as server, bench(limits=limits) as steps:
        error = await steps.error(WEBSOCKET, {"url": server.url, "expect": "false", "timeout": "2s"})
    assert error.kind == "response_too_large"


async def test_what_nobody_asks_for_waits_at_the_server_beyond_a_limit() -> None:
    sent = 0

    async def flood(socket: web.WebSocketResponse) -> None:
        nonlocal sent
        while True:
            await socket.send_str("x" * 100_000)
            sent += 1

    async with websocket_server(flood) as server, bench(limits=replace(LIMITS, stream_bytes=300_000)) as steps:
        await steps.run(WEBSOCKET, {"action": "connect", "url": server.url})
        before = -1
        while before != sent:
            before = sent
            await asyncio.sleep(0.1)
        async with asyncio.timeout(1):
            await steps.close()
    assert 0 < before < 500


async def test_pings_are_answered_between_steps() -> None:
    answered = asyncio.Event()

    async def probe(socket: web.WebSocketResponse) -> None:
        await socket.ping(b"there?")
        message = await socket.receive()
        if message.type.name == "PONG":
            answered.set()
        await socket.receive()

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        await probe(socket)
        return socket

    runner = web.ServerRunner(web.Server(handle, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with bench() as steps:
        await steps.run(WEBSOCKET, {"action": "connect", "url": f"ws://127.0.0.1:{runner.addresses[0][1]}"})
        async with asyncio.timeout(5):
            await answered.wait()
    await runner.cleanup()


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({}, "needs action"),
        ({"action": "connect", "actions": []}, "keep one"),
        ({"actions": []}, "actions is a list"),
        ({"actions": [{"action": "sned"}]}, "no action 'sned'"),
        ({"actions": [{"action": "send", "mesage": 1}]}, "no key 'mesage'"),
        ({"action": "send"}, "needs message"),
        ({"action": "send", "message": "x"}, "no connection 'default' is open"),
        ({"url": "ws://127.0.0.1:1", "expect": "a =="}, "expect"),
        ({"url": "127.0.0.1:1"}, "must begin with ws://"),
        ({"action": "connect", "url": "ws://127.0.0.1:1", "subprotocols": "a b"}, "subprotocols"),
    ],
)
async def test_what_is_wrong_is_told(config: dict[str, Any], says: str) -> None:
    async with bench() as steps:
        error = await steps.error(WEBSOCKET, config)
    assert (error.kind, says in f"{error.message} {error.hint}") == ("config", True)


async def test_a_connection_ends_with_its_execution() -> None:
    async with websocket_server() as server:
        steps = f"""
- {{id: open, action: websocket, config: {{action: connect, url: "{server.url}"}}}}
- id: talk
  action: websocket
  config: {{actions: [{{action: send, message: {{to: "${{who}}"}}}}, {{action: receive, expect: {{to: "${{who}}"}}}}]}}
  assert: [received_message.to == 'me', connected]
- {{id: bad, action: assert, config: {{assertions: ["1 == 2"]}}}}
"""
        events = await Local(actions=ACTIONS, egress=LocalPolicy()).run(flow(steps, env="who: me"))
        async with asyncio.timeout(2):
            while not server.closed:
                await asyncio.sleep(0.01)
    assert outcomes(events)["talk"]["verdict"] == "passed"
    assert finished(events).verdict == "failed"
    assert server.closed == [1000]


async def test_on_a_worker_an_address_that_is_not_allowed_is_not_asked() -> None:
    async with websocket_server() as server:
        steps = f'- {{id: open, action: websocket, config: {{action: connect, url: "{server.url}"}}}}'
        events = await Local(actions=ACTIONS, egress=WorkerPolicy()).run(flow(steps))
    assert outcomes(events)["open"]["error"]["kind"] == "egress"
    assert server.handshakes == []
