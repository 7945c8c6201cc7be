"""A watch under way: one run at a time, each in a process of its own, and what there is to do after it."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from interfaces.cli.errors import ExitCode
from interfaces.cli.terminal import Paint, one_line, say
from interfaces.cli.watching.changes import Changes
from interfaces.cli.watching.watched import Watched

_CLEAR = "\x1b[2J\x1b[3J\x1b[H"
_SHOWN = 5


class Watching:
    """Runs what changed, what was asked for by a key, and at first everything."""

    def __init__(self, paths: Sequence[str], words: Sequence[str], options: Mapping[str, Any], keys: bool) -> None:
        """`words` are the options of each run as on a command line; with `keys` standard input is a terminal."""
        self._paths = paths
        self._words = words
        self._keys = keys
        self._watched = Watched(paths, options)
        self._changes: set[Path] = set()
        self._wanted: str | None = "all"
        self._over = False
        self._news = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._code: int = ExitCode.NOTHING

    async def watch(self) -> int:
        """Until Ctrl-C or `q`; the exit code of the last run."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._end)
        changes = Changes(self._changed)
        self._news.set()
        with self._listening():
            try:
                await changes.follow(self._watched.folders, self._watched.files)
                while not self._over:
                    await self._news.wait()
                    self._news.clear()
                    await self._turn()
                    await changes.follow(self._watched.folders, self._watched.files)
            finally:
                await changes.close()
        return self._code

    async def _turn(self) -> None:
        """One run, if there is something to run."""
        wanted, self._wanted = self._wanted, None
        changes, self._changes = self._changes, set()
        changed = self._watched.changed(changes) if changes else []
        if self._over:
            return
        if wanted == "all":
            await self._run("everything", self._paths)
        elif wanted == "failed":
            await self._run("what failed last time", ["--last-failed", *self._paths])
        elif changed:
            seen = sorted(_shown(path) for path in changes & self._watched.files) or changed
            await self._run(f"changed: {_names(seen)}", self._chosen(changed))

    def _chosen(self, changed: Sequence[str]) -> Sequence[str]:
        """The changed flows; a FILE:LINE of the command line keeps its line."""
        narrowed = {path.rpartition(":")[0]: path for path in self._paths if path.rpartition(":")[2].isdecimal()}
        return [narrowed.get(name, name) for name in changed]

    async def _run(self, why: str, paths: Sequence[str]) -> None:
        if sys.stdout.isatty():
            say(_CLEAR, sys.stdout, end="")
        paint = Paint(sys.stderr)
        say(paint(f"── {one_line(why)}", "1"), sys.stderr)
        # In a process group of its own: Ctrl-C comes to it once, from here, and teardown runs.
        argv = [sys.executable, "-P", "-m", "interfaces.cli.main", "run", *self._words, *paths]
        self._process = await asyncio.create_subprocess_exec(*argv, stdin=asyncio.subprocess.DEVNULL, process_group=0)
        self._code = await self._process.wait()
        self._process = None
        if not self._over:
            count = len(self._watched.files)
            keys = "; Enter runs all, f what failed, q ends" if self._keys else ""
            say(paint(f"── exit code {self._code}; watching {count} file{'s' * (count != 1)}{keys}", "2"), sys.stderr)

    def _changed(self, paths: set[Path]) -> None:
        self._changes |= paths
        self._news.set()

    def _end(self) -> None:
        """End after the run under way, which is cancelled and tears down; told again, it ends at once."""
        self._over = True
        self._news.set()
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(signal.SIGINT)

    def _pressed(self) -> None:
        import os

        for key in os.read(sys.stdin.fileno(), 64).decode(errors="replace"):
            if key in "\r\n":
                self._wanted = "all"
            elif key in "fF":
                self._wanted = "failed"
            elif key in "qQ\x04":
                self._end()
        self._news.set()

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Keys come one by one, and are not shown; afterwards the terminal is as it was."""
        if not self._keys:
            yield
            return
        import termios
        import tty

        stdin = sys.stdin.fileno()
        before = termios.tcgetattr(stdin)
        tty.setcbreak(stdin)
        asyncio.get_running_loop().add_reader(stdin, self._pressed)
        try:
            yield
        finally:
            asyncio.get_running_loop().remove_reader(stdin)
            termios.tcsetattr(stdin, termios.TCSADRAIN, before)


def _shown(path: Path) -> str:
    here = Path.cwd()
    return path.relative_to(here).as_posix() if path.is_relative_to(here) else str(path)


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
