"""The event stream: many topics over one connection, lost connections, refusals. The server is a real WebSocket server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import orjson
import pytest
from websockets.asyncio.server import Request, Response, ServerConnection, serve

from domain.errors import Forbidden, NotFound, Unavailable
from interfaces.cli.stream import WINDOW, Stream

Handler = Callable[[ServerConnection], Awaitable[None]]


@asynccontextmanager
async def served(handler: Handler, refuse: Callable[[], Response | None] = lambda: None) -> AsyncIterator[str]:
    """A server on a free port; its URL. `refuse` may answer a handshake."""

    def admit(connection: ServerConnection, request: Request) -> Response | None:
        return refuse()

    async with serve(handler, "127.0.0.1", 0, process_request=admit) as server:
        yield f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"


async def send(socket: ServerConnection, **message: Any) -> None:
    await socket.send(orjson.dumps(message).decode())


async def collected(stream: Stream) -> list[tuple[str, int]]:
    return [(event["id"], event["n"]) async for event in stream.events()]


async def test_more_topics_than_the_window_come_over_one_connection() -> None:
    connections, most, open_topics = [], 0, set()

    async def handler(socket: ServerConnection) -> None:
        nonlocal most
        connections.append(socket)
        async for text in socket:
            topic = orjson.loads(text)["id"]
            open_topics.add(topic)
            most = max(most, len(open_topics))
            if len(open_topics) >= WINDOW or int(topic) >= WINDOW:
                for ended in list(open_topics):
                    await send(socket, type="event", id=ended, position="p", n=1)
                    open_topics.discard(ended)
                    await send(socket, type="end", id=ended, position="p")

    topics = [str(number) for number in range(3 * WINDOW)]
    async with served(handler) as url:
        found = await collected(Stream(url, "k", topics))
    assert sorted(found) == sorted((topic, 1) for topic in topics)
    assert (len(connections), most <= WINDOW) == (1, True)


async def test_a_lost_connection_goes_on_from_the_last_position() -> None:
    begins, notes = [], []

    async def handler(socket: ServerConnection) -> None:
        wanted = orjson.loads(await socket.recv())
        begins.append(wanted["from"])
        await send(socket, type="event", id=wanted["id"], position=f"at {len(begins)}", n=len(begins))
        if len(begins) == 3:
            await send(socket, type="end", id=wanted["id"], position="x")

    async with served(handler) as url:
        found = await collected(Stream(url, "k", ["a"], note=notes.append))
    assert begins == ["start", "at 1", "at 2"]
    assert [number for _, number in found] == [1, 2, 3]
    assert all("trying for 60 s" in note for note in notes)


async def never(socket: ServerConnection) -> None:
    raise AssertionError("nobody is admitted")


def refused(status: HTTPStatus, code: str) -> Response:
    from websockets.datastructures import Headers

    body = orjson.dumps({"title": "the server says why", "code": code, "status": status.value})
    return Response(status.value, status.phrase, Headers({"Content-Length": str(len(body))}), body)


async def test_a_refused_handshake_says_what_the_server_says() -> None:
    async with served(never, lambda: refused(HTTPStatus.FORBIDDEN, "missing_scope")) as url:
        with pytest.raises(Forbidden, match="the server says why"):
            await collected(Stream(url, "k", ["a"]))


async def test_too_many_connections_are_waited_for_until_patience_ends() -> None:
    notes: list[str] = []
    async with served(never, lambda: refused(HTTPStatus.FORBIDDEN, "too_many_connections")) as url:
        with pytest.raises(Unavailable, match="is lost: the server says why"):
            await collected(Stream(url, "k", ["execution:7"], note=notes.append, patience=0.1))
    assert len(notes) == 1


async def test_a_problem_of_a_topic_is_raised() -> None:
    async def handler(socket: ServerConnection) -> None:
        await socket.recv()
        await send(socket, type="error", id="a", problem={"status": 404, "title": "there is none", "code": "not_found"})
        await socket.wait_closed()

    async with served(handler) as url:
        with pytest.raises(NotFound, match="there is none"):
            await collected(Stream(url, "k", ["a"]))
