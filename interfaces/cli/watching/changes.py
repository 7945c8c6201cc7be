"""Changes of files, as they happen: new flows in folders, and the files that flows depend on wherever they lie."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

from watchfiles import DefaultFilter, awatch

from domain.errors import Unavailable

QUIET_MS = 100
"""No change for so long makes the changes before it one."""
LONGEST_MS = 1000
_OURS = {"__snapshots__"}


class Filter(DefaultFilter):
    """Not what tools and this program itself write."""

    ignore_dirs = (*DefaultFilter.ignore_dirs, *_OURS)


class Changes:
    """Follows folders with all below them, and single folders; `on_change` gets the paths of each burst of changes."""

    def __init__(self, on_change: Callable[[set[Path]], None]) -> None:
        self._on_change = on_change
        self._tasks: list[asyncio.Task[None]] = []
        self._stop = asyncio.Event()
        self._followed: tuple[frozenset[Path], frozenset[Path]] = (frozenset(), frozenset())

    async def follow(self, folders: Iterable[Path], files: Iterable[Path]) -> None:
        """Follow these from now on; nothing that happens after this returns is missed."""
        deep = frozenset(folder for folder in folders if folder.is_dir())
        above = {file.parent for file in files}
        flat = frozenset(one for one in above if one.is_dir() and not any(one.is_relative_to(folder) for folder in deep))
        if (deep, flat) == self._followed:
            return
        before = self._tasks, self._stop
        self._tasks, self._stop, self._followed = [], asyncio.Event(), (deep, flat)
        for paths, recursive in ((deep, True), (flat, False)):
            if paths:
                await self._begin(paths, recursive)
        await _end(*before)

    async def close(self) -> None:
        """Follow nothing any more."""
        await _end(self._tasks, self._stop)
        self._tasks = []

    async def _begin(self, paths: Iterable[Path], recursive: bool) -> None:
        """Unavailable when the system does not let them be followed."""
        begun = asyncio.Event()
        task = asyncio.create_task(self._watch(paths, recursive, begun))
        await begun.wait()
        if task.done() and (error := task.exception()) is not None:
            raise Unavailable(
                f"the files cannot be watched: {error}", remedy="WATCHFILES_FORCE_POLLING=1 looks at them instead"
            )
        self._tasks.append(task)

    async def _watch(self, paths: Iterable[Path], recursive: bool, begun: asyncio.Event) -> None:
        # awatch is set up within its first step, before it first waits: what is scheduled here comes after that.
        asyncio.get_running_loop().call_soon(begun.set)
        async for changes in awatch(
            *paths,
            watch_filter=Filter(),
            recursive=recursive,
            debounce=LONGEST_MS,
            step=QUIET_MS,
            stop_event=self._stop,
            ignore_permission_denied=True,
        ):
            self._on_change({Path(path) for _, path in changes})


async def _end(tasks: Iterable[asyncio.Task[None]], stop: asyncio.Event) -> None:
    stop.set()
    await asyncio.gather(*tasks, return_exceptions=True)
