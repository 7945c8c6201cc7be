"""Locks, labels and priorities with real workers over real PostgreSQL and Valkey."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from itertools import accumulate, pairwise
from uuid import UUID

import pytest
import redis

from application import worker_list
from application.executions import Executions
from application.ports import RunCommand
from application.queueing import QueueRules
from domain.execution import Execution
from interfaces.workers.execution_worker import ExecutionWorker
from tests.support.cluster import Cluster, Running
from tests.support.local import flow

pytestmark = pytest.mark.servers


@pytest.fixture
def cluster(database_url: str, valkey_url: str) -> Iterator[Cluster]:
    made = Cluster(database_url, valkey_url)
    yield made
    made.close()


def napping(seconds: float, **more: str) -> str:
    return flow(f"- {{id: nap, action: nap, config: {{seconds: {seconds}}}}}", **more)


def labelled(cluster: Cluster, *labels: str, **options: object) -> ExecutionWorker:
    """A worker with labels."""
    return cluster.worker(labels=labels, **options)


def spans(cluster: Cluster) -> dict[UUID, tuple[int, int]]:
    """Between which positions each execution ran."""
    begun: dict[UUID, int] = {}
    found: dict[UUID, tuple[int, int]] = {}
    for recorded in cluster.log.read(0, 100_000):
        id = recorded.event.originator_id
        if isinstance(recorded.event, Execution.AttemptStarted):
            begun.setdefault(id, recorded.position)
        elif isinstance(recorded.event, Execution.Finished):
            found[id] = (begun[id], recorded.position)
    return found


async def test_flows_with_the_same_lock_never_overlap_on_several_workers_and_leave_room_for_others(cluster: Cluster) -> None:
    locked = [cluster.request(napping(0.05, lock="db")) for _ in range(8)]
    free = [cluster.request(napping(0.05)) for _ in range(4)]
    with cluster.following():
        async with Running(cluster.worker(concurrency=4)), Running(cluster.worker(concurrency=4)):
            for id in [*locked, *free]:
                assert (await cluster.finished(id)).verdict == "passed"
    ran = spans(cluster)
    in_order = [ran[id] for id in locked]
    assert in_order == sorted(in_order), "first come, first served"
    assert all(one[1] < other[0] for one, other in pairwise(in_order))
    assert max(ran[id][1] for id in free) < in_order[-1][0], "those that wait take no place of a worker"


async def test_a_lock_passes_on_quickly(cluster: Cluster) -> None:
    ids = [cluster.request(napping(0.01, lock="db")) for _ in range(10)]
    begun = time.monotonic()
    with cluster.following():
        async with Running(cluster.worker()):
            for id in ids:
                await cluster.finished(id)
    assert time.monotonic() - begun < 5, "the dispatcher calls the next; nobody waits for the sweeper or the slow net"


async def test_an_execution_runs_where_its_labels_are(cluster: Cluster) -> None:
    wants = cluster.request(napping(0.01, config="runs_on: [gpu, region=eu]"))
    with cluster.following():
        async with Running(labelled(cluster, "gpu")):
            other = cluster.request(napping(0.01))
            await cluster.finished(other)
            assert cluster.load(wants).status == "queued"
        able = labelled(cluster, "gpu", "region=eu", "fast")
        async with Running(able):
            assert (await cluster.finished(wants)).verdict == "passed"
    starts = [e for e in cluster.events() if isinstance(e, Execution.AttemptStarted) and e.originator_id == wants]
    assert [start.worker for start in starts] == [able.incarnation]


async def test_a_command_that_comes_to_a_worker_without_the_labels_is_sent_on(cluster: Cluster) -> None:
    wants = cluster.request(napping(0.01, config="runs_on: gpu"))
    cluster.queue.send([RunCommand(wants, 1)])
    with redis.Redis.from_url(cluster.redis_url) as client:
        async with Running(cluster.worker()):
            await cluster.until(lambda: client.xlen("testmesh:run:{0}:gpu:normal") == 1)
        assert cluster.load(wants).status == "queued"
        async with Running(labelled(cluster, "gpu")):
            assert (await cluster.finished(wants)).verdict == "passed"


async def test_a_higher_priority_starts_first_when_a_worker_becomes_free(cluster: Cluster) -> None:
    low, normal, high = (cluster.request(napping(0.01, config=f"priority: {name}")) for name in ("low", "normal", "high"))
    while cluster.dispatcher.step():
        pass
    async with Running(cluster.worker(concurrency=1)):
        for id in (low, normal, high):
            await cluster.finished(id)
    ran = spans(cluster)
    assert sorted((low, normal, high), key=lambda id: ran[id]) == [high, normal, low]


async def test_a_workspace_with_much_to_do_does_not_stand_before_another(cluster: Cluster) -> None:
    cluster.executions = Executions(cluster.log, cluster.payloads, QueueRules(workspace_concurrency=3))
    noisy = [cluster.request(napping(0.1)) for _ in range(24)]
    quiet = [cluster.request(napping(0.1), workspace="quiet") for _ in range(2)]
    with cluster.following():
        async with Running(cluster.worker(concurrency=6)):
            for id in [*noisy, *quiet]:
                assert (await cluster.finished(id)).verdict == "passed"
    ran = spans(cluster)
    moments = sorted([(ran[id][0], 1) for id in noisy] + [(ran[id][1], -1) for id in noisy])
    assert max(accumulate(change for _, change in moments)) == 3
    before = [id for id in noisy if ran[id][0] < max(ran[id][0] for id in quiet)]
    assert len(before) <= 8, "the others of the noisy one wait where they are in nobody's way"


async def test_workers_that_live_are_listed_with_their_labels_until_they_leave(cluster: Cluster) -> None:
    def live() -> list[tuple[str, ...]]:
        with cluster.database.pool.connection() as connection:
            return [worker.labels for worker in worker_list.live(connection)]

    async with Running(labelled(cluster, "gpu")):
        await cluster.until(lambda: live() == [("gpu",)])
    await asyncio.to_thread(live)
    assert live() == []
