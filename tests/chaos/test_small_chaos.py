"""The small chaos lane: some hundred executions while workers, projector, Valkey and PostgreSQL are broken."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from projections.execution_list import ExecutionList
from tests.chaos.afterwards import read_models_equal_a_rebuild, wait_for_the_end
from tests.chaos.checker import broken_promises, crowded, missed_or_doubled, read_log, read_order
from tests.chaos.harness import System
from tests.chaos.watcher import Watcher

pytestmark = pytest.mark.chaos
EXECUTIONS = 300
SEED = int(os.environ.get("TESTMESH_TEST_SEED", "20261124"))


@pytest.fixture
def system() -> Iterator[System]:
    root = Path(tempfile.mkdtemp(prefix="tmc"))
    made = System(root, seed=SEED)
    made.start()
    yield made
    made.close()
    shutil.rmtree(root, ignore_errors=True)


def test_every_accepted_execution_ends_exactly_once_whatever_breaks(system: System) -> None:
    print(f"seed {SEED}")
    enough = threading.Event()
    requesting = threading.Thread(
        target=system.request, args=(EXECUTIONS,), kwargs={"pause": 0.04, "enough": enough}, daemon=True
    )
    requesting.start()
    watcher = Watcher(system.settings.database_url, SEED)
    watcher.start()
    time.sleep(1.5)
    for fault in (
        system.kill_worker,
        system.empty_valkey,
        system.restart_postgres,
        system.freeze_worker,
        system.kill_worker,
        system.kill_projector,
        system.empty_valkey,
        system.kill_worker,
        system.cut_connections,
        system.swallow_acknowledgement,
        system.repeat_deliveries,
    ):
        system.inject(fault)
        time.sleep(0.5)
    enough.set()
    requesting.join()
    log = system.platform.readers("executions")
    wait_for_the_end(ExecutionList(log.pool), len(system.journal.accepted))
    recorded = read_log(system.settings.database_url)
    for seconds, name, proof in system.journal.faults:
        print(f"{name}: {proof} ({seconds} s)")
    assert len(system.journal.faults) == 11
    assert len(system.journal.accepted) > EXECUTIONS * 0.8
    assert broken_promises(recorded, system.journal.accepted) == []
    order = read_order(system.settings.database_url)
    assert sum(bool(fields.get("groups")) for _, _, fields in order) > EXECUTIONS / 20
    assert crowded(order) == []
    assert not set(system.journal.read()) - set(recorded)
    lost = sum(name == "attempt_abandoned" for events in recorded.values() for _, name, _ in events)
    print(f"{len(recorded)} executions, {lost} attempts were lost, {system.journal.refused} requests refused")
    assert lost > 0, "no fault hit a running attempt: the lane proves nothing"
    read_models_equal_a_rebuild(system)
    watcher.finish()
    assert watcher.connections > 20
    assert missed_or_doubled(recorded, watcher.seen) == []
