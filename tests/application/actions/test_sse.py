"""The action `sse` against real streams: enough, too few, broken, refused."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from application.actions.registry import ACTIONS
from application.actions.sse import SSE
from application.engine.action import ActionFailed
from application.engine.egress import LocalPolicy, WorkerPolicy
from domain.limits import LIMITS
from tests.support.action_context import Bench, bench
from tests.support.http_server import HttpServer, Received, always, http_server, reply, reply_json, routes
from tests.support.local import Local, flow, outcomes

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n%s\r\n"
TICKS = [b'id: %d\ndata: {"n": %d}\n\n' % (n, n) for n in range(5)]


@asynccontextmanager
async def streaming(pieces: Iterable[bytes], *, head: bytes = b"", stays: bool = True) -> AsyncIterator[HttpServer]:
    """A server that sends these pieces, and then says nothing more or hangs up."""

    async def give(received: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD % head)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        if stays:
            await asyncio.sleep(60)

    async with http_server(give) as server:
        yield server


async def failure(steps: Bench, **config: Any) -> ActionFailed:
    """How a step fails that must not pass."""
    with pytest.raises(ActionFailed) as failed:
        await steps.run(SSE, config)
    return failed.value


async def test_it_ends_when_enough_events_have_come() -> None:
    async with streaming(TICKS) as server, bench() as steps:
        result = await steps.run(SSE, {"url": server.url, "count": 3})
    assert [event["data"]["n"] for event in result["events"]] == [0, 1, 2]
    assert (result["count"], result["last_event_id"], result["status"]) == (3, "2", 200)
    assert server.requests[0].headers["accept"] == "text/event-stream"


async def test_it_ends_with_the_event_that_is_waited_for() -> None:
    pieces = [
        b": hi\nretry: 9\n\n",
        b"event: tick\ndata: 1\n\n",
        b"event: done\ndata: all\nda",
        b"ta: of it\n\n",
        b"data: late\n\n",
    ]
    async with streaming(pieces) as server, bench(names={"wanted": "done"}) as steps:
        result = await steps.run(SSE, {"url": server.url, "until": "event.event == wanted"})
    assert result["event"] == {"event": "done", "data": "all\nof it", "id": ""}
    assert (result["count"], result["retry"]) == (2, 9)


async def test_an_event_without_what_the_expression_reads_is_not_the_one() -> None:
    async with streaming([b"data: hello\n\n", *TICKS]) as server, bench() as steps:
        result = await steps.run(SSE, {"url": server.url, "until": "event.data.n == 3"})
    assert result["count"] == 5


@pytest.mark.parametrize("stays", [True, False])
async def test_too_few_events_fail_and_tell_what_came(stays: bool) -> None:
    async with streaming(TICKS[:2], stays=stays) as server, bench() as steps:
        failed = await failure(steps, url=server.url, count=3, timeout="200ms")
        fewer = await steps.run(SSE, {"url": server.url, "count": 3, "timeout": "200ms", "allow_fewer": True})
    assert f"no 3 event(s) {'within 0.2 s' if stays else 'before the stream ended'}" in failed.message
    assert '"data": {"n": 1}' in failed.message
    assert failed.result is not None
    assert failed.result["count"] == fewer["count"] == 2


async def test_until_and_count_together_bound_the_search() -> None:
    async with streaming(TICKS) as server, bench() as steps:
        failed = await failure(steps, url=server.url, count=2, until="event.data.n == 4")
    assert "no event with `event.data.n == 4` among 2" in failed.message


async def test_it_goes_on_after_the_last_event_id() -> None:
    async with streaming([b"data: x\n\n"]) as server, bench() as steps:
        result = await steps.run(SSE, {"url": server.url, "last_event_id": "41", "headers": {"accept": "*/*"}})
    assert (server.requests[0].headers["last-event-id"], result["last_event_id"]) == ("41", "41")
    assert server.requests[0].headers["accept"] == "*/*"


async def test_credentials_body_and_redirects_are_those_of_http_request() -> None:
    async with (
        streaming(TICKS) as server,
        http_server(routes(go=reply(b"", 307, [("Location", "/there")]))) as first,
        bench() as steps,
    ):
        config = {"url": server.url, "method": "POST", "json": {"q": 1}, "auth": {"type": "bearer", "token": "t0ken"}}
        await steps.run(SSE, config)
        error = await steps.error(SSE, {"url": f"{first.url}/go"})
    assert (server.requests[0].json(), server.requests[0].headers["authorization"]) == ({"q": 1}, "Bearer t0ken")
    assert "404" in error.message
    assert "t0ken" in steps.secrets


async def test_a_compressed_stream_is_read_while_it_comes() -> None:
    squeeze = zlib.compressobj(wbits=31)
    pieces = [squeeze.compress(tick) + squeeze.flush(zlib.Z_SYNC_FLUSH) for tick in TICKS]
    async with streaming(pieces, head=b"Content-Encoding: gzip\r\n") as server, bench() as steps:
        assert (await steps.run(SSE, {"url": server.url, "count": 5}))["count"] == 5


async def test_what_is_no_stream_is_told_with_status_and_body() -> None:
    async with http_server(always(reply_json({"no": "stream"}, 503))) as server, bench() as steps:
        error = await steps.error(SSE, {"url": server.url})
    assert error.kind == "protocol"
    assert '503, application/json: {"no": "stream"}' in error.message


@pytest.mark.parametrize(
    "limits",
    [
        replace(LIMITS, stream_message_bytes=8),
        replace(LIMITS, stream_bytes=40),
        replace(LIMITS, stream_messages=3),
        replace(LIMITS, response_read_bytes=40),
    ],
)
async def test_a_stream_over_a_limit_is_an_error(limits: Any) -> None:
    async with streaming(TICKS) as server, bench(limits=limits) as steps:
        error = await steps.error(SSE, {"url": server.url, "until": "false", "timeout": "2s"})
    assert error.kind == "response_too_large"


@pytest.mark.parametrize(
    ("config", "says"),
    [({"count": 0}, "count"), ({"until": "event ="}, "until"), ({"url": "ftp://x"}, "http"), ({"timeout": 0}, "timeout")],
)
async def test_what_is_wrong_is_told(config: dict[str, Any], says: str) -> None:
    async with bench() as steps:
        error = await steps.error(SSE, {"url": "http://127.0.0.1:1", **config})
    assert (error.kind, says in error.message) == ("config", True)


async def test_on_a_worker_an_address_that_is_not_allowed_is_not_asked() -> None:
    async with streaming(TICKS) as server, bench(egress=WorkerPolicy()) as steps:
        assert (await steps.error(SSE, {"url": server.url})).kind == "egress"
    assert server.requests == []


async def test_a_flow_asserts_over_what_came() -> None:
    async with streaming(TICKS) as server:
        steps = f"""
- id: ticks
  action: sse
  config: {{url: "{server.url}", until: "event.data.n == last"}}
  assert: [count == 3, "events[1].data.n == 1", event.id == '2', status == 200]
  output: {{n: "events[-1].data.n"}}
"""
        events = await Local(actions=ACTIONS, egress=LocalPolicy()).run(flow(steps, env="last: 2"))
    assert outcomes(events)["ticks"]["verdict"] == "passed"
    assert outcomes(events)["ticks"]["outputs"] == {"n": 2}
