"""Who may connect to the event stream, and how a connection ends."""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from domain.errors import Conflict
from domain.execution import Execution
from interfaces.settings import Settings
from tests.interfaces.websocket.watcher import address, ask, hear, heard, subscribe, watching
from tests.support.events import BY, started
from tests.support.served import Room, Server, serving


async def refused(url: str, **headers: str) -> int:
    """The status of a handshake that must fail."""
    with pytest.raises(InvalidStatus) as caught:
        async with connect(url, additional_headers=headers, proxy=None):
            pass
    return caught.value.response.status_code


async def test_a_handshake_needs_a_key_that_may_read_runs(room: Room) -> None:
    url = address(room)
    assert await refused(url) == 401
    assert await refused(url, Authorization="Bearer nonsense") == 401
    assert await refused(url, Authorization=f"Bearer {room.issue('flows:write')}") == 403
    assert await refused(f"{url}?api_key={room.key}") == 422


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1", ""])
async def test_a_handshake_from_a_page_is_refused(room: Room, origin: str) -> None:
    assert await refused(address(room), Authorization=f"Bearer {room.key}", Origin=origin) == 403


async def test_a_viewer_may_watch(room: Room) -> None:
    viewer = room.member(f"viewer-{uuid4()}", "viewer")
    async with watching(room, room.issue("runs:read", user=viewer)) as connection:
        assert (await subscribe(connection, "workspace"))["type"] == "subscribed"


async def test_a_user_has_20_connections_at_most(room: Room) -> None:
    async with AsyncExitStack() as opened:
        connections = [await opened.enter_async_context(watching(room)) for _ in range(20)]
        key = {"Authorization": f"Bearer {room.key}"}
        assert await refused(address(room), **key) == 403
        await connections.pop().close()
        await asyncio.sleep(0.1)
        await opened.enter_async_context(watching(room))


@pytest.mark.parametrize("subscribed", [True, False])
async def test_the_connection_of_a_revoked_key_is_closed(impatient: Server, subscribed: bool) -> None:
    with impatient.room() as room:
        key = room.issue("runs:read")
        async with watching(room, key) as connection:
            if subscribed:
                await subscribe(connection, "workspace")
            await asyncio.to_thread(impatient.platform.identity.revoke_key, BY, room.id, key[4:16])
            assert (await closed(connection)).code == 4401


async def test_the_connection_of_a_member_who_is_sent_out_is_closed(impatient: Server) -> None:
    with impatient.room() as room:
        user = room.member(f"eva-{uuid4()}", "viewer")
        async with watching(room, room.issue("runs:read", user=user)) as connection:
            await subscribe(connection, "workspace")
            await asyncio.to_thread(impatient.platform.identity.remove_member, BY, room.id, user)
            assert (await closed(connection)).code == 4401


async def closed(connection: Any, seconds: float = 5.0) -> Any:
    """The close frame that the server sends within some seconds, whatever comes before it."""
    try:
        async with asyncio.timeout(seconds):
            while True:
                await connection.recv()
    except ConnectionClosed as error:
        return error.rcvd


async def test_a_message_over_64_kib_ends_the_connection(room: Room) -> None:
    async with watching(room) as connection:
        await connection.send("x" * (64 * 1024 + 1))
        assert (await closed(connection)).code == 1009


async def test_a_client_that_does_not_read_is_told_where_to_resume(impatient: Server) -> None:
    with impatient.room() as room:
        id = await asyncio.to_thread(room.request)
        await asyncio.to_thread(fill, room, id, 300)
        before = resident()
        async with watching(room, max_queue=1, sock=narrow(impatient)) as connection:
            for number in range(100):
                await ask(connection, type="subscribe", id=str(number), topic=f"execution:{id}", **{"from": "start"})
            await asyncio.sleep(2)
            grown = resident() - before
            frame = await closed(connection)
        assert grown < 40_000_000
        assert frame.code == 1013
        assert frame.reason.startswith("resume from executions:")
        await resumes(room, id, frame.reason.removeprefix("resume from "))


async def resumes(room: Room, id: Any, position: str) -> None:
    """The rest comes from a position on without gap, up to the end."""
    async with watching(room) as connection:
        await subscribe(connection, f"execution:{id}", begin=position)
        await asyncio.to_thread(room.drive, id)
        events = [message for message in await heard(connection, "end") if message["type"] == "event"]
    versions = [message["version"] for message in events]
    assert versions == list(range(versions[0], versions[0] + len(versions)))
    assert len(versions) > 10


def fill(room: Room, id: Any, count: int) -> None:
    """Events of about 8 KiB, for 100 subscriptions 2.4 MiB each."""
    log = room.server.platform.logs["executions"]
    execution = started(log.load(Execution, id))
    for number in range(count):
        lines = [{"level": "info", "message": f"{number} {'x' * 8000}"}]
        execution.write_log(BY, execution.attempt, execution.worker, path="pay", lines=lines)
    room.server.wait("executions", log.put(execution))


def narrow(server: Server) -> socket.socket:
    """A connection that takes little before somebody reads."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.connect(("127.0.0.1", server.served.port))
    return made


def resident() -> int:
    """Bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


async def test_a_server_that_stops_says_goodbye_and_another_takes_over(settings: Settings) -> None:
    server = Server(settings)
    server.start()
    with server.room() as room, server.room():
        async with watching(room) as connection:
            await subscribe(connection, "workspace")
            await asyncio.to_thread(server.close)
            assert (await closed(connection)).code == 1001


async def test_a_server_that_stops_finishes_the_requests_under_way(settings: Settings) -> None:
    server = Server(settings, wait_seconds=0.6)
    server.start()
    with server.room() as room:
        unreachable = {"min_position": "flows:999999999"}
        asked = asyncio.ensure_future(asyncio.to_thread(room.http.get, room.path("/flows"), params=unreachable))
        await asyncio.sleep(0.3)
        await asyncio.to_thread(server.close)
        assert (await asked).status_code == 409


async def test_a_taken_port_is_refused_with_its_number(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        def start() -> None:
            with serving(replace(settings, port=port)):
                pass

        with pytest.raises(Conflict, match=f"port {port} is taken"):
            await asyncio.to_thread(start)


async def test_events_are_heard_soon_after_they_are_recorded(room: Room) -> None:
    async with watching(room) as connection:
        await subscribe(connection, "workspace")
        await asyncio.to_thread(room.request)
        assert (await hear(connection, 2))["topic"] == "execution.requested"
