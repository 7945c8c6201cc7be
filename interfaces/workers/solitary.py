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
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

import orjson

from application.ports import Delivery, RunCommand
from domain.values import dataclass

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
class _Child:
    process: asyncio.subprocess.Process
    retire: asyncio.TimerHandle | None = None

    def end(self) -> None:
        """No further command: it ends by itself."""
        if self.process.stdin is not None:
            self.process.stdin.close()


class Solitary:
    """The worker's side: gives each execution to a child that is idle, or to a new one."""

    def __init__(self, argv: Sequence[str], most: int, patience: tuple[float, float] = CHILD_SECONDS) -> None:
        """`argv` starts a child; `most` run at the same time. `patience` in seconds is how long one is waited for."""
        self._argv = argv
        self._patience = patience
        self._free = asyncio.Semaphore(most)
        self._idle: list[_Child] = []
        self._children: set[_Child] = set()
        self._starting = False
        self._changed = asyncio.Event()
        self._stopping = False

    async def run(self, command: RunCommand, claimed: Claimed) -> bool:
        """Let a child do it, to its end or that of the child; `claimed` is awaited when the command needs no repetition.
        False when none begins here any more, or every child has had its work for some seconds: it is for another worker."""
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
        if child.process.stdin is None or child.process.stdout is None:
            raise RuntimeError("the child has no pipes")
        child.process.stdin.write(_line(command))
        while answer := await child.process.stdout.readline():
            if answer == b"claimed\n":
                await claimed()
            elif answer == b"ready\n":
                self._rest(child)
                return True
        code = await child.process.wait()
        self._children.discard(child)
        logger.warning("the process that ran execution %s alone has ended with %s", command.execution, code)
        return True

    async def _child(self) -> _Child:
        """One that is idle, or a new one. One starts at a time, as that takes a second of a core: most of what waits meanwhile
        is a teardown of some milliseconds, which the first child has done before a second one would be ready."""
        while self._idle or self._starting:
            if self._idle:
                child = self._idle.pop()
                if child.retire is not None:
                    child.retire.cancel()
                if child.process.returncode is None:
                    return child
            else:
                await self._changed.wait()
        self._starting = True
        try:
            return await self._started()
        finally:
            self._starting = False
            self._wake()

    async def _started(self) -> _Child:
        process = await asyncio.create_subprocess_exec(
            *self._argv, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=LINE_BYTES
        )
        child = _Child(process)
        self._children.add(child)
        if process.stdout is not None:
            await process.stdout.readline()  # its first `ready`
        return child

    def _wake(self) -> None:
        """Let those that wait for a child look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    def _rest(self, child: _Child) -> None:
        child.retire = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._retire, child)
        self._idle.append(child)
        self._wake()

    def _retire(self, child: _Child) -> None:
        if child in self._idle:
            self._idle.remove(child)
            child.end()

    def stop(self) -> None:
        """Let every child drain; no further one begins."""
        self._stopping = True
        for child in self._children:
            if child.process.returncode is None:
                child.process.terminate()

    async def close(self, patience: float = 15.0) -> None:
        """Wait for the children to end; those that do not are killed."""
        self._idle.clear()
        for child in list(self._children):
            if child.retire is not None:
                child.retire.cancel()
            child.end()
            try:
                await asyncio.wait_for(child.process.wait(), patience)
            except TimeoutError:
                child.process.kill()
                await child.process.wait()
        self._children.clear()


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
