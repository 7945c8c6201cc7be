"""Following what a server runs: to its end, to an interrupt, and to some time after its time limit whatever happens."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from interfaces.cli.client import Client
from interfaces.cli.credentials import Credentials
from interfaces.cli.running import remote_following
from interfaces.cli.running.remote_following import Following


class Endless(Client):
    """A server whose run never ends; it is asked to stop in vain."""

    def __init__(self) -> None:
        super().__init__(Credentials("http://127.0.0.1:1", "k"))
        self.asked: list[str] = []
        self.notes: list[str] = []

    def stream(self, *args: Any, **options: Any) -> Any:
        """Nothing comes."""

        class Silent:
            async def events(self) -> AsyncIterator[dict[str, Any]]:
                await asyncio.Event().wait()
                yield {}

        return Silent()

    def follow(self, *, cancels: bool = True, **options: Any) -> Following:
        """To its end; how it was halted."""
        cancel = self.asked.append if cancels else None
        following = Following(self, cancel, lambda: "run 7", note=self.notes.append, **options)
        following.run(["a"], lambda event: None, self._ready)
        return following

    async def _ready(self, topic: str) -> None:
        return


@pytest.fixture
def endless() -> Endless:
    return Endless()


def test_a_time_limit_cancels_and_leaves_what_does_not_end(endless: Endless, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_following, "TEARDOWN_SECONDS", 0.1)
    assert endless.follow(max_seconds=0.1).halted == "time_limit"
    assert endless.asked == ["time_limit"]
    assert endless.notes[-1] == "left to the server: run 7"


def test_the_second_interrupt_leaves_it(endless: Endless) -> None:
    for seconds in (0.3, 0.6):
        threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT)).start()
    assert endless.follow().halted == "interrupted"
    assert endless.asked == ["interrupted"]
    assert endless.notes[-1] == "left to the server: run 7"


def test_where_nothing_is_cancelled_the_first_interrupt_leaves_it(endless: Endless) -> None:
    before = signal.getsignal(signal.SIGINT)
    threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
    assert endless.follow(cancels=False).halted == "interrupted"
    assert (endless.asked, endless.notes) == ([], ["left to the server: run 7"])
    assert signal.getsignal(signal.SIGINT) is before
