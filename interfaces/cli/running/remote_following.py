"""Following what a server runs: its events to the last verdict, an interrupt or a time limit that cancels it first."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from domain.errors import Refusal, Unavailable
from interfaces.cli.client import Client

TICK_SECONDS = 0.1
TEARDOWN_SECONDS = 120.0
"""So long after its time limit a run is waited for, while it tears down; then it is left to the server."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
FIRST_PATIENCE, PATIENCE = 10.0, 60.0
"""For so many seconds a server that is away is asked again, before it has accepted anything and after."""


def sendable(key: str | None) -> str:
    """An Idempotency-Key as a header may have it; one that nobody else has where none is given, so that a request may be
    sent again when its answer was lost."""
    return key[:255].encode("ascii", "replace").decode() if key else uuid4().hex


@contextmanager
def _kept(early: list[int]) -> Iterator[None]:
    """Signals that come before the loop listens to them are noted, and break off nothing half made."""
    before = {number: signal.signal(number, lambda number, frame: early.append(number)) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def goes_on(left: str) -> Iterator[None]:
    """Whatever is refused meanwhile ends the following alone, not what runs: that is no wrong use, and is said."""
    try:
        yield
    except Refusal as refusal:
        remedy = f"the server goes on with {left}"
        raise Unavailable(
            refusal.message, code=refusal.code, remedy=f"{refusal.remedy}; {remedy}" if refusal.remedy else remedy
        ) from refusal


class Following:
    """One pass over the event stream. The first interrupt cancels what runs and waits for its teardown, the second leaves it
    to the server; so does the first where there is no way to cancel."""

    def __init__(
        self,
        client: Client,
        cancel: Callable[[str], None] | None,
        left: Callable[[], str],
        *,
        max_seconds: float | None = None,
        tick: Callable[[], None] = lambda: None,
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        """`cancel` asks the server to stop, with a reason; `left` says what is still under way, and how to look at it."""
        self._client = client
        self._cancel = cancel
        self._left = left
        self._max_seconds = max_seconds
        self._tick = tick
        self._note = note
        self._cancelling: asyncio.Task[None] | None = None
        self.halted: str | None = None
        """`interrupted` or `time_limit` when it was ended early."""

    def run(
        self,
        topics: Sequence[str],
        on_event: Callable[[dict[str, Any]], None],
        ready: Callable[[str], Awaitable[None]],
        said: str = "",
    ) -> None:
        """Follow the topics to the end of each; `ready` is awaited before each is subscribed to. `said` is noted once an
        interrupt is no surprise any more."""
        early: list[int] = []
        with _kept(early):
            if said:
                self._note(said)
            asyncio.run(self._follow(topics, on_event, ready, early))

    async def _follow(
        self,
        topics: Sequence[str],
        on_event: Callable[[dict[str, Any]], None],
        ready: Callable[[str], Awaitable[None]],
        early: Sequence[int],
    ) -> None:
        loop = asyncio.get_running_loop()
        following = asyncio.create_task(self._take(topics, on_event, ready))
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._halt, "interrupted", following)
        for _ in early:
            self._halt("interrupted", following)
        limit = loop.call_later(self._max_seconds, self._halt, "time_limit", following) if self._max_seconds else None
        ticking = asyncio.create_task(self._ticks())
        try:
            await following
        except asyncio.CancelledError:
            if self.halted is None:
                raise
            self._note(f"left to the server: {self._left()}")
        finally:
            ticking.cancel()
            if limit is not None:
                limit.cancel()

    async def _take(
        self, topics: Sequence[str], on_event: Callable[[dict[str, Any]], None], ready: Callable[[str], Awaitable[None]]
    ) -> None:
        async for event in self._client.stream(topics, note=self._note, ready=ready).events():
            on_event(event)

    def _halt(self, why: str, following: asyncio.Task[None]) -> None:
        again, self.halted = self.halted is not None, self.halted or why
        if again or self._cancel is None:
            self._client.give_up()
            following.cancel()
            return
        self._note(f"{why.replace('_', ' ')}: cancelling, teardown still runs; Ctrl-C now leaves it alone")
        self._cancelling = asyncio.create_task(asyncio.to_thread(self._cancel, why))
        if why == "time_limit":
            asyncio.get_running_loop().call_later(TEARDOWN_SECONDS, self._halt, why, following)

    async def _ticks(self) -> None:
        while True:
            self._tick()
            await asyncio.sleep(TICK_SECONDS)
