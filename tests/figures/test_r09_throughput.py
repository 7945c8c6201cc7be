"""R9: flows that kill their worker cost the others less than a tenth of their throughput.

The others wait in a `delay`, so that the places of the workers bound them and not the processors: without such flows, equal
numbers end in equal times even on a busy machine. What is missing while such flows come, and until nothing is left of them, is
what they cost.
"""

from __future__ import annotations

import os
import time
from datetime import datetime
from pathlib import Path
from statistics import median

import httpx
import pytest

from tests.chaos.checker import Event, read_log
from tests.chaos.clients import Clients
from tests.chaos.harness import System, until
from tests.chaos.trial import running
from tests.support.figures import Figure
from tests.support.plugins import leave_installed

pytestmark = [pytest.mark.row("R9"), pytest.mark.long]
WORKERS, PLACES = 4, 8
EACH = 10
"""Seconds from one flow that kills its worker to the next, of a turn without them, and of what is counted after the last."""
KILLED = 77
DIE = f"""
import os
from application.engine.action import Action

async def run(config, context):
    os._exit({KILLED})

DIE = Action(name="test.die", keys={{}}, run=run)
"""
OTHER = "flow: {name: other, steps: [{id: nap, action: delay, config: {duration: 2s}}]}"
DEADLY = "flow: {name: deadly, steps: [{id: die, action: test.die, config: {}}]}"


def ended(events: list[Event]) -> float:
    """When an execution ended; 0 as long as it has not."""
    _, name, fields = events[-1]
    return datetime.fromisoformat(fields["timestamp"]).timestamp() if name == "finished" else 0.0


def kill(http: httpx.Client, system: System) -> None:
    """Request a flow that kills its worker, before all that waits."""
    http.post(system.path("/executions"), json={"document": DEADLY, "priority": "high"}).raise_for_status()


def measure(packages: Path, kills: int, figure: Figure) -> None:
    """Two turns without, `kills` turns with, one for what is left of them, two turns without."""
    leave_installed(packages, "deadly", DIE, test__die="DIE")
    with running(workers=WORKERS, concurrency=PLACES, packages=packages) as system:
        feeding = Clients(system, count=4, body={"document": OTHER})
        feeding.start(1_000_000, pause=0.15)
        until(lambda: feeding.answers["202"] > 5 * WORKERS * PLACES, "the queue to fill", 60)
        load, begun = os.getloadavg()[0], time.time()
        with system.client() as http:
            for turn in range(kills + 5):
                time.sleep(max(0.0, begun + turn * EACH - time.time()))
                if 2 <= turn < 2 + kills:
                    kill(http, system)
        time.sleep(max(0.0, begun + (kills + 5) * EACH - time.time()))
        feeding.stop()
        feeding.join()
        log = read_log(system.settings.database_url)
        processes = len({worker.process.pid for worker in system.workers if worker.process is not None})
    ends = [ended(events) for events in log.values() if events[0][2]["flow_name"] == "other"]
    turns = [sum(begun + n * EACH <= moment < begun + (n + 1) * EACH for moment in ends) for n in range(kills + 5)]
    without, with_them = [*turns[:2], *turns[-2:]], turns[2:-2]
    missing = median(without) * len(with_them) - sum(with_them)
    ratio = 1 - missing / (median(without) * kills)
    lost = {id for id, events in log.items() if any(name == "attempt_abandoned" for _, name, _ in events)}
    figure(
        f"{WORKERS} workers with {PLACES} places each, {kills} flows that kill their worker, one each {EACH} s: others ended in"
        f" {EACH} s {without} without, {with_them} with: {ratio:.1%} of their throughput is left; {len(lost) - kills} of them"
        f" lost an attempt; load of the machine {load:.1f} before, {os.getloadavg()[0]:.1f} after"
    )
    assert processes == WORKERS
    deadly = [events for events in log.values() if events[0][2]["flow_name"] == "deadly"]
    assert [events[-1][2].get("cause") for events in deadly[:-1]] == ["worker_lost"] * (kills - 1), "they did not kill"
    assert ratio > 0.9


def test_flows_that_kill_their_worker_cost_the_others_less_than_a_tenth(tmp_path: Path, figure: Figure) -> None:
    measure(tmp_path, 4, figure)


@pytest.mark.nightly
def test_many_flows_that_kill_their_worker_cost_the_others_less_than_a_tenth(tmp_path: Path, figure: Figure) -> None:
    measure(tmp_path, 20, figure)
