"""R9: flows that kill their worker cost the others less than a tenth of their throughput.

The others wait in a `delay`, so that the places of the workers bound them and not the processors: without such flows, equal
numbers end in equal times even on a busy machine. What is missing while such flows come, and until nothing is left of them, is
what they cost.
"""

from __future__ import annotations

import os
import time
from datetime import datetime
from statistics import median

import httpx
import pytest

from tests.chaos.checker import Event, read_log
from tests.chaos.clients import Clients
from tests.chaos.harness import System, until
from tests.chaos.trial import running
from tests.support.figures import Figure
from tests.support.killing_server import KillingServer

pytestmark = [pytest.mark.row("R9"), pytest.mark.nightly]
WORKERS, PLACES, NAP = 4, 8, 2
TURN = 10
"""Seconds in which ends are counted."""
EVERY = 2
"""Turns from one flow that kills its worker to the next."""
OTHER = f"flow: {{name: other, steps: [{{id: nap, action: delay, config: {{duration: {NAP}s}}}}]}}"
DEADLY = "flow: {name: deadly, steps: [{id: die, action: http_request, config: {method: GET, url: 'http://ADDRESS/'}}]}"


def ended(events: list[Event]) -> float:
    """When an execution ended; 0 as long as it has not."""
    _, name, fields = events[-1]
    return datetime.fromisoformat(fields["timestamp"]).timestamp() if name == "finished" else 0.0


def kill(http: httpx.Client, system: System, address: str) -> None:
    """Request a flow that kills its worker, before all that waits."""
    body = {"document": DEADLY.replace("ADDRESS", address), "priority": "high"}
    http.post(system.path("/executions"), json=body).raise_for_status()


def measure(kills: int, figure: Figure) -> None:
    """Two turns without; those with and one for what is left of them; two turns without."""
    killing = KillingServer()
    first, last = 2, 2 + kills * EVERY
    # As in an installed system, a process that starts again finds its modules compiled; ops/test forbids that elsewhere.
    environ = {"PYTHONDONTWRITEBYTECODE": "", "TESTMESH_EGRESS_ALLOW": killing.address}
    with running(workers=WORKERS, concurrency=PLACES, **environ) as system:
        feeding = Clients(system, count=4, body={"document": OTHER})
        feeding.start(1_000_000, pause=0.15)
        until(lambda: feeding.answers["202"] > 5 * WORKERS * PLACES, "the queue to fill", 60)
        load, begun = os.getloadavg()[0], time.time()
        with system.client() as http:
            for turn in range(first, last, EVERY):
                time.sleep(max(0.0, begun + turn * TURN - time.time()))
                kill(http, system, killing.address)
        time.sleep(max(0.0, begun + (last + 3) * TURN - time.time()))
        feeding.stop()
        feeding.join()
        log = read_log(system.settings.database_url)
    killing.close()
    ends = [ended(events) for events in log.values() if events[0][2]["flow_name"] == "other"]
    turns = [sum(begun + n * TURN <= moment < begun + (n + 1) * TURN for moment in ends) for n in range(last + 3)]
    without, with_them = [*turns[:first], *turns[last + 1 :]], turns[first : last + 1]
    missing = (median(without) * len(with_them) - sum(with_them)) / kills
    ratio = 1 - missing / (median(without) * EVERY)
    lost = sum(any(name == "attempt_abandoned" for _, name, _ in events) for events in log.values())
    figure(
        f"{WORKERS} workers with {PLACES} places each, {kills} flows that kill their worker, one each {EVERY * TURN} s: others"
        f" ended in {TURN} s {without} without, {with_them} with and after: {ratio:.1%} of their throughput is left; each such"
        f" flow costs what one place does in {missing * NAP:.0f} s; {lost - kills} of the others lost an attempt; load of the"
        f" machine {load:.1f} before, {os.getloadavg()[0]:.1f} after"
    )
    deadly = [events for events in log.values() if events[0][2]["flow_name"] == "deadly"]
    starts = [sum(name == "attempt_started" for _, name, _ in events) for events in deadly]
    assert len(starts) == kills
    assert (starts, len(killing.killed)) == ([3] * kills, 3 * kills), "each start is to kill, or this proves nothing"
    assert median(without) > 0.95 * WORKERS * PLACES * TURN / NAP, "the machine is too busy: the places do not bound the others"
    assert ratio > 0.9


def test_flows_that_kill_their_worker_cost_the_others_less_than_a_tenth(figure: Figure) -> None:
    measure(4, figure)
