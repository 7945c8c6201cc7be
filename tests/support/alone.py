"""Tests marked `alone` depend on time or break a whole system: while one runs, the other processes of the run wait."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Turns:
    """Whose turn it is among the processes of a run: any number of tests together, or one alone.

    Two locks on files (flock(2)), which end with their process. Whoever wants to begin passes the gate first, and the one
    that waits to be alone keeps it shut: it waits for those that run already and for nobody who comes later."""

    def __init__(self, folder: Path) -> None:
        self._gate = (folder / "gate").open("w")
        self._floor = (folder / "floor").open("w")

    @contextmanager
    def take(self, *, alone: bool) -> Iterator[None]:
        """Wait for the turn, and have it."""
        fcntl.flock(self._gate, fcntl.LOCK_EX)
        try:
            fcntl.flock(self._floor, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        finally:
            fcntl.flock(self._gate, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(self._floor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give everything up."""
        self._gate.close()
        self._floor.close()
