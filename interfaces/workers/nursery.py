"""A process that is ready to become others: forked when everything was imported and nothing was open, it forks again for each
child that its worker asks for. A new interpreter with all imports would take a second of a core each time.

Between the two go messages of nine bytes: to the nursery START with the child's end of a socket, or a signal for a child; from
it START with a process id, or ENDED with that of a child and its exit code.
"""

from __future__ import annotations

import asyncio
import gc
import os
import select
import signal
import socket
import struct
import sys
import traceback
from collections import deque
from collections.abc import Callable
from typing import NoReturn

_MESSAGE = struct.Struct("!cii")
START, ENDED, TERMINATE, KILL = b"+", b"-", b"T", b"K"
STOPPING = (signal.SIGINT, signal.SIGTERM)
_SIGNALS = {TERMINATE: signal.SIGTERM, KILL: signal.SIGKILL}


class Closed(Exception):
    """The nursery has gone: there are no more children."""


class Child:
    """A process of the nursery, with what it reads as its standard input and writes as its standard output."""

    def __init__(self, nursery: Nursery, pid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._nursery = nursery
        self.pid = pid
        self.reader = reader
        self.writer = writer
        self._code: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()

    @property
    def ended(self) -> bool:
        """Whether it is known to have ended."""
        return self._code.done()

    async def wait(self) -> int | None:
        """Its exit code, negative for a signal; None when the nursery went first, and nobody knows."""
        return await asyncio.shield(self._code)

    def signal(self, name: bytes) -> None:
        """TERMINATE or KILL it; nothing when it has ended."""
        if not self.ended:
            self._nursery.send(name, self.pid)

    def gone(self, code: int | None) -> None:
        """It has ended."""
        if not self._code.done():
            self._code.set_result(code)


class Nursery:
    """The worker's side. To be made while this process has one thread, no event loop and no connection."""

    def __init__(self, child: Callable[[], None]) -> None:
        """Fork it. `child` is what each of its processes does; 0 and 1 are its descriptors for the worker."""
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        self._link, theirs = socket.socketpair()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        self.pid = os.fork()
        if self.pid == 0:
            self._link.close()
            _forever(theirs, child)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        self._link.setblocking(False)
        self._waiting: deque[asyncio.Future[int]] = deque()
        self._children: dict[int, Child] = {}
        self._ended: dict[int, int] = {}
        """Exit codes of children that ended before they were known here."""
        self._loop: asyncio.AbstractEventLoop | None = None
        """The loop that listens to the nursery, once there is one."""
        self._closed = False

    async def child(self) -> Child:
        """A new process. Closed when there can be none."""
        self._listen()
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                started = self._ask(theirs)
                pid = await started
            reader, writer = await asyncio.open_connection(sock=ours)
        except BaseException:
            ours.close()
            raise
        child = Child(self, pid, reader, writer)
        if pid in self._ended:
            child.gone(self._ended.pop(pid))
        elif self._closed:
            child.gone(None)
        else:
            self._children[pid] = child
        return child

    def send(self, name: bytes, pid: int, *ends: socket.socket) -> None:
        """A message; nothing when the nursery has gone."""
        if not self._closed:
            try:
                socket.send_fds(self._link, [_MESSAGE.pack(name, pid, 0)], [end.fileno() for end in ends])
            except OSError:
                self._gone()

    def close(self) -> None:
        """Let it end, and wait for that; its children end by what they read. May be repeated."""
        self._gone()
        if self.pid:
            self._link.close()
            os.waitpid(self.pid, 0)
            self.pid = 0

    def _ask(self, end: socket.socket) -> asyncio.Future[int]:
        started = asyncio.get_running_loop().create_future()
        self._waiting.append(started)
        self.send(START, 0, end)
        if self._closed and not started.done():
            started.set_exception(Closed)
        return started

    def _listen(self) -> None:
        if self._loop is None and not self._closed:
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(self._link, self._read)

    def _read(self) -> None:
        try:
            message = self._link.recv(_MESSAGE.size)
        except BlockingIOError:
            return
        except OSError:
            message = b""
        if not message:
            self._gone()
            return
        name, pid, code = _MESSAGE.unpack(message)
        if name == START:
            self._ended.pop(pid, None)
            started = self._waiting.popleft()
            if not started.done():
                started.set_result(pid)
        elif pid in self._children:
            self._children.pop(pid).gone(code)
        else:
            self._ended[pid] = code

    def _gone(self) -> None:
        self._closed = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._link)
        self._loop = None
        while self._waiting:
            started = self._waiting.popleft()
            if not started.done():
                started.set_exception(Closed())
        for child in self._children.values():
            child.gone(None)
        self._children.clear()


def _pass(number: int, frame: object) -> None:
    """Not SIG_IGN: what is ignored could be lost on its way to a child that is just becoming one."""


def _forever(link: socket.socket, child: Callable[[], None]) -> NoReturn:
    """What the nursery does, until its worker is gone. Never returns: what its worker does at its end is not its to do."""
    try:
        gc.collect()
        gc.freeze()  # what all children share stays shared
        for number in STOPPING:
            signal.signal(number, _pass)  # a terminal sends them to the worker as well, which ends its children in order
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        awake, wake = os.pipe()
        for descriptor in (awake, wake):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(wake)
        signal.signal(signal.SIGCHLD, _pass)
        living: set[int] = set()
        while True:
            ready, _, _ = select.select([link.fileno(), awake], [], [])
            if awake in ready:
                os.read(awake, 4096)
                _bury(link, living)
            if link.fileno() in ready and not _obey(link, living, child, (awake, wake)):
                os._exit(0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(70)


def _obey(link: socket.socket, living: set[int], child: Callable[[], None], own: tuple[int, int]) -> bool:
    """Do what the worker asks; whether there is still one."""
    try:
        message, ends, _, _ = socket.recv_fds(link, _MESSAGE.size, 1)
    except ConnectionError:
        return False
    if not message:
        return False
    name, pid, _ = _MESSAGE.unpack(message)
    if name != START:
        if pid in living:
            os.kill(pid, _SIGNALS[name])
        return True
    (end,) = ends
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    pid = os.fork()
    if pid == 0:
        link.close()
        _become(child, end, own)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
    os.close(end)
    living.add(pid)
    link.sendall(_MESSAGE.pack(START, pid, 0))
    return True


def _bury(link: socket.socket, living: set[int]) -> None:
    """Tell the worker which children have ended."""
    while living:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        living.discard(pid)
        link.sendall(_MESSAGE.pack(ENDED, pid, os.waitstatus_to_exitcode(status)))


def _become(child: Callable[[], None], end: int, own: tuple[int, int]) -> NoReturn:
    code = 70
    try:
        signal.set_wakeup_fd(-1)
        for descriptor in own:
            os.close(descriptor)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for name in (signal.SIGTERM, signal.SIGCHLD):
            signal.signal(name, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        for descriptor in (0, 1):
            os.dup2(end, descriptor)
        os.close(end)
        child()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)
