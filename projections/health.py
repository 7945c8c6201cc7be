"""How a projection fares: how much it is given at a time, and when it is tried again after an event it cannot take."""

from __future__ import annotations

import logging
from collections.abc import Callable

import psycopg
from psycopg import errors

from domain.errors import Unavailable

BATCH = 500
"""Events a batch."""
FIRST_PAUSE, LONGEST_PAUSE = 2.0, 30.0
_PASSING_CLASSES = ("08", "40", "53", "55", "57", "58")
"""SQLSTATE classes of what another try may cure: connection, rollback, resources, locks, intervention of an operator."""
logger = logging.getLogger("testmesh.projector")


def is_passing(error: BaseException) -> bool:
    """Whether the database was away or busy, so that the events are not to blame."""
    if isinstance(error, psycopg.InterfaceError | errors.IdleInTransactionSessionTimeout):
        return True
    if not isinstance(error, psycopg.Error):
        return isinstance(error, OSError | Unavailable)
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError)
    return error.sqlstate[:2] in _PASSING_CLASSES


class Health:
    """One projection's. A batch that fails is halved until one event is found guilty; seconds by `clock`."""

    def __init__(self, name: str, clock: Callable[[], float]) -> None:
        self._name = name
        self._clock = clock
        self._pause = FIRST_PAUSE
        self._again = 0.0
        self.limit = BATCH
        self.error = ""

    def is_due(self) -> bool:
        """Whether it may be tried now."""
        return not self.error or self._clock() >= self._again

    def passed(self) -> int:
        """A batch went well: the next may be greater. 1, for progress."""
        if self.error:
            logger.warning("projection %s goes on", self._name)
        self.error, self._pause = "", FIRST_PAUSE
        self.limit = min(self.limit * 2, BATCH)
        return 1

    def pass_all(self) -> None:
        """There is nothing left that it could stumble over."""
        self.passed()
        self.limit = BATCH

    def stumble(self, size: int, told: str) -> int:
        """A batch of `size` events failed: 1 when a smaller one is worth a try, 0 when it stops here."""
        if size > 1:
            self.limit = min(size // 2, BATCH // 2)
            return 1
        if not self.error:
            logger.error("projection %s stopped at %s", self._name, told)
        self._again = self._clock() + self._pause
        self._pause = min(self._pause * 2, LONGEST_PAUSE)
        self.limit, self.error = 1, told
        return 0
