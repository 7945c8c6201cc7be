"""One WebSocket connection: subscriptions that replay from a position and go on live, in order, without gap or double."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import UUID

import orjson

from domain.errors import Invalid, NotFound, Refusal
from domain.execution import Execution
from domain.suite_run import SuiteRun
from domain.values import dataclass
from interfaces.authentication import Caller
from interfaces.reading import Reading
from interfaces.rest.call import position_text
from interfaces.rest.executions import check_position, feed_position
from interfaces.rest.problems import problem
from interfaces.websocket.hub import Hub

MOST_TOPICS = 100
BATCH = 200
Send = Callable[[str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the parts of a connection wait, in seconds."""

    send: float = 10.0
    """A client that does not take a message for this long is told where to resume, and let go."""
    again: float = 3.0
    """How often it is checked that the caller may still watch."""
    heartbeat: float = 15.0
    """A subscription without events says this often where it stands."""


@dataclass(frozen=True, slots=True)
class Topic:
    """What a subscription is about. `row` is the execution or suite run as it was read, None for the whole workspace;
    `executions` are the ids whose events belong to it, None for all; `last` is the topic of its terminal event."""

    row: Mapping[str, Any] | None
    executions: frozenset[str] | None = None
    last: str = "execution.finished"

    @property
    def ended(self) -> int | None:
        """The position of the last event, None when more may come."""
        return int(self.row["position"]) if self.row is not None and self.row["status"] == "finished" else None


class TooSlow(Exception):
    """The client does not take what it asked for; `position` is where every subscription can resume."""

    def __init__(self, position: int | None) -> None:
        super().__init__("too slow" if position is None else f"resume from {position_text('executions', position)}")


class Watching:
    """The subscriptions of one connection.

    Messages from the client: {"type": "subscribe", "id", "topic": "workspace" | "execution:<id>" |
    "suite_run:<id>" (its own events and those of its executions), "from": position or "start" or nothing for now},
    {"type": "unsubscribe", "id"}, {"type": "ping"}. To the client: subscribed, event, end (after the terminal event of an
    execution or suite run, when the stored state is readable), heartbeat, pong, error.
    """

    def __init__(self, reading: Reading, hub: Hub, caller: Caller, send: Send, patience: Patience) -> None:
        self._patience = patience
        self._reading = reading
        self._hub = hub
        self._caller = caller
        self._send_text = send
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._seen: dict[str, int] = {}
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
                del self._seen[str(id)]
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
        found = await self._topic(topic)
        position = await self._begin(begin, found)
        self._seen[id] = position
        await self._tell("subscribed", id, position)
        task = asyncio.create_task(self._watch(id, found, position))
        self._tasks[id] = task
        task.add_done_callback(self._ended)

    async def _topic(self, topic: Any) -> Topic:
        """What is meant; what is not there and what is not yours look alike."""
        if topic == "workspace":
            return Topic(None)
        kind, _, id = topic.partition(":") if isinstance(topic, str) else ("", "", "")
        if kind not in ("execution", "suite_run"):
            raise Invalid("a topic is `workspace`, `execution:<id>` or `suite_run:<id>`", code="invalid_message")
        missing = NotFound(f"there is no {kind.replace('_', ' ')} {id[:64]} in this workspace")
        try:
            key = UUID(id)
        except ValueError:
            raise missing from None
        reading = self._reading
        find = reading.execution_list.get if kind == "execution" else reading.suite_run_list.get
        row = await asyncio.to_thread(find, self._caller.workspace, key)
        if row is None and (accepted := await asyncio.to_thread(self._accepted, kind, key)) is not None:
            await reading.wait(position_text("executions", accepted))
            row = await asyncio.to_thread(find, self._caller.workspace, key)
        if row is None:
            raise missing
        if kind == "execution":
            return Topic(row, frozenset({str(row["id"])}))
        executions = await asyncio.to_thread(reading.suite_cases.executions, key)
        return Topic(row, frozenset({str(row["id"]), *executions}), SuiteRun.Finished.TOPIC)

    def _accepted(self, kind: str, id: UUID) -> int | None:
        """The position of the request that the read models do not have yet; None when there was none in this workspace."""
        log = self._reading.platform.logs["executions"]
        found = log.find(Execution if kind == "execution" else SuiteRun, id)
        return log.position_of(id) if found is not None and found.workspace == self._caller.workspace else None

    async def _begin(self, begin: Any, topic: Topic) -> int:
        if begin is None:
            return self._hub.head
        if not isinstance(begin, str):
            raise Invalid("`from` is a position, or `start`", code="invalid_message")
        position = 0 if begin == "start" else feed_position(begin)
        if position:
            await asyncio.to_thread(check_position, self._reading, position, whole=topic.row is None)
        if not position and topic.row is not None:
            position = int(topic.row.get("first_position", 1)) - 1
        return position

    async def _watch(self, id: str, topic: Topic, position: int) -> None:
        """Send what there is and what comes, up to the end of an execution. What has ended already ends at once."""
        ended, told = topic.ended, time.monotonic()
        while ended is None or position < ended:
            rows, reached = await self._hub.after(self._caller.workspace, position, topic.executions, BATCH)
            for row in rows:
                await self._send_event(id, row)
                if topic.row is not None and row["topic"] == topic.last and row["execution"] == str(topic.row["id"]):
                    ended = reached = int(row["feed_id"])
            self._seen[id] = position = reached
            quiet = self._patience.heartbeat - (time.monotonic() - told)
            if not rows and quiet > 0:
                await self._hub.news(position, quiet)
                continue
            if not rows:
                await self._tell("heartbeat", id, position)
            told = time.monotonic()
        await self._tell("end", id, ended)

    async def _tell(self, kind: str, id: str, position: int) -> None:
        await self._send({"type": kind, "id": id, "position": position_text("executions", position)})

    async def _send_event(self, id: str, row: Mapping[str, Any]) -> None:
        event = {name: row[name] for name in ("feed_id", "topic", "execution", "version", "at", "event")}
        message = {"type": "event", "id": id, "position": position_text("executions", row["feed_id"]), **event}
        await self._send(message)
        self._seen[id] = int(row["feed_id"])

    async def _send(self, message: Mapping[str, Any]) -> None:
        """Raises TooSlow when the client does not take it."""
        try:
            await asyncio.wait_for(self._send_text(orjson.dumps(message).decode()), self._patience.send)
        except TimeoutError:
            raise TooSlow(min(self._seen.values(), default=None)) from None

    async def _error(self, id: Any, refusal: Refusal) -> None:
        await self._send({"type": "error", "id": id if isinstance(id, str) else None, "problem": problem(refusal, "")})

    def _ended(self, task: asyncio.Task[None]) -> None:
        for id, known in list(self._tasks.items()):
            if known is task:
                del self._tasks[id], self._seen[id]
        if not task.cancelled() and (error := task.exception()) is not None and not self.failure.done():
            self.failure.set_result(error)
