"""A run of several processes (pytest-xdist): a test marked `alone` waits for the other processes, and they for it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.support.alone import Turns

_SHARED = "testmesh_turns"


class Parallel:
    """A plugin of every process of a run; it does nothing where there is only one."""

    def __init__(self, config: pytest.Config) -> None:
        told: dict[str, Any] = getattr(config, "workerinput", {})
        self._turns = Turns(Path(told[_SHARED])) if _SHARED in told else None
        self._folder: Path | None = None

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a process that is about to start where the locks are."""
        self._folder = self._folder or Path(tempfile.mkdtemp(prefix="testmesh-turns-"))
        node.workerinput[_SHARED] = str(self._folder)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """A test has its turn, with the fixtures that are made and ended around it."""
        if self._turns is None:
            return (yield)
        with self._turns.take(alone=item.get_closest_marker("alone") is not None):
            return (yield)

    def pytest_unconfigure(self) -> None:
        """Leave nothing behind."""
        if self._turns is not None:
            self._turns.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def alone_last(items: list[pytest.Item]) -> None:
    """Tests that run alone come last, when the other processes have nothing left to do."""
    items.sort(key=lambda item: item.get_closest_marker("alone") is not None)
