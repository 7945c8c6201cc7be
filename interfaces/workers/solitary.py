"""Processes that do one execution at a time, for those over which a worker was lost: what kills one takes no neighbour along.

A worker writes commands to the standard input of its children, a line each. A child answers `claimed` when it owns the
execution (or there is nothing to do), and `ready` when it is over.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import sys
from collections.abc import Awaitable, Callable
from uuid import UUID

import orjson

from application.ports import Delivery, RunCommand
from domain.values import dataclass
from interfaces.workers.nursery import KILL, TERMINATE, Child, Nursery

CHILD_SECONDS = (10.0, 20.0)
"""How long an execution waits for a child of this worker before it is given to another worker: now shorter, now longer, as two
workers that read in step would always give it to the same of them."""
IDLE_SECONDS = 30.0
"""How long a child that has nothing to do is kept."""
LINE_BYTES = 4096
logger = logging.getLogger("testmesh.solitary")
Claimed = Callable[[], Awaitable[None]]


def most_children(concurrency: int) -> int:
    """How many children a worker has at most."""
    return max(1, min(4, concurrency // 4))


@dataclass(slots=True, eq=False)
class _Idle:
    """A child without work, and when it is let go."""

    child: Child
    retire: asyncio.TimerHandle


class Solitary:
    """The worker's side: gives each execution to a child that is idle, or to a new one."""

    def __init__(self, nursery: Nursery, most: int, patience: tuple[float, float] = CHILD_SECONDS) -> None:
        """Children come from `nursery`; `most` run at the same time. `patience` in seconds is how long one is waited for."""
        self._nursery = nursery
        self._patience = patience
        self._free = asyncio.Semaphore(most)
        self._idle: list[_Idle] = []
        self._children: set[Child] = set()
        self._stopping = False

    async def run(self, command: RunCommand, claimed: Claimed) -> bool:
        """Let a child do it, to its end or that of the child; `claimed` is awaited when the command needs no repetition.
        False when none begins here any more, or every child has had its work for some seconds: it is for another worker.
        Closed when there can be no child any more."""
        try:
            await asyncio.wait_for(self._free.acquire(), random.uniform(*self._patience))
        except TimeoutError:
            return False
        try:
            return False if self._stopping else await self._run(command, claimed)
        finally:
            self._free.release()

    async def _run(self, command: RunCommand, claimed: Claimed) -> bool:
        child = await self._child()
        child.writer.write(_line(command))
        while answer := await _answer(child):
            if answer == b"claimed\n":
                await claimed()
            elif answer == b"ready\n":
                self._rest(child)
                return True
        self._children.discard(child)
        child.writer.close()
        code = await child.wait()
        logger.warning("the process that ran execution %s alone has ended with %s", command.execution, code)
        return True

    async def _child(self) -> Child:
        """One that is idle, or a new one."""
        while self._idle:
            idle = self._idle.pop()
            idle.retire.cancel()
            if not idle.child.ended:
                return idle.child
            self._children.discard(idle.child)
        child = await self._nursery.child()
        self._children.add(child)
        if self._stopping:
            child.signal(TERMINATE)
        await _answer(child)  # its first `ready`
        return child

    def _rest(self, child: Child) -> None:
        retire = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._retire, child)
        self._idle.append(_Idle(child, retire))

    def _retire(self, child: Child) -> None:
        self._idle = [idle for idle in self._idle if idle.child is not child]
        self._children.discard(child)
        child.writer.close()

    def stop(self) -> None:
        """Let every child drain; no further one begins."""
        self._stopping = True
        for child in self._children:
            child.signal(TERMINATE)

    async def close(self, patience: float = 15.0) -> None:
        """Wait for the children to end; those that do not are killed."""
        for idle in self._idle:
            idle.retire.cancel()
        self._idle.clear()
        for child in list(self._children):
            child.writer.close()
            try:
                await asyncio.wait_for(child.wait(), patience)
            except TimeoutError:
                child.signal(KILL)
                await child.wait()
        self._children.clear()
        self._nursery.close()


async def _answer(child: Child) -> bytes:
    """The next line that it writes; none when it has ended."""
    try:
        return await child.reader.readline()
    except ConnectionError:
        return b""


class PipeDeliveries:
    """The child's side: a queue that its worker feeds by standard input. When that ends, so does the child."""

    def __init__(self, stop: asyncio.Event) -> None:
        self._stop = stop
        self._reader: asyncio.StreamReader | None = None
        self._asked = False
        # What libraries or flows print must not look like an answer.
        sys.stdout.flush()
        self._answers = os.dup(1)
        os.dup2(2, 1)

    async def receive(self, count: int, block_ms: int = 2000) -> list[Delivery]:
        """The next command; none after `block_ms`."""
        reader = await self._opened()
        if not self._asked:
            self._asked = True
            self._answer("ready")
        try:
            line = await asyncio.wait_for(reader.readline(), block_ms / 1000)
        except TimeoutError:
            return []
        if not line:
            self._stop.set()
            return []
        self._asked = False
        return [Delivery("", _command(line))]

    async def adopt(self, count: int = 10) -> list[Delivery]:
        """Nothing is left by others here."""
        return []

    async def done(self, delivery: Delivery) -> None:
        """Tell the worker."""
        self._answer("claimed")

    async def give_back(self, delivery: Delivery) -> None:
        """Not acknowledged, so that it comes again."""

    async def leave(self) -> None:
        """Say no more."""
        os.close(self._answers)

    async def _opened(self) -> asyncio.StreamReader:
        if self._reader is None:
            self._reader = asyncio.StreamReader(limit=LINE_BYTES)
            protocol = asyncio.StreamReaderProtocol(self._reader)
            await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
        return self._reader

    def _answer(self, word: str) -> None:
        try:
            os.write(self._answers, f"{word}\n".encode())
        except OSError:
            self._stop.set()  # the worker is gone


def _line(command: RunCommand) -> bytes:
    return orjson.dumps([str(command.execution), command.attempt, command.kind, command.number]) + b"\n"


def _command(line: bytes) -> RunCommand:
    execution, attempt, kind, number = orjson.loads(line)
    return RunCommand(UUID(execution), attempt, kind, number)
