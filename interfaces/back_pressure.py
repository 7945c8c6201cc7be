"""Back-pressure: a request for a run is refused while too many executions wait already."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from domain.errors import Kind, Refusal

LOOK_SECONDS = 1.0
"""How long a count is believed. What this process accepts meanwhile is added to it, what others accept is not."""
RETRY_SECONDS = 5


class QueueFull(Refusal):
    """Too many executions of the workspace wait."""

    kind: Kind = "too_many"
    code = "workspace_queue_full"
    retry_after = RETRY_SECONDS


class QueueFullForAll(QueueFull):
    """Too many executions wait in all."""

    kind = "unavailable"
    code = "queue_full"


class BackPressure:
    """The bounds of one server process. A bound of 0 is none."""

    def __init__(self, count: Callable[[str | None, int], int], most: int, most_of_workspace: int) -> None:
        """`count` says how many wait (of a workspace; None for all), counted up to its second argument."""
        self._count = count
        self._most = most
        self._most_of_workspace = most_of_workspace
        self._known: dict[str | None, tuple[int, float]] = {}
        self._lock = threading.Lock()

    def check(self, workspace: str) -> None:
        """Raise QueueFull when no further execution may wait. Asks the database at most once in LOOK_SECONDS."""
        if self._full(None, self._most):
            raise QueueFullForAll(
                f"{self._most} executions wait already, no more are accepted",
                remedy="ask again later; `testmesh doctor` says why",
            )
        if self._full(workspace, self._most_of_workspace):
            raise QueueFull(
                f"{self._most_of_workspace} executions of this workspace wait already, no more are accepted",
                remedy="ask again later, or cancel what waits",
            )

    def accepted(self, workspace: str) -> None:
        """One more waits."""
        with self._lock:
            for name in (None, workspace):
                if name in self._known:
                    count, at = self._known[name]
                    self._known[name] = (count + 1, at)

    def _full(self, workspace: str | None, most: int) -> bool:
        if not most:
            return False
        with self._lock:
            count, at = self._known.get(workspace, (0, float("-inf")))
        if time.monotonic() - at > LOOK_SECONDS:
            count = self._count(workspace, most)
            with self._lock:
                if len(self._known) > 10_000:
                    self._known.clear()
                self._known[workspace] = (count, time.monotonic())
        return count >= most
