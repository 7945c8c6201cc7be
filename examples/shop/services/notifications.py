"""The notifications service: reads what orders announce, "sends" a message a while later, and remembers it."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Mapping
from typing import Any
from uuid import UUID

from aiohttp import web
from psycopg import Error as PsycopgError
from redis.exceptions import RedisError, ResponseError

from services.kit import Refused, Tools, application, plain
from services.orders import EVENTS

GROUP = "notifications"
SENDING_SECONDS = 0.3
PAUSE_SECONDS = 1.0
MESSAGES = {
    "order_confirmed": "Your order over {amount} is confirmed.",
    "order_paid": "We received your payment of {amount}.",
    "order_cancelled": "Your order over {amount} is cancelled.",
}


class Notifications:
    """Handlers of the notifications service, and the task that consumes the stream."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def app(self) -> web.Application:
        """The service as an application; it consumes as long as it serves."""
        made = application([web.get("/notifications", self.list_of_user)])
        made.cleanup_ctx.append(self._consuming)
        return made

    async def list_of_user(self, request: web.Request) -> web.Response:
        """What was sent to `user`, the oldest first."""
        query = "SELECT * FROM notifications WHERE user_id = %s ORDER BY sent_at, event_id"
        async with self._tools.database.connection() as connection:
            rows = await (await connection.execute(query, [_user(request)])).fetchall()
        return web.json_response({"items": [plain(row) for row in rows], "count": len(rows)})

    async def _consuming(self, app: web.Application) -> AsyncIterator[None]:
        await self._make_group("$")
        task = asyncio.create_task(self._consume())
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def _make_group(self, after: str) -> None:
        """The group that reads what comes after an event, unless there is one."""
        try:
            await self._tools.redis.xgroup_create(EVENTS, GROUP, id=after, mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    async def _consume(self) -> None:
        """First what was taken and never acknowledged, then whatever comes; after a lost server, even one that has forgotten
        everything, the same again."""
        position = "0"
        while True:
            try:
                position = ">" if await self._take(position) == 0 else position
            except (RedisError, PsycopgError) as error:
                print(f"notifications: {error}", file=sys.stderr, flush=True)
                await asyncio.sleep(PAUSE_SECONDS)
                with contextlib.suppress(RedisError):
                    await self._make_group("0")
                position = "0"

    async def _take(self, position: str) -> int:
        """Send what is behind a position of the group; how many events that were."""
        answer: Any = await self._tools.redis.xreadgroup(GROUP, "sender", {EVENTS: position}, count=50, block=1000)
        events = [event for _, some in answer or () for event in some]
        if events:
            await asyncio.sleep(SENDING_SECONDS)
            for id, fields in events:
                await self._send(id, fields)
            await self._tools.redis.xack(EVENTS, GROUP, *(id for id, _ in events))
        return len(events)

    async def _send(self, id: str, event: Mapping[str, str]) -> None:
        """Remember the message; the same event a second time changes nothing."""
        amount = f"{int(event['total_cents']) / 100:.2f} EUR"
        message = MESSAGES[event["kind"]].format(amount=amount)
        query = (
            "INSERT INTO notifications (event_id, user_id, order_id, kind, message) VALUES (%s, %s, %s, %s, %s)"
            " ON CONFLICT (event_id) DO NOTHING"
        )
        async with self._tools.database.connection() as connection:
            await connection.execute(query, [id, event["user_id"], event["order_id"], event["kind"], message])


def _user(request: web.Request) -> UUID:
    try:
        return UUID(request.query.get("user", ""))
    except ValueError:
        raise Refused(422, "validation", "the request has wrong fields", fields={"user": "must be an id"}) from None
