"""R4: a worker that was paused writes nothing once it was replaced."""

from __future__ import annotations

import os
import time

import pytest

from tests.chaos.afterwards import wait_for_the_end
from tests.chaos.checker import Event, broken_promises, read_log
from tests.chaos.freezing import Freezing
from tests.chaos.steady_load import SteadyLoad
from tests.chaos.trial import running
from tests.chaos.waits import Waits
from tests.support.figures import Figure

pytestmark = pytest.mark.row("R4")
SEED = 4
LEVEL = 40
"""Executions under way. Each worker has room for all: while one is frozen the other takes what was lost, and what is new."""
WAIT_SECONDS = 2.0
"""The longest that others may wait for what a frozen worker has locked: PostgreSQL ends its transaction after one."""
FLOW = """
flow:
  name: frozen
  setup:
    - {id: make, action: log, config: {message: made}, output: {made: $.message}}
  steps:
    - {id: first, action: delay, config: {duration: "${attempt == 1 ? 1000 + RANDOM_INT % 2000 : 20}ms"}}
    - {id: second, action: delay, config: {duration: "${attempt == 1 ? 1000 + RANDOM_INT % 2000 : 20}ms"}}
  teardown:
    - {id: clean, action: log, config: {message: "clean ${made}"}}
"""
"""Its steps would end while the worker is frozen, so that it has something to write when it goes on. A second attempt is short:
what follows a lost one shares a few processes, and they are to keep up."""


@pytest.mark.long
def test_twenty_attempts_of_frozen_workers_are_replaced(figure: Figure) -> None:
    frozen_attempts(20, figure)


@pytest.mark.nightly
def test_a_thousand_attempts_of_frozen_workers_are_replaced(figure: Figure) -> None:
    frozen_attempts(1_000, figure)


def frozen_attempts(wanted: int, figure: Figure) -> None:
    """Freeze a worker past its lease with work in its hands, let the other take it over, let it go on; again."""
    with running(workers=2, lease=2.0, heartbeat=0.5, concurrency=LEVEL * 2) as system:
        url, begun = system.settings.database_url, time.monotonic()
        load = SteadyLoad(system, LEVEL, {"document": FLOW, "file": "frozen.yaml"})
        with Waits(url) as waits, Freezing(system, SEED) as freezing:
            while len(freezing.fenced) < wanted:
                freezing.round(at_least=LEVEL // 2)
            taken, answered = time.monotonic() - begun, load.stop()
            wait_for_the_end(url, 120)
            log = read_log(url)
            late = sum(_late(log[held.execution], held.worker) for held in freezing.fenced)
            figure(
                f"seed {SEED}: {freezing.told()}; {late} of their writes accepted; {len(answered):,} executions in"
                f" {taken:.0f} s at a load of {os.getloadavg()[0]:.1f}; the longest wait for a lock {waits.lock[0]:.2f} s, the"
                f" longest transaction that stood idle {waits.idle[0]:.2f} s, {waits.deadlocks} deadlocks"
            )
            assert late == 0
            assert freezing.never == []
            assert broken_promises(log, answered) == []
            assert freezing.leases() == []
            assert waits.deadlocks == 0
            assert waits.lock[0] < WAIT_SECONDS, waits.lock
            assert waits.idle[0] < WAIT_SECONDS, waits.idle


def test_a_late_write_would_be_counted() -> None:
    mine, other = {"attempt": 1, "worker": "w"}, {"attempt": 1, "worker": "v", "number": 1}
    events: list[Event] = [
        (1, "attempt_started", mine),
        (2, "step_started", mine),
        (3, "attempt_abandoned", {"attempt": 1, "why": "worker_lost"}),
        (4, "teardown_started", other),
    ]
    assert _late(events, "w") == 0
    assert _late([*events, (5, "step_finished", mine)], "w") == 1
    assert _late([*events, (5, "step_finished", other)], "w") == 0


def _late(events: list[Event], worker: str) -> int:
    """Events of this worker's attempt after the first that was abandoned, unless it claimed anew."""
    late, gone = 0, False
    for _, name, fields in events:
        if name in ("attempt_started", "teardown_started") and fields.get("worker") == worker:
            gone = gone and name == "teardown_started" and not fields["number"]
        elif name == "attempt_abandoned":
            gone = True
        late += gone and fields.get("worker") == worker
    return late
