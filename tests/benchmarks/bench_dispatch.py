"""Dispatching on an idle system: from the accepted request to the start of its attempt, and the queue alone."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from multiprocessing import get_context
from statistics import median
from typing import Any
from uuid import uuid4

import psycopg
import redis.asyncio

from application.database import Database
from application.dispatch import Dispatcher
from application.engine.action import Action, ActionContext
from application.event_store import PostgresLog
from application.ports import RunCommand
from domain.execution import Execution
from interfaces.adapters.redis_command_queue import RedisCommandQueue
from interfaces.adapters.redis_deliveries import RedisDeliveries
from tests.benchmarks.ratios import Benchmark, Row, at_least, at_most
from tests.benchmarks.servers import durable_postgres, valkey
from tests.support.cluster import Cluster, Running

Process = get_context("spawn").Process
FLOW = "flow:\n  name: one step\n  steps:\n    - id: only\n      action: mark\n"
_ONE = "INSERT INTO public.bare (originator_id, originator_version, topic, state) VALUES (%s, 1, 'x', %s)"
BACKLOG = 2000


class Watcher:
    """Notes on a thread of its own when each position of the log was announced, which happens at the commit."""

    def __init__(self, database: Database) -> None:
        self.seen: list[tuple[float, int]] = []
        self._connection = database.connect()
        self._connection.execute("LISTEN testmesh_executions")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def at(self, position: int) -> float | None:
        """When this position was recorded, on the clock of time.perf_counter."""
        return next((moment for moment, reached in self.seen if reached >= position), None)

    def close(self) -> None:
        """Stop noting."""
        self._stop.set()
        self._thread.join()
        self._connection.close()

    def _watch(self) -> None:
        while not self._stop.is_set():
            for notice in self._connection.notifies(timeout=0.2, stop_after=1):
                self.seen.append((time.perf_counter(), int(notice.payload)))


class Idle:
    """A system with one worker and nothing to do; its only action notes when it is called."""

    def __init__(self, database_url: str, redis_url: str) -> None:
        self.marks: asyncio.Queue[float] = asyncio.Queue()
        self.cluster = Cluster(database_url, redis_url, {"mark": Action("mark", {}, self._mark)})
        self.bare = self.cluster.database.connect()
        self.bare.execute("CREATE TABLE public.bare (LIKE executions.events INCLUDING ALL)")

    async def start(self, watcher: Watcher) -> tuple[float, float]:
        """Seconds from the acceptance of a run to AttemptStarted in the log, and to the call of the first action."""
        id = self.cluster.request(FLOW)
        accepted = time.perf_counter()
        called = await asyncio.wait_for(self.marks.get(), 5)
        await self.cluster.finished(id)
        found = [r.position for r in self.cluster.log.read(0, 100_000, (Execution.AttemptStarted.TOPIC,))]
        await self.cluster.until(lambda: watcher.at(found[-1]) is not None)
        recorded = watcher.at(found[-1])
        assert recorded is not None
        return recorded - accepted, called - accepted

    def commit(self) -> float:
        """Seconds of one durable commit of one event: the median of five."""
        return median(_timed(self.bare) for _ in range(5))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Watcher]:
        """The dispatcher and a worker at work, watched."""
        watcher = Watcher(self.cluster.database)
        try:
            with _dispatcher(self.cluster.database.url, self.cluster.redis_url):
                async with Running(self.cluster.worker(heartbeat=5.0, lease=20.0)):
                    yield watcher
        finally:
            watcher.close()

    def close(self) -> None:
        """Close everything."""
        self.bare.close()
        self.cluster.close()

    async def _mark(self, config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        self.marks.put_nowait(time.perf_counter())
        return {}


@contextmanager
def _dispatcher(database_url: str, redis_url: str) -> Iterator[None]:
    """The dispatcher in a process of its own, as it is deployed."""
    process = Process(target=_dispatch, args=(database_url, redis_url), daemon=True)
    process.start()
    try:
        yield
    finally:
        process.terminate()
        process.join()


def _dispatch(database_url: str, redis_url: str) -> None:
    Dispatcher(PostgresLog("executions", Database(database_url)), RedisCommandQueue(redis_url)).run(threading.Event())


def _timed(connection: psycopg.Connection[Any]) -> float:
    begun = time.perf_counter()
    connection.execute(_ONE, (uuid4(), b"x" * 600))
    return time.perf_counter() - begun


async def _starts(database_url: str, redis_url: str, times: int) -> list[tuple[float, float, float, float]]:
    """(recorded, called, a commit, a hop of the bare queue) in seconds, one after the other on the same servers."""
    idle = Idle(database_url, redis_url)
    try:
        async with idle.running() as watcher, _bare_queue(redis_url) as hop:
            found = []
            for _ in range(times + 3):
                await asyncio.sleep(0.03)
                found.append((*await idle.start(watcher), idle.commit(), await hop()))
            return found[3:]
    finally:
        idle.close()


Hop = Callable[[], Awaitable[float]]


@asynccontextmanager
async def _bare_queue(url: str) -> AsyncIterator[Hop]:
    """A reader that waits in XREADGROUP; the function gives the seconds from XADD to its answer."""
    client, stream = redis.asyncio.Redis.from_url(url), f"bare-{uuid4()}"
    await client.xgroup_create(stream, "g", id="0", mkstream=True)

    async def hop() -> float:
        reading = asyncio.create_task(client.xreadgroup("g", "me", {stream: ">"}, count=16, block=2000))
        await asyncio.sleep(0.005)
        begun = time.perf_counter()
        await client.xadd(stream, {"execution": "x" * 36, "attempt": "1"})
        await reading
        return time.perf_counter() - begun

    try:
        yield hop
    finally:
        await client.aclose()


@asynccontextmanager
async def _our_queue(url: str) -> AsyncIterator[Hop]:
    """The same through the platform's queue."""
    sender, receiver = RedisCommandQueue(url), RedisDeliveries(url, "me")
    await receiver.receive(1, 1)

    async def hop() -> float:
        reading = asyncio.create_task(receiver.receive(16, 2000))
        await asyncio.sleep(0.005)
        begun = time.perf_counter()
        sender.send([RunCommand(uuid4(), 1)])
        (delivery,) = await reading
        seconds = time.perf_counter() - begun
        await receiver.done(delivery)
        return seconds

    try:
        yield hop
    finally:
        sender.close()
        await receiver.leave()


