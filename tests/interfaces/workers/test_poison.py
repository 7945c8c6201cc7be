"""A flow that kills its worker: it is started three times and no more, each time torn down by another."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from uuid import UUID

import pytest

from domain.execution import Execution
from tests.support.cluster import Cluster
from tests.support.deadly_worker import EXIT_KILLED, deadly_actions
from tests.support.local import finished, flow
from tests.support.tied import tied

pytestmark = pytest.mark.servers
DEADLY = flow(
    "- {id: make, action: say, config: {message: made}, output: {made: $}}\n- {id: dies, action: die}",
    teardown="- {id: down, action: say, config: {message: 'down ${made}'}}",
)
SLOW = flow("- {id: one, action: nap, config: {seconds: 1}}")
HARMLESS = flow("- {id: one, action: say, config: {message: hello}}")


@pytest.fixture
def cluster(database_url: str, valkey_url: str) -> Iterator[Cluster]:
    made = Cluster(database_url, valkey_url, deadly_actions())
    yield made
    made.close()


def supervised(cluster: Cluster, id: UUID, seconds: float) -> list[int]:
    """A worker that is started again whenever it ends, until the execution has finished; the exit codes."""
    argv = [sys.executable, "-m", "tests.support.deadly_worker", cluster.database.url, cluster.redis_url]
    end, codes = time.monotonic() + seconds, []
    worker = subprocess.Popen(tied(*argv))
    try:
        while cluster.load(id).status != "finished":
            assert time.monotonic() < end, cluster.events()
            time.sleep(0.05)
            if worker.poll() is not None:
                codes.append(worker.returncode)
                worker = subprocess.Popen(tied(*argv))
    finally:
        worker.kill()
        worker.wait()
    return codes


def starts(cluster: Cluster, id: UUID) -> list[int]:
    """The attempts that began."""
    events = [event for event in cluster.events() if event.originator_id == id]
    return [event.attempt for event in events if isinstance(event, Execution.AttemptStarted)]


@pytest.mark.row("R9")
def test_a_flow_that_kills_its_worker_is_started_three_times_and_ends_as_worker_lost(cluster: Cluster) -> None:
    deadly = cluster.request(DEADLY)
    with cluster.following(), cluster.sweeping():
        assert supervised(cluster, deadly, 60) == [EXIT_KILLED], "it takes its worker along once, then only its own process"
        after = cluster.request(HARMLESS)
        assert supervised(cluster, after, 30) == []
    mine = [event for event in cluster.events() if event.originator_id == deadly]
    assert starts(cluster, deadly) == [1, 2, 3]
    assert [event.attempt for event in mine if isinstance(event, Execution.TeardownFinished)] == [1, 2, 3]
    assert (finished(mine).verdict, finished(mine).cause) == ("error", "worker_lost")
    assert cluster.load(after).verdict == "passed"


def test_what_runs_beside_flows_that_kill_their_worker_is_lost_once_at_most_and_passes(cluster: Cluster) -> None:
    slow = [cluster.request(SLOW) for _ in range(6)]
    deadly = [cluster.request(DEADLY) for _ in range(2)]
    with cluster.following(), cluster.sweeping():
        codes = [code for id in [*deadly, *slow] for code in supervised(cluster, id, 90)]
    assert [cluster.load(id).verdict for id in slow] == ["passed"] * 6
    assert max(len(starts(cluster, id)) for id in slow) == 2, "the first loss was not theirs, and there is no second"
    assert [starts(cluster, id) for id in deadly] == [[1, 2, 3]] * 2
    assert codes.count(EXIT_KILLED) <= 2
