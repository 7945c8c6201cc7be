"""One WebSocket connection: subscriptions that replay from a position and go on live, in order, without gap or double."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import UUID

import orjson

from domain.errors import Invalid, NotFound, Refusal
from interfaces.authentication import Caller
from interfaces.reading import Reading
from interfaces.rest.call import position_text
from interfaces.rest.executions import Resync, feed_position
from interfaces.rest.problems import problem
from interfaces.websocket.hub import Hub

MOST_TOPICS = 100
HEARTBEAT_SECONDS = 15.0
BATCH = 200
SEND_SECONDS = 10.0
"""A client that does not take a message for this long is told where to resume, and let go."""
AGAIN_SECONDS = 5.0
"""How often it is checked that the caller may still watch."""
Send = Callable[[str], Awaitable[None]]
logger = logging.getLogger("testmesh.websocket")


class TooSlow(Exception):
    """The client does not take what it asked for; `position` is where to resume."""

    def __init__(self, position: int) -> None:
        super().__init__(f"resume from {position_text('executions', position)}")
        self.position = position


class Watching:
    """The subscriptions of one connection.

    Messages from the client: {"type": "subscribe", "id", "topic": "workspace" | "execution:<id>", "from": position or
    "start" or nothing for now}, {"type": "unsubscribe", "id"}, {"type": "ping"}. To the client: subscribed, event, end
    (after an execution's terminal event, when the stored state is readable), heartbeat, pong, error.
    """

    def __init__(self, reading: Reading, hub: Hub, caller: Caller, send: Send) -> None:
        self._reading = reading
        self._hub = hub
        self._caller = caller
        self._send_text = send
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.failure: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    async def receive(self, text: str | bytes) -> None:
        """Handle one message; a bad one is answered, not fatal."""
        message: Any = None
        try:
            message = orjson.loads(text)
            if not isinstance(message, dict):
                raise Invalid("a message is a JSON object", code="invalid_message")
            await self._handle(message)
        except orjson.JSONDecodeError:
            await self._error(None, Invalid("a message is JSON text", code="invalid_message"))
        except Refusal as refusal:
            await self._error(message.get("id") if isinstance(message, dict) else None, refusal)

    async def close(self) -> None:
        """End every subscription."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self.failure.cancel()

    async def _handle(self, message: Mapping[str, Any]) -> None:
        kind, id = message.get("type"), message.get("id")
        if kind == "ping":
            await self._send({"type": "pong"})
        elif kind == "unsubscribe":
            task = self._tasks.pop(str(id), None)
            if task is not None:
                task.cancel()
        elif kind == "subscribe":
            await self._subscribe(message)
        else:
            raise Invalid("type is subscribe, unsubscribe or ping", code="invalid_message")

    async def _subscribe(self, message: Mapping[str, Any]) -> None:
        id, topic, begin = message.get("id"), message.get("topic"), message.get("from")
        if not isinstance(id, str) or not 0 < len(id) <= 64 or id in self._tasks:
            raise Invalid("a subscription needs an `id` of its own, of at most 64 characters", code="invalid_message")
        if len(self._tasks) >= MOST_TOPICS:
            raise Invalid(f"a connection may have {MOST_TOPICS} subscriptions", code="too_many_subscriptions")
        execution = await self._topic(topic)
        position = await self._begin(begin)
        await self._send({"type": "subscribed", "id": id, "position": position_text("executions", position)})
        task = asyncio.create_task(self._watch(id, execution, position))
        self._tasks[id] = task
        task.add_done_callback(self._ended)

    async def _topic(self, topic: Any) -> str | None:
        """The execution of a topic, None for the whole workspace; what is not there and what is not yours look alike."""
        if topic == "workspace":
            return None
        kind, _, id = str(topic).partition(":")
        if kind != "execution":
            raise Invalid("a topic is `workspace` or `execution:<id>`", code="invalid_message")
        missing = NotFound(f"there is no execution {id[:64]} in this workspace")
        try:
            key = UUID(id)
        except ValueError:
            raise missing from None
        if await asyncio.to_thread(self._reading.execution_list.get, self._caller.workspace, key) is None:
            raise missing
        return str(key)

    async def _begin(self, begin: Any) -> int:
        if begin is None:
            return self._hub.head
        if begin == "start":
            return 0
        if not isinstance(begin, str):
            raise Invalid("`from` is a position, or `start`", code="invalid_message")
        position = feed_position(begin)
        if position and await asyncio.to_thread(self._hub.feed.expired, position):
            raise Resync("events this old are not kept in the feed any more; read the executions, then subscribe from now")
        return position

    async def _watch(self, id: str, execution: str | None, position: int) -> None:
        beaten = checked = time.monotonic()
        while True:
            rows, reached = await self._hub.after(self._caller.workspace, position, execution, BATCH)
            for row in rows:
                await self._send_event(id, row)
                if execution is not None and row["topic"] == "execution.finished":
                    await self._send({"type": "end", "id": id, "position": position_text("executions", row["feed_id"])})
                    return
            position = reached
            if not rows and not await self._hub.news(position, 1.0) and time.monotonic() - beaten > HEARTBEAT_SECONDS:
                beaten = time.monotonic()
                await self._send({"type": "heartbeat", "id": id, "position": position_text("executions", position)})
            if time.monotonic() - checked > AGAIN_SECONDS:
                checked = time.monotonic()
                await asyncio.to_thread(self._check_again)

    def _check_again(self) -> None:
        """A member who was sent out, or a key that was revoked, watches no longer."""
        row = self._reading.api_keys.find(self._caller.key_id)
        role = self._reading.members.role(self._caller.workspace, self._caller.user)
        if row is None or row["revoked"] or role is None:
            raise PermissionError("this caller may not watch any more")

    async def _send_event(self, id: str, row: Mapping[str, Any]) -> None:
        event = {name: row[name] for name in ("feed_id", "topic", "execution", "version", "at", "event")}
        message = {"type": "event", "id": id, "position": position_text("executions", row["feed_id"]), **event}
        try:
            await asyncio.wait_for(self._send(message), SEND_SECONDS)
        except TimeoutError:
            raise TooSlow(int(row["feed_id"]) - 1) from None

    async def _send(self, message: Mapping[str, Any]) -> None:
        await self._send_text(orjson.dumps(message).decode())

    async def _error(self, id: Any, refusal: Refusal) -> None:
        await self._send({"type": "error", "id": id if isinstance(id, str) else None, "problem": problem(refusal, "")})

    def _ended(self, task: asyncio.Task[None]) -> None:
        for id, known in list(self._tasks.items()):
            if known is task:
                del self._tasks[id]
        if not task.cancelled() and (error := task.exception()) is not None and not self.failure.done():
            self.failure.set_result(error)