async def _hops(url: str, times: int) -> list[float]:
    async with _our_queue(url) as ours, _bare_queue(url) as bare:
        pairs = [(await ours(), await bare()) for _ in range(times + 3)]
    return [one / other for one, other in pairs[3:]]


async def _drain(url: str) -> float:
    """Commands a second of a backlog read in hundreds, ours over bare reads; acknowledgements are apart."""
    sender, receiver, client = RedisCommandQueue(url), RedisDeliveries(url, "me"), redis.asyncio.Redis.from_url(url)
    await client.flushall()
    await receiver.receive(1, 1)
    await client.xgroup_create("bare", "g", id="0", mkstream=True)
    sender.send([RunCommand(uuid4(), 1) for _ in range(BACKLOG)])
    async with client.pipeline(transaction=False) as pipe:
        for _ in range(BACKLOG):
            pipe.xadd("bare", {"execution": str(uuid4()), "attempt": "1", "kind": "attempt", "number": "0"})
        await pipe.execute()
    ours = await _seconds(lambda: receiver.receive(100, 1))
    bare = await _seconds(lambda: client.xreadgroup("g", "me", {"bare": ">"}, count=100))
    sender.close()
    await receiver.leave()
    await client.aclose()
    return bare / ours


async def _seconds(read: Callable[[], Awaitable[Any]]) -> float:
    begun = time.perf_counter()
    for _ in range(BACKLOG // 100):
        assert await read(), "the backlog ended early"
    return time.perf_counter() - begun


def measure(quick: bool) -> Iterator[Row]:
    """The whole way, then the queue alone."""
    with durable_postgres() as database_url, valkey() as redis_url:
        found = asyncio.run(_starts(database_url, redis_url, 30 if quick else 200))
        recorded = tuple(r / commit for r, _, commit, _ in found)
        called = tuple(c / commit for _, c, commit, _ in found)
        yield Row("request accepted to AttemptStarted recorded", "one durable commit", recorded, at_most(5))
        yield Row("request accepted to the first action's call", "one durable commit", called, at_most(5))
        whole = tuple(r / hop for r, _, _, hop in found)
        yield Row("request accepted to AttemptStarted recorded", "XADD to XREADGROUP, bare", whole)
        hops = asyncio.run(_hops(redis_url, 50 if quick else 300))
        yield Row("the queue alone, sent to received", "XADD to XREADGROUP, bare", tuple(hops), at_most(1.5))
        drains = tuple(asyncio.run(_drain(redis_url)) for _ in range(3 if quick else 9))
        yield Row("commands/s of a backlog", "bare reads of 100", drains, at_least(0.5))


BENCHMARK = Benchmark(
    "dispatch",
    "From request to start",
    "A dispatcher, and one worker beside whoever asks, each in a process, over real servers; one run at a time."
    " A commit is a bare INSERT of one row of 600 bytes, the median of five beside each run. The moment of a record is that of"
    " its notification. The bare queue is redis-py's asynchronous client with one reader waiting.",
    measure,
)
