"""Watching executions over real WebSocket connections: every event once, in order, from wherever one left off."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, TypeVar
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from interfaces.settings import Settings
from tests.interfaces.websocket.watcher import ask, hear, heard, subscribe, watching
from tests.support.served import FLOW, Room, Server

P = ParamSpec("P")
T = TypeVar("T")


def aside(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Awaitable[T]:
    """Blocking work beside the sockets."""
    return asyncio.to_thread(work, *args, **kwargs)


def versions(messages: list[Any], execution: UUID) -> list[int]:
    """The versions of an execution's events, in the order in which they came."""
    return [m["version"] for m in messages if m["type"] == "event" and m["execution"] == str(execution)]


async def test_a_finished_execution_is_replayed_from_its_start_to_its_end(room: Room) -> None:
    id = await aside(room.request)
    await aside(room.drive, id)
    async with watching(room) as socket:
        assert (await subscribe(socket, f"execution:{id}", begin="start"))["type"] == "subscribed"
        messages = await heard(socket, "end")
    assert versions(messages, id) == list(range(1, len(messages)))
    assert (messages[0]["topic"], messages[-2]["topic"]) == ("execution.requested", "execution.finished")
    assert messages[-1]["position"] == messages[-2]["position"]


async def test_every_position_of_a_finished_execution_can_be_resumed_from(room: Room) -> None:
    id = await aside(room.request)
    await aside(room.drive, id)
    async with watching(room) as socket:
        await subscribe(socket, f"execution:{id}", begin="start")
        events = [m for m in await heard(socket, "end") if m["type"] == "event"]
        for seen, event in enumerate(events, 1):
            assert (await subscribe(socket, f"execution:{id}", begin=event["position"]))["type"] == "subscribed"
            messages = await heard(socket, "end")
            assert [m["position"] for m in messages[:-1]] == [e["position"] for e in events[seen:]]
            assert messages[-1]["position"] == events[-1]["position"]


async def test_an_execution_that_has_finished_ends_at_once_when_watched_from_now(room: Room) -> None:
    id = await aside(room.request)
    await aside(room.drive, id)
    async with watching(room) as socket:
        await subscribe(socket, f"execution:{id}")
        assert (await hear(socket))["type"] == "end"


async def test_two_watchers_see_the_same_live_events_in_order(room: Room) -> None:
    id = await aside(room.request)
    async with watching(room) as one, watching(room) as two:
        for socket in (one, two):
            await subscribe(socket, f"execution:{id}", begin="start")
        for _ in range(3):
            await aside(room.drive, id, finish=False)
        await aside(room.drive, id)
        first, second = await heard(one, "end"), await heard(two, "end")
    assert first == second
    assert versions(first, id) == list(range(1, len(first)))


async def test_the_end_comes_when_the_stored_state_shows_it(room: Room) -> None:
    for _ in range(5):
        id = await aside(room.request)
        async with watching(room) as socket:
            await subscribe(socket, f"execution:{id}", begin="start")
            driving = asyncio.ensure_future(aside(room.drive, id))
            await heard(socket, "end")
            row = (await aside(room.http.get, room.path(f"/executions/{id}"))).json()
            assert (row["status"], row["verdict"]) == ("finished", "passed")
            await driving


async def test_a_watcher_that_joins_while_events_come_misses_none(room: Room) -> None:
    id = await aside(room.request)

    async def join(after: float) -> list[int]:
        await asyncio.sleep(after)
        async with watching(room) as socket:
            await subscribe(socket, f"execution:{id}", begin="start")
            return versions(await heard(socket, "end"), id)

    joined = [asyncio.create_task(join(number * 0.02)) for number in range(8)]
    for _ in range(5):
        await aside(room.drive, id, finish=False)
    await aside(room.drive, id)
    seen = await asyncio.gather(*joined)
    assert all(found == list(range(1, len(seen[0]) + 1)) for found in seen)


async def test_a_workspace_is_watched_from_now_without_the_events_of_others(room: Room, foreign: Room) -> None:
    await aside(room.request)
    async with watching(room) as socket:
        await subscribe(socket, "workspace")
        await aside(foreign.drive, await aside(foreign.request))
        id = await aside(room.request)
        await aside(room.drive, id)
        messages = [await hear(socket)]
        while messages[-1]["topic"] != "execution.finished":
            messages.append(await hear(socket))
    assert {m["execution"] for m in messages} == {str(id)}
    assert versions(messages, id) == list(range(1, len(messages) + 1))


