"""What is looked at when a chaos run is over: everything has ended, and the read models are those of a rebuild."""

from __future__ import annotations

import time

from projections.execution_list import ExecutionList
from projections.projector import Projector
from projections.rebuild import checksum, rebuild
from projections.registry import for_log
from tests.chaos.harness import System


def wait_for_the_end(executions: ExecutionList, expected: int, seconds: float = 90) -> None:
    """Until every execution has ended."""
    end = time.monotonic() + seconds
    while True:
        counts = executions.counts()
        if counts.get("finished", 0) >= expected and set(counts) == {"finished"}:
            return
        assert time.monotonic() < end, f"of {expected} executions: {counts}"
        time.sleep(0.2)


def read_models_equal_a_rebuild(system: System) -> None:
    """The read models, the live feed among them, are what the log says."""
    database = system.platform.readers("executions")
    read = system.platform.logs["executions"].read
    Projector(database.pool, database.connect, "executions", for_log("executions"), read).catch_up()
    for projection in for_log("executions"):
        before = checksum(database.pool, projection)
        rebuild(system.platform.owner("executions").pool, projection, read)
        assert checksum(database.pool, projection) == before, projection.name
