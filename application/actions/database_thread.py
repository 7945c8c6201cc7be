"""A thread for a client library that blocks: work in it can be stopped from outside."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

T = TypeVar("T")
Stop = Callable[["asyncio.Future[Any]"], Awaitable[None]]
"""Makes the work end; bounded in time. It is given the work, to wait for its end."""


class Thread:
    """One thread, made when first used. Work is done one after another."""

    def __init__(self, name: str) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=name)

    async def run(self, work: Callable[[], T], stop: Stop) -> T:
        """What the work gives. When this is cancelled, the work is stopped before the cancellation goes on."""
        future = asyncio.get_running_loop().run_in_executor(self._executor, work)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            future.add_done_callback(lambda done: done.cancelled() or done.exception())
            await _whatever_happens(stop(future))
            raise

    def end(self) -> None:
        """Let the thread go once it has nothing to do."""
        self._executor.shutdown(wait=False)


async def _whatever_happens(work: Awaitable[None]) -> None:
    """Wait for the end of the work, although the task may be cancelled again and again."""
    task = asyncio.ensure_future(work)
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.shield(task)
    if not task.cancelled():
        task.result()


@contextmanager
def all_or_nothing(command: Callable[[str], object], *, inside: bool) -> Iterator[None]:
    """A transaction around what is done in here, a savepoint when one is open already. `command` runs one statement."""
    begin, keep, undo = _SAVEPOINT if inside else _TRANSACTION
    command(begin)
    try:
        yield
    except BaseException:
        with suppress(Exception):  # the first error is the one to tell; a lost connection undoes by itself
            command(undo)
        raise
    command(keep)


_TRANSACTION = ("BEGIN", "COMMIT", "ROLLBACK")
_SAVEPOINT = ("SAVEPOINT testmesh", "RELEASE SAVEPOINT testmesh", "ROLLBACK TO SAVEPOINT testmesh")