async def test_a_ring_smaller_than_the_history_is_filled_from_the_database(impatient: Server) -> None:
    with impatient.room() as room:
        id = await aside(room.request)
        await aside(room.drive, id, 150, finish=False)
        async with watching(room) as socket:
            await subscribe(socket, f"execution:{id}", begin="start")
            for _ in range(3):
                await aside(room.drive, id, 20, finish=False)
            await aside(room.drive, id)
            messages = await heard(socket, "end")
    found = versions(messages, id)
    assert found == list(range(1, len(found) + 1))
    assert len(found) > 400


async def test_a_quiet_subscription_tells_where_it_stands_though_others_are_busy(impatient: Server) -> None:
    with impatient.room() as room, impatient.room() as busy:
        id, other = await aside(room.request), await aside(busy.request)
        async with watching(room) as socket:
            await subscribe(socket, f"execution:{id}")
            for _ in range(8):
                await aside(busy.drive, other, 1, finish=False)
                await asyncio.sleep(0.05)
            beat = await hear(socket)
        assert (beat["type"], beat["id"]) == ("heartbeat", "s")
        assert beat["position"].startswith("executions:")


SUBSCRIBE = '{"type": "subscribe", "id": "a", "topic": "workspace"'
MALFORMED = [
    "", "{", "[]", "null", "7", '"text"', "{}", '{"type": 7}', '{"type": "nonsense"}', '{"type": "subscribe"}', "[" * 5000,
    SUBSCRIBE.replace('"a"', '""') + "}", SUBSCRIBE.replace('"a"', "7") + "}",
    SUBSCRIBE.replace('"a"', f'"{"x" * 65}"') + "}", SUBSCRIBE.replace("workspace", "flow:1") + "}",
    SUBSCRIBE.replace('"workspace"', '{"execution": 1}') + "}", SUBSCRIBE + ', "from": 7}', SUBSCRIBE + ', "from": "flows:1"}',
    SUBSCRIBE + ', "from": "executions:²"}', SUBSCRIBE + ', "from": ""}',
]  # fmt: skip


@pytest.mark.parametrize("text", MALFORMED, ids=range(len(MALFORMED)))
async def test_a_malformed_message_is_answered_and_forgiven(room: Room, text: str) -> None:
    async with watching(room) as socket:
        for message in (text, text.encode()):
            await socket.send(message)
            answer = await hear(socket)
            assert answer["type"] == "error"
            assert answer["problem"]["code"] in ("invalid_message", "invalid_position")
        await ask(socket, type="ping")
        assert await hear(socket) == {"type": "pong"}


async def test_an_unknown_and_a_foreign_execution_get_the_same_error(room: Room, foreign: Room) -> None:
    theirs, nowhere = str(await aside(foreign.request)), str(uuid4())
    async with watching(room) as socket:
        errors = [await subscribe(socket, f"execution:{id}", begin="start") for id in (theirs, nowhere, "nonsense")]
    problems = [{**error["problem"], "title": ""} for error in errors]
    assert problems[0]["code"] == "not_found"
    assert problems[0] == problems[1] == problems[2]
    assert errors[0]["problem"]["title"].replace(theirs, nowhere) == errors[1]["problem"]["title"]


async def test_the_101st_subscription_is_refused_until_another_ends(room: Room) -> None:
    async with watching(room) as socket:
        for number in range(100):
            assert (await subscribe(socket, "workspace", str(number)))["type"] == "subscribed"
        assert (await subscribe(socket, "workspace", "100"))["problem"]["code"] == "too_many_subscriptions"
        assert (await subscribe(socket, "workspace", "7"))["problem"]["code"] == "invalid_message"
        await ask(socket, type="unsubscribe", id="7")
        assert (await subscribe(socket, "workspace", "100"))["type"] == "subscribed"


async def test_nothing_comes_after_unsubscribing(room: Room) -> None:
    async with watching(room) as socket:
        await subscribe(socket, "workspace")
        await ask(socket, type="unsubscribe", id="s")
        await ask(socket, type="ping")
        assert (await hear(socket))["type"] == "pong"
        await aside(room.request)
        await ask(socket, type="ping")
        assert (await hear(socket))["type"] == "pong"


