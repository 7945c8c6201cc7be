"""Waiting for SIGTERM or SIGINT in the main thread, without a lock that the handler could find held."""

from __future__ import annotations

import os
import select
import signal
from typing import Any, Protocol


class Stop(Protocol):
    """Something to wait for: a threading.Event, or StopSignal."""

    def wait(self, timeout: float | None = None) -> bool:
        """Whether it has come, at the latest after `timeout` seconds."""
        ...


class StopSignal:
    """Set by SIGTERM and SIGINT. A threading.Event would not do: its lock is held in `wait` when the handler runs in
    the same thread, and `set` would wait for it for ever."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._came = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)

    def wait(self, timeout: float | None = None) -> bool:
        """Whether a signal has come, at the latest after `timeout` seconds."""
        if not self._came:
            select.select([self._reader], [], [], timeout)
        return self._came

    def _handle(self, number: int, frame: Any) -> None:
        self._came = True
        try:
            os.write(self._writer, b"!")
        except BlockingIOError:
            return
