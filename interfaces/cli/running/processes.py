"""Runners in processes of their own: forked before the run begins, so that they know all that was planned; the run's own
process owns jobs, needs, locks, `once` and everything that is counted or shown."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any

from application.engine.once import OnceRuns, Shared
from domain.errors import Refusal, Unavailable
from domain.values import dataclass
from interfaces import loops
from interfaces.cli.running.flow_runner import Ended, FlowRunner, Order, Setting

_SIZE = 8
Message = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Child:
    """A process that was forked, and our end of what connects us."""

    pid: int
    link: socket.socket


def forked(setting: Setting, number: int) -> list[Child]:
    """So many processes that wait for orders. There must be neither an event loop nor another thread yet."""
    children: list[Child] = []
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    for _ in range(number):
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            for other in (ours, *(child.link for child in children)):
                other.close()
            _become_child(setting, theirs)
        theirs.close()
        children.append(Child(pid, ours))
    return children


def _become_child(setting: Setting, link: socket.socket) -> None:
    """Serve until our parent has no more orders, or is gone. Never returns: what a parent does at its end is not ours to do."""
    code = 70
    try:
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, signal.SIG_IGN)  # the parent stops us, and waits for teardown
        loops.run(_serve(setting, link))
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


class _Link:
    """Messages between two processes of one program, in order."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, link: socket.socket) -> _Link:
        return cls(*await asyncio.open_connection(sock=link))

    def send(self, *message: Any) -> None:
        """Send it; what cannot be sent to one who is gone is dropped."""
        body = pickle.dumps(message)
        if not self._writer.is_closing():
            self._writer.write(len(body).to_bytes(_SIZE) + body)

    async def sent(self) -> None:
        """Wait until the other side keeps up."""
        await self._writer.drain()

    async def receive(self) -> Message | None:
        """The next message; None when the other side is gone."""
        try:
            size = int.from_bytes(await self._reader.readexactly(_SIZE))
            message: Message = pickle.loads(await self._reader.readexactly(size))  # noqa: S301 - of this program itself
            return message
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    def close(self) -> None:
        self._writer.close()


class ChildRunner:
    """The parent's side of a process. One that ends before it should gives no verdicts, and takes no more orders."""

    def __init__(self, child: Child, once: OnceRuns, on_events: Callable[[Sequence[dict[str, Any]]], None]) -> None:
        self._child = child
        self._once = once
        self._on_events = on_events
        self._numbers = count()
        self._waiting: dict[int, tuple[asyncio.Future[Ended], Callable[[str], None]]] = {}
        self._claiming: set[asyncio.Task[None]] = set()
        self._owned: set[str] = set()
        """Names of `once` steps that run there."""
        self._link: _Link | None = None
        self._reading: asyncio.Task[None] | None = None
        self._closing = False
        self.lost = ""
        """Why it ended before it should."""
        self.refusal = ""
        """What could not be kept at its end."""
        self.sources: dict[str, str] = {}
        """The texts of flows that were called; complete after `close`."""

    @property
    def running(self) -> int:
        """How many are under way."""
        return len(self._waiting)

    async def begin(self) -> None:
        """Listen to it."""
        self._link = await _Link.over(self._child.link)
        self._reading = asyncio.create_task(self._read())

    async def run(self, order: Order, begun: Callable[[str], None]) -> Ended:
        """See Runner. Unavailable when the process is lost meanwhile."""
        assert self._link is not None
        if self.lost:
            raise Unavailable(self.lost)
        number = next(self._numbers)
        ended: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
        self._waiting[number] = (ended, begun)
        self._link.send("run", number, order)
        try:
            return await ended
        finally:
            self._waiting.pop(number, None)

    def stop(self) -> None:
        """See Runner."""
        if self._link is not None:
            self._link.send("stop")

    async def close(self) -> None:
        """See Runner. Unavailable when something could not be kept."""
        self._closing = True
        if self._link is not None and self._reading is not None:
            self._link.send("close")
            await self._reading
            self._link.close()
        if self.refusal:
            raise Unavailable(self.refusal)

    async def _read(self) -> None:
        assert self._link is not None
        while (message := await self._link.receive()) is not None:
            kind, *parts = message
            getattr(self, f"_{kind}")(*parts)
        _, status = await asyncio.to_thread(os.waitpid, self._child.pid, 0)
        if self._waiting or not self._closing:
            self._is_lost(os.waitstatus_to_exitcode(status))

    def _is_lost(self, code: int) -> None:
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with code {code}"
        self.lost = f"a process of the run ended {how}; the flows that it ran have no verdict"
        for ended, _ in self._waiting.values():
            if not ended.done():
                ended.set_exception(Unavailable(self.lost))
        for name in self._owned:
            self._once.give_up(name)

    def _events(self, events: Sequence[dict[str, Any]]) -> None:
        self._on_events(events)

    def _begun(self, number: int, id: str) -> None:
        self._waiting[number][1](id)

    def _ended(self, number: int, ended: Ended) -> None:
        if not self._waiting[number][0].done():
            self._waiting[number][0].set_result(ended)

    def _broken(self, number: int, refused: bool, text: str) -> None:
        if not self._waiting[number][0].done():
            self._waiting[number][0].set_exception(Unavailable(text) if refused else RuntimeError(text))

    def _claim(self, number: int, name: str) -> None:
        task = asyncio.create_task(self._answer(number, name))
        self._claiming.add(task)
        task.add_done_callback(self._claiming.discard)

    async def _answer(self, number: int, name: str) -> None:
        assert self._link is not None
        shared = await self._once.claim(name)
        if shared is None:
            self._owned.add(name)
        self._link.send("claimed", number, shared)

    def _finish(self, name: str, shared: Shared) -> None:
        self._owned.discard(name)
        self._once.finish(name, shared)

    def _give_up(self, name: str) -> None:
        self._owned.discard(name)
        self._once.give_up(name)

    def _closed(self, sources: dict[str, str], refusal: str) -> None:
        self.sources, self.refusal = sources, refusal


