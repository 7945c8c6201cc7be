"""Dispatch: from the acceptance of a run to the start of its attempt, on an idle system."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from statistics import median
from typing import Any
from uuid import UUID

import psycopg
import redis.asyncio

from domain.execution import Execution
from tests.benchmarks.ratios import Benchmark, Row, at_most
from tests.benchmarks.servers import durable_postgres, valkey
from tests.support.cluster import Cluster, Running
from tests.support.local import flow

FLOW = flow("- {id: one, action: say, config: {message: hello}}")


def _commit(url: str, rounds: int) -> float:
    """Median seconds of one durable commit of one row."""
    seconds = []
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS bare (at timestamptz)")
        for _ in range(rounds):
            begun = time.perf_counter()
            connection.execute("INSERT INTO bare VALUES (clock_timestamp())")
            seconds.append(time.perf_counter() - begun)
    return median(seconds)


async def _bare_queue(url: str, rounds: int) -> float:
    """Median seconds from XADD to the return of a blocked XREADGROUP."""
    sender, receiver = redis.asyncio.Redis.from_url(url), redis.asyncio.Redis.from_url(url)
    await sender.xgroup_create("bare", "group", id="0", mkstream=True)
    seconds = []
    for _ in range(rounds):
        waiting = asyncio.create_task(_received(receiver))
        await asyncio.sleep(0.005)
        begun = time.perf_counter()
        await sender.xadd("bare", {"x": "y"})
        seconds.append(await waiting - begun)
    await sender.aclose()
    await receiver.aclose()
    return median(seconds)


async def _received(receiver: Any) -> float:
    await receiver.xreadgroup("group", "one", {"bare": ">"}, count=1, block=2000)
    return time.perf_counter()


async def _dispatched(cluster: Cluster, rounds: int) -> float:
    """Median seconds from the accepted request to the recorded start of its attempt, by the clock of this process."""
    seconds = []
    with cluster.following():
        async with Running(cluster.worker(heartbeat=5.0, lease=15.0)):
            await cluster.finished(await asyncio.to_thread(cluster.request, FLOW))
            for _ in range(rounds):
                id = await asyncio.to_thread(cluster.request, FLOW)
                accepted = time.time()
                await cluster.finished(id)
                seconds.append(_started(cluster, id) - accepted)
    return median(seconds)


def _started(cluster: Cluster, id: UUID) -> float:
    events = [event for event in cluster.events() if event.originator_id == id]
    (step,) = [event for event in events if isinstance(event, Execution.StepStarted)]
    return float(step.timestamp.timestamp())


def measure(quick: bool) -> Iterator[Row]:
    """Ratios of medians, one a round."""
    rounds, inside = (1, 15) if quick else (5, 40)
    with durable_postgres() as url, valkey() as queue:
        cluster = Cluster(url, queue)
        commits, waits = [], []
        for _ in range(rounds):
            ours = asyncio.run(_dispatched(cluster, inside))
            commits.append(ours / _commit(url, inside * 3))
            waits.append(ours / asyncio.run(_bare_queue(queue, inside)))
            with redis.Redis.from_url(queue) as client:
                client.delete("bare")
        cluster.close()
    yield Row("request accepted to first step", "one durable commit", tuple(commits), at_most(5.0))
    yield Row("request accepted to first step", "a bare XADD and XREADGROUP", tuple(waits))


BENCHMARK = Benchmark(
    "dispatch",
    "Dispatch",
    "An idle system in one process: log, dispatcher, queue and worker. The time runs from the durable answer to the request to"
    " the start of the first step; two commits and the queue lie between.",
    measure,
)
