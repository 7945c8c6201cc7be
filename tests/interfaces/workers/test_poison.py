"""A flow that kills its worker: it is started three times and no more, each time torn down by another."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from uuid import UUID

import pytest

from domain.execution import Execution
from tests.support.cluster import Cluster
from tests.support.deadly_worker import EXIT_KILLED, deadly_actions
from tests.support.events import BY
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
    end, codes = time.monotonic() + seconds, []
    worker = started(cluster)
    try:
        while cluster.load(id).status != "finished":
            assert time.monotonic() < end, cluster.events()
            time.sleep(0.05)
            if worker.poll() is not None:
                codes.append(worker.returncode)
                worker = started(cluster)
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


def started(cluster: Cluster, concurrency: int = 16, children: int = 2, seconds: float = 10.0) -> subprocess.Popen[bytes]:
    """A worker process; `seconds` is how long an execution waits for one of its children."""
    settings = (str(concurrency), str(children), str(seconds))
    argv = [sys.executable, "-m", "tests.support.deadly_worker", cluster.database.url, cluster.redis_url, *settings]
    return subprocess.Popen(tied(*argv))


@pytest.fixture
def workers(cluster: Cluster) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Starts workers that are killed in the end."""
    running: list[subprocess.Popen[bytes]] = []

    def start(**options: float) -> subprocess.Popen[bytes]:
        running.append(started(cluster, **options))
        return running[-1]

    yield start
    for worker in running:
        worker.kill()
        worker.wait()


async def test_what_a_child_does_takes_no_place_of_its_worker(
    cluster: Cluster, workers: Callable[..., subprocess.Popen[bytes]]
) -> None:
    nap = lost(cluster, SLOW.replace("seconds: 1", "seconds: 60"))
    workers(concurrency=1, children=1)
    with cluster.following(), cluster.sweeping():
        await cluster.until(lambda: under_way(cluster, nap), 60)
        beside = cluster.request(HARMLESS)
        assert (await cluster.finished(beside, 30)).verdict == "passed"
        assert cluster.load(nap).status == "running"


async def test_what_finds_every_child_at_work_is_done_by_another_worker(
    cluster: Cluster, workers: Callable[..., subprocess.Popen[bytes]]
) -> None:
    nap = lost(cluster, SLOW.replace("seconds: 1", "seconds: 60"))
    workers(concurrency=4, children=1, seconds=0.5)
    with cluster.following(), cluster.sweeping():
        await cluster.until(lambda: under_way(cluster, nap), 60)
        others = [lost(cluster, HARMLESS) for _ in range(3)]
        beside = cluster.request(HARMLESS)
        assert (await cluster.finished(beside, 30)).verdict == "passed"
        assert [cluster.load(id).status for id in others] == ["queued"] * 3
        workers(concurrency=1, children=1)
        assert [(await cluster.finished(id, 60)).verdict for id in others] == ["passed"] * 3
        assert cluster.load(nap).status == "running"


def lost(cluster: Cluster, text: str) -> UUID:
    """An execution over which a worker was lost."""
    id = cluster.request(text)
    execution = cluster.load(id)
    execution.start_attempt(BY, 1, "gone")
    execution.abandon(BY, 1, "worker_lost")
    cluster.log.put(execution)
    return id


def under_way(cluster: Cluster, id: UUID) -> bool:
    """Whether its second attempt runs."""
    execution = cluster.load(id)
    return execution.attempt == 2 and execution.status == "running"
