"""R5: an action that blocks its worker's event loop costs the worker, and the others in it some seconds."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

import pytest

from application.leases import HEARTBEAT_SECONDS, LEASE_SECONDS
from application.sweeper import Sweeper
from domain.execution import Execution
from interfaces.workers.heartbeat import DEAD_SECONDS, EXIT_STUCK, STUCK_SECONDS
from tests.support.cluster import Cluster
from tests.support.deadly_worker import deadly_actions
from tests.support.figures import Figure
from tests.support.local import flow
from tests.support.tied import tied

pytestmark = [pytest.mark.servers, pytest.mark.row("R5"), pytest.mark.long]
BLOCKS = flow("- {id: one, action: say, config: {message: hello}}\n- {id: stands, action: block}")
NAPS = flow("- {id: nap, action: nap, config: {seconds: 120}}")
BESIDE = 6


@pytest.fixture
def cluster(database_url: str, valkey_url: str) -> Iterator[Cluster]:
    """Leases are as long as by default."""
    made = Cluster(database_url, valkey_url, deadly_actions())
    made.sweeper = Sweeper(made.log, made.queue, lambda: [], lambda head: True)
    yield made
    made.close()


def started(cluster: Cluster) -> subprocess.Popen[str]:
    """A worker process with the default heartbeat; what it says comes by stderr."""
    settings = ("16", "8", "10", f"{HEARTBEAT_SECONDS:g}", f"{LEASE_SECONDS:g}")
    argv = [sys.executable, "-m", "tests.support.deadly_worker", cluster.database.url, cluster.redis_url, *settings]
    return subprocess.Popen(tied(*argv), stderr=subprocess.PIPE, text=True)


def began(cluster: Cluster, id: UUID, attempt: int) -> float:
    """When an attempt began; 0 when it did not."""
    events = [event for event in cluster.events() if event.originator_id == id and isinstance(event, Execution.AttemptStarted)]
    moments: list[datetime] = [event.timestamp for event in events if event.attempt == attempt]
    return moments[0].timestamp() if moments else 0.0


async def test_a_blocked_loop_ends_its_worker_and_the_others_are_taken_over_within_thirty_seconds(
    cluster: Cluster, figure: Figure
) -> None:
    beside = [cluster.request(NAPS) for _ in range(BESIDE)]
    with started(cluster) as stuck, cluster.following(), cluster.sweeping():
        await cluster.until(lambda: all(began(cluster, id, 1) for id in beside), 30)
        blocking = cluster.request(BLOCKS)
        await cluster.until(lambda: bool(began(cluster, blocking, 1)), 10)
        with started(cluster) as other:
            try:
                code = stuck.wait(30)
                ended = time.time() - began(cluster, blocking, 1)
                await cluster.until(lambda: all(began(cluster, id, 2) for id in beside), 40)
            finally:
                for worker in (stuck, other):
                    worker.kill()
        said = stuck.stderr.read() if stuck.stderr else ""
    took = sorted(began(cluster, id, 2) - began(cluster, blocking, 1) for id in beside)
    figure(
        f"a step that blocks the loop: exit {code} after {ended:.1f} s; {BESIDE} others go on after {took[-1]:.1f} s at most"
    )
    assert code == EXIT_STUCK
    assert STUCK_SECONDS < DEAD_SECONDS - 0.5 <= ended <= DEAD_SECONDS + 3, "from the last sign of life on, shortly before"
    assert "the event loop has stood still for 5." in said
    assert "(stands)" in said, "the step that runs is named"
    assert took[-1] <= 30.0