async def test_a_position_that_this_server_has_never_had_leaves_no_silent_gap(room: Room) -> None:
    id = await aside(room.request)
    async with watching(room) as socket:
        for topic in (f"execution:{id}", "workspace"):
            answer = await subscribe(socket, topic, begin="executions:999999999")
            assert (answer["problem"]["code"], answer["problem"]["status"]) == ("resync", 410)


async def test_an_old_execution_is_watched_from_its_start_and_the_workspace_as_far_back_as_it_is_kept(
    room: Room, settings: Settings
) -> None:
    id = await aside(room.request)
    end = await aside(room.drive, id)
    async with watching(room) as socket:
        await subscribe(socket, f"execution:{id}", begin="start")
        before = await heard(socket, "end")
    mark = await aside(forget, settings, id, end - 2)
    try:
        async with watching(room) as socket:
            await subscribe(socket, f"execution:{id}", begin="start")
            assert await heard(socket, "end") == before
            await subscribe(socket, f"execution:{id}", begin=f"executions:{end - 4}")
            assert await heard(socket, "end") == before[-5:]
            answer = await subscribe(socket, "workspace", begin=f"executions:{end - 4}")
            assert (answer["problem"]["code"], answer["problem"]["status"]) == ("resync", 410)
    finally:
        await aside(forget, settings, uuid4(), mark)


async def test_what_was_accepted_a_moment_ago_can_be_watched_and_by_nobody_else(room: Room, foreign: Room) -> None:
    async with watching(room) as socket, watching(foreign) as other:
        for n in range(10):
            answer = await aside(room.http.post, room.path("/executions"), json={"document": FLOW})
            topic = f"execution:{answer.json()['id']}"
            assert (await subscribe(other, topic, id=str(n)))["problem"]["code"] == "not_found"
            assert (await subscribe(socket, topic, id=str(n), begin=answer.json()["position"]))["type"] == "subscribed"
        flow = await aside(room.push)
        answer = await aside(room.http.post, room.path("/suite-runs"), json={"flows": [flow]})
        assert (await subscribe(socket, f"suite_run:{answer.json()['id']}"))["type"] == "subscribed"


def forget(settings: Settings, id: UUID, upto: int) -> int:
    """Do to an execution what keeping only the newest events does; the mark that stood before."""
    with psycopg.connect(settings.database_url) as connection:
        row = connection.execute("SELECT feed_id FROM executions.live_feed_pruned").fetchone()
        connection.execute("DELETE FROM executions.live_feed WHERE execution = %s AND feed_id <= %s", (id, upto))
        connection.execute("UPDATE executions.live_feed_pruned SET feed_id = %s", (upto,))
    assert row is not None
    return int(row[0])


async def test_a_plain_request_is_told_what_this_address_speaks(room: Room) -> None:
    async with httpx.AsyncClient(base_url=room.server.url, trust_env=False) as client:
        answers = [await client.get("/ws"), await client.post("/ws", content=b"x" * 100)]
    assert [answer.status_code for answer in answers] == [426, 426]


async def test_a_suite_run_is_watched_with_all_its_executions_to_its_end_from_any_position(room: Room) -> None:
    id = await aside(room.suite_run)
    other = await aside(room.request)
    async with watching(room) as socket:
        await subscribe(socket, f"suite_run:{id}", begin="start")
        await aside(room.drive, other)
        run = await aside(room.coordinate, UUID(id))
        messages = await heard(socket, "end")
        topics = [message["topic"] for message in messages[:-1]]
        assert (topics[0], topics[-1]) == ("suite_run.requested", "suite_run.finished")
        assert "execution.finished" in topics
        assert {message["execution"] for message in messages[:-1]} == {id, str(run.execution_of(0))}
        await subscribe(socket, f"suite_run:{id}", begin=messages[-3]["position"])
        assert [message.get("topic") for message in await heard(socket, "end")] == [*topics[-1:], None]


async def test_a_suite_run_of_another_workspace_is_not_there(room: Room, foreign: Room) -> None:
    id = await aside(foreign.suite_run)
    async with watching(room) as socket:
        for topic in (f"suite_run:{id}", f"suite_run:{uuid4()}", "suite_run:x", f"execution:{id}"):
            answer = await subscribe(socket, topic)
            assert (answer["type"], answer["problem"]["code"]) == ("error", "not_found"), topic
