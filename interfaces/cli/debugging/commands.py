"""Lines that somebody types, or that a pipe brings, while the event loop goes on."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

_CHUNK = 65536


class Commands:
    """Lines of standard input, each read in a thread that holds nothing when the program ends meanwhile."""

    def __init__(self) -> None:
        self._terminal = sys.stdin.isatty()
        self._buffer = b""
        self._pending: asyncio.Future[str | None] | None = None
        self._before = _terminal_mode() if self._terminal else None
        if self._terminal:
            with suppress(ImportError):
                import readline  # noqa: F401 - it gives input() a history and line editing

    async def line(self, prompt: str) -> str | None:
        """The next line; None at the end of the input. Who waits may be cancelled: the line is then the next one's."""
        if self._pending is None:
            loop = asyncio.get_running_loop()
            self._pending = loop.create_future()
            threading.Thread(target=self._read, args=(prompt, loop, self._pending.set_result), daemon=True).start()
        elif self._terminal:
            print(f"\n{prompt}", end="", flush=True)
        line = await asyncio.shield(self._pending)
        self._pending = None
        return line

    def close(self) -> None:
        """Leave the terminal as it was found: a prompt that was cut off cannot do that itself."""
        if self._before is not None:
            import termios

            termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, self._before)

    def _read(self, prompt: str, loop: asyncio.AbstractEventLoop, settle: Callable[[str | None], None]) -> None:
        line = self._typed(prompt) if self._terminal else self._piped()
        try:
            loop.call_soon_threadsafe(settle, line)
        except RuntimeError:
            return  # the loop has ended: nobody waits for this line

    def _typed(self, prompt: str) -> str | None:
        try:
            return input(prompt)
        except (EOFError, OSError, KeyboardInterrupt):
            return None

    def _piped(self) -> str | None:
        """Read below Python's buffers, whose lock a thread that waits would still hold at the end of the program."""
        while b"\n" not in self._buffer:
            try:
                chunk = os.read(0, _CHUNK)
            except OSError:
                chunk = b""
            if not chunk:
                rest, self._buffer = self._buffer, b""
                return rest.decode(errors="replace") if rest else None
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode(errors="replace")


def _terminal_mode() -> list[Any] | None:
    import termios

    try:
        return termios.tcgetattr(sys.stdin.fileno())
    except (termios.error, ValueError):
        return None