class _AskedOnce:
    """The child's side of `once`: the parent knows who runs what."""

    def __init__(self, link: _Link) -> None:
        self._link = link
        self._numbers = count()
        self._claims: dict[int, asyncio.Future[Shared | None]] = {}

    async def claim(self, name: str) -> Shared | None:
        """See OnceRuns."""
        number = next(self._numbers)
        self._claims[number] = asyncio.get_running_loop().create_future()
        self._link.send("claim", number, name)
        try:
            return await asyncio.shield(self._claims[number])
        except asyncio.CancelledError:
            self._claims[number].add_done_callback(lambda claim: self._let_go(name, claim))
            raise

    def finish(self, name: str, shared: Shared) -> None:
        """See OnceRuns."""
        self._link.send("finish", name, shared)

    def give_up(self, name: str) -> None:
        """See OnceRuns."""
        self._link.send("give_up", name)

    def claimed(self, number: int, shared: Shared | None) -> None:
        """The parent's answer."""
        self._claims.pop(number).set_result(shared)

    def _let_go(self, name: str, claim: asyncio.Future[Shared | None]) -> None:
        """Nobody waits for the answer any more; if it is ours to run the step, it is somebody else's now."""
        if not claim.cancelled() and claim.result() is None:
            self.give_up(name)


async def _serve(setting: Setting, connection: socket.socket) -> None:
    """Run what is ordered, until there is nothing more."""
    link = await _Link.over(connection)
    once = _AskedOnce(link)
    runner = FlowRunner(setting, once, lambda events: link.send("events", events))
    tasks: set[asyncio.Task[None]] = set()
    while (message := await link.receive()) is not None:
        kind, *parts = message
        if kind == "run":
            task = asyncio.create_task(_run(runner, link, *parts))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        elif kind == "claimed":
            once.claimed(*parts)
        elif kind == "stop":
            runner.stop()
        else:
            break
    else:
        os._exit(1)  # the parent is gone: nobody wants to know more
    await asyncio.gather(*tasks)
    refusal = ""
    try:
        await runner.close()
    except Refusal as error:
        refusal = error.message
    link.send("closed", runner.sources, refusal)
    await link.sent()
    link.close()


async def _run(runner: FlowRunner, link: _Link, number: int, order: Order) -> None:
    try:
        ended = await runner.run(order, lambda id: link.send("begun", number, id))
        link.send("ended", number, ended)
    except Exception as error:
        refused = isinstance(error, Refusal)
        text = str(error) if refused else "".join(traceback.format_exception(error))
        link.send("broken", number, refused, text)
    await link.sent()
