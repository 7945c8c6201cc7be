"""Answers over http_request that redirect, break off, are packed, or are meant to do harm."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from typing import Any

import pytest

from application.actions.http_request import HTTP_REQUEST
from application.engine.action import ActionError
from domain.limits import Limits
from tests.support.action_context import bench
from tests.support.http_server import Received, always, http_server, reply, reply_json


async def failed(config: dict[str, Any], **options: Any) -> ActionError:
    """The error of a request, with its URL given."""
    async with bench(**options) as steps:
        return await steps.error(HTTP_REQUEST, {"method": "GET", **config})


async def test_redirects_are_followed_and_counted() -> None:
    async def answer(received: Received, writer: asyncio.StreamWriter) -> bytes:
        left = int(received.path.strip("/"))
        return reply(status=302, headers=[("Location", f"/{left - 1}")]) if left else reply("end")

    async with http_server(answer) as server, bench() as steps:
        result = await steps.run(HTTP_REQUEST, {"method": "POST", "url": f"{server.url}/5", "body": "x"})
        assert (result["body"], result["url"]) == ("end", f"{server.url}/0")
        assert [request.method for request in server.requests] == ["POST", *["GET"] * 5]
        error = await steps.error(HTTP_REQUEST, {"method": "GET", "url": f"{server.url}/6"})
        assert (error.kind, error.message) == ("protocol", "more than 5 redirects")
        kept = await steps.run(HTTP_REQUEST, {"method": "GET", "url": f"{server.url}/2", "follow_redirects": False})
        assert (kept["status"], kept["headers"]["Location"]) == (302, "/1")


async def test_nothing_of_the_step_goes_to_another_origin() -> None:
    async with http_server(always(reply("there"))) as there:
        redirect = reply(status=302, headers=[("Location", f"{there.url}/x")])
        async with http_server(always(redirect)) as here, bench() as steps:
            config = {"headers": {"X-Own": "1", "Cookie": "c=1"}, "auth": {"type": "bearer", "token": "tok-123"}}
            result = await steps.run(HTTP_REQUEST, {"method": "GET", "url": here.url, **config})
    assert result["body"] == "there"
    assert here.requests[0].headers["authorization"] == "Bearer tok-123"
    assert sorted(there.requests[0].headers) == ["accept", "accept-encoding", "host", "user-agent"]


async def test_a_body_is_not_sent_to_another_origin() -> None:
    async with http_server(always(reply())) as there:
        redirect = reply(status=307, headers=[("Location", there.url)])
        async with http_server(always(redirect)) as here:
            error = await failed({"url": here.url, "method": "POST", "body": "secret"})
    assert error.kind == "protocol"
    assert not there.connections


@pytest.mark.parametrize("location", ["file:///etc/passwd", "gopher://h/", "http://[x]/", "//", "javascript:1"])
async def test_a_redirect_to_anything_else_is_refused(location: str) -> None:
    async with http_server(always(reply(status=302, headers=[("Location", location)]))) as server:
        assert (await failed({"url": server.url})).kind == "protocol"


async def test_a_dropped_request_is_not_sent_again() -> None:
    async def answer(received: Received, writer: asyncio.StreamWriter) -> bytes | None:
        return reply("ok") if received.path == "/first" else None

    async with http_server(answer) as server, bench() as steps:
        await steps.run(HTTP_REQUEST, {"method": "GET", "url": f"{server.url}/first"})
        error = await steps.error(HTTP_REQUEST, {"method": "GET", "url": f"{server.url}/second"})
    assert error.kind == "connection_error"
    assert [request.path for request in server.requests] == ["/first", "/second"]
    assert server.connections == 1


async def test_a_compressed_answer_is_read() -> None:
    for encoding, packed in (
        ("gzip", gzip.compress(b"hello ") + gzip.compress(b"again")),
        ("deflate", zlib.compress(b"hello again")),
        ("deflate", zlib.compress(b"hello again", wbits=-15)),
    ):
        async with http_server(always(reply(packed, headers=[("Content-Encoding", encoding)]))) as server, bench() as steps:
            result = await steps.run(HTTP_REQUEST, {"method": "GET", "url": server.url})
        assert (result["text"], result["size"]) == ("hello again", 11)


async def test_a_broken_answer_is_a_protocol_error() -> None:
    for answer in (
        b"220 mail.example ESMTP\r\n\r\n",
        reply(b"nonsense", headers=[("Content-Encoding", "gzip")]),
        reply(gzip.compress(b"hello")[:-9], headers=[("Content-Encoding", "gzip")]),
        reply(b"x", headers=[("Content-Encoding", "br")]),
    ):
        async with http_server(always(answer)) as server:
            assert (await failed({"url": server.url})).kind == "protocol"


async def test_an_answer_that_ends_early_is_a_connection_error() -> None:
    async def answer(received: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(reply("half", length=100))
        await writer.drain()
        writer.close()

    async with http_server(answer) as server:
        error = await failed({"url": server.url})
    assert error.kind == "connection_error"
    assert "ended early" in error.message


def _zeros() -> bytes:
    return reply(gzip.compress(b"\0" * 10_000_000), headers=[("Content-Encoding", "gzip")])


@pytest.mark.parametrize(
    "answer",
    [
        _zeros(),
        reply(headers=[(f"X-{number}", "y") for number in range(20_000)]),
        reply(headers=[("X", "y" * 70_000)]),
        reply(headers=[(f"X-{number}", "y" * 1000) for number in range(100)]),
    ],
    ids=["gzip bomb", "many headers", "a long header", "large headers"],
)
async def test_answers_over_a_limit_are_refused(answer: bytes) -> None:
    async with http_server(always(answer)) as server:
        assert (await failed({"url": server.url})).kind == "response_too_large"


async def test_an_endless_body_is_refused() -> None:
    async def answer(received: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            await writer.drain()

    async with http_server(answer) as server:
        error = await failed({"url": server.url}, limits=Limits(response_read_bytes=2_000_000))
    assert error.kind == "response_too_large"


async def test_a_long_body_is_kept_in_part() -> None:
    async with (
        http_server(always(reply_json(["x" * 100] * 50))) as server,
        bench(limits=Limits(response_kept_bytes=64)) as steps,
    ):
        result = await steps.run(HTTP_REQUEST, {"method": "GET", "url": server.url})
    assert (result["truncated"], len(result["text"]), result["body"]) == (True, 64, result["text"])
    assert result["size"] == len(json.dumps(["x" * 100] * 50))
    assert [level for level, _ in steps.lines] == ["warning"]
