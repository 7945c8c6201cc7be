"""What a worker takes from the queue: new commands, and those that others left; what comes after the stop goes back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from application.ports import Delivery
from domain.errors import Unavailable

ADOPT_SECONDS = 5.0
BLOCK_MS = 1000
logger = logging.getLogger("testmesh.worker")


class Deliveries(Protocol):
    """The receiving side of the queue; RedisDeliveries is the real one."""

    async def receive(self, count: int, block_ms: int = 2000) -> list[Delivery]:
        """New commands, none after `block_ms`."""
        ...

    async def adopt(self, count: int = 10) -> list[Delivery]:
        """Commands that another worker took and never claimed."""
        ...

    async def done(self, delivery: Delivery) -> None:
        """Acknowledge."""
        ...

    async def give_back(self, delivery: Delivery) -> None:
        """Ring for another worker."""
        ...

    async def leave(self) -> None:
        """Give the consumer up."""
        ...


class Intake:
    """Takes commands while the gate is open, never more than there is room for."""

    def __init__(self, queue: Deliveries, gate: asyncio.Event, room: Callable[[], int]) -> None:
        self._queue = queue
        self._gate = gate
        self._room = room
        self._adopted_at = 0.0
        self._late: asyncio.Future[list[Delivery]] | None = None

    async def next(self, stopping: asyncio.Task[bool]) -> list[Delivery]:
        """Commands that others left, from time to time; else new ones."""
        now = asyncio.get_running_loop().time()
        if now - self._adopted_at > ADOPT_SECONDS:
            self._adopted_at = now
            found = await self._queue.adopt(self._room())
            if found:
                return found
        receiving = asyncio.ensure_future(self._queue.receive(self._room(), BLOCK_MS))
        await asyncio.wait({receiving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if receiving.done() and self._gate.is_set():
            return receiving.result()
        if not receiving.done():
            self._late = receiving
            return []
        for delivery in receiving.result():
            await self._queue.give_back(delivery)
        return []

    async def give_back_late(self) -> None:
        """An answer that was on its way when the stop came."""
        if self._late is None:
            return
        try:
            for delivery in await self._late:
                await self._queue.give_back(delivery)
        except Unavailable as error:
            logger.warning("the queue does not answer: %s", error)


async def before(stopping: asyncio.Task[bool], wanted: Coroutine[Any, Any, Any]) -> bool:
    """Wait for something or for the stop; whether it was the former."""
    task = asyncio.ensure_future(wanted)
    await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not task.done():
        task.cancel()
    return task.done() and not stopping.done()
