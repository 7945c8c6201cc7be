"""The coordinator of suite runs in the role `scheduler`: one of all is at work, by an advisory lock, to save work alone."""

from __future__ import annotations

from uuid import UUID

from application.coordinating import Coordinator
from interfaces.bootstrap import Platform
from interfaces.locks import AdvisoryLock
from interfaces.workers.followers import Single
from projections.positions import position
from projections.suite_run_list import SuiteRunList, SuiteRunListProjection


def coordinating(platform: Platform) -> Single:
    """The coordinator, which begins when it holds the lock."""
    database = platform.database("executions")
    listed = SuiteRunList(database.pool)

    def open() -> tuple[int, list[UUID]]:
        """First how far the read model has come, then what it holds: what it does not have stands behind that."""
        reached = position(database.pool, "executions", SuiteRunListProjection.name)
        return reached, listed.open()

    coordinator = Coordinator(platform.logs["executions"], platform.payloads("executions"), open)
    return Single(database.connect, AdvisoryLock.COORDINATOR, "coordinator", coordinator.run)
