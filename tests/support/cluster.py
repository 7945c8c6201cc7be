"""A small system in one process over real servers: log, queue, dispatcher, sweeper, and workers as tasks."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any
from uuid import UUID

import redis

from application.attempts import Tools
from application.bundles import Bundle
from application.database import Database
from application.dispatch import Dispatcher
from application.engine.action import Action
from application.event_store import PostgresLog
from application.executions import Executions, RunRequest
from application.flow_documents import read_flow
from application.folders import Folders
from application.log import VersionConflict
from application.payloads import SealedPayloads
from application.sweeper import Sweeper
from domain.execution import Execution
from interfaces.adapters.redis_command_queue import RedisCommandQueue
from interfaces.adapters.redis_deliveries import RedisDeliveries
from interfaces.workers.execution_worker import ExecutionWorker
from tests.support.local import BY, Anywhere, Calls, small_actions


class Cluster:
    """The parts of the system that tests need; `worker()` makes as many workers as wanted."""

    def __init__(
        self, database_url: str, redis_url: str, actions: Mapping[str, Action] | None = None, *, clean: bool = True
    ) -> None:
        """`clean` empties the queue first."""
        self.redis_url = redis_url
        with redis.Redis.from_url(redis_url) as client:
            for key in client.scan_iter("testmesh:*") if clean else ():
                client.delete(key)
        self.calls = Calls([])
        self.actions = actions or small_actions(self.calls)
        self.database = Database(database_url, size=8)
        self.log = PostgresLog("executions", self.database)
        self.payloads = SealedPayloads(self.database, "executions", b"\x01\x02" * 16)
        self.executions = Executions(self.log, self.payloads)
        self.queue = RedisCommandQueue(redis_url)
        self.dispatcher = Dispatcher(self.log, self.queue)
        self.sweeper = Sweeper(self.log, self.queue, lambda: [], lambda head: True, lease_seconds=1.0)
        self.tools = Tools(self.log, self.payloads, self.actions, Anywhere(), b"k" * 32, folders=Folders())

    def request(self, text: str, key: str | None = None, workspace: str = "w", **files: str) -> UUID:
        """Accept a run of a flow that names these files."""
        definition, _ = read_flow(text, file="f.yaml", actions=self.actions)
        bundle = Bundle("f.yaml", {name: content.encode() for name, content in files.items()})
        return self.executions.request(BY, RunRequest(workspace, definition, text, idempotency_key=key, bundle=bundle))[0]

    def worker(self, **options: Any) -> ExecutionWorker:
        """A worker that is not started yet."""
        return ExecutionWorker(
            self.tools,
            self.database.connect,
            lambda incarnation: RedisDeliveries(self.redis_url, incarnation, labels=options.get("labels", ())),
            **{"heartbeat": 0.2, "lease": 1.0, "drain": 0.2, **options},
        )

    def load(self, id: UUID) -> Execution:
        """The execution as it is recorded."""
        return self.log.load(Execution, id)

    def abandon(self, id: UUID) -> None:
        """Give up the first attempt, as the sweeper does: again when its worker has recorded something in between."""
        while True:
            execution = self.load(id)
            execution.abandon(BY, 1, "worker_lost")
            with suppress(VersionConflict):
                self.log.put(execution)
                return

    def events(self) -> list[Any]:
        """All events in order."""
        return [recorded.event for recorded in self.log.read(0, 100_000)]

    async def until(self, holds: Callable[[], bool], seconds: float = 10.0) -> None:
        """Wait for something, in small steps; AssertionError when it never comes."""
        end = time.monotonic() + seconds
        while not await asyncio.to_thread(holds):
            assert time.monotonic() < end, "it did not happen in time"
            await asyncio.sleep(0.01)

    async def finished(self, id: UUID, seconds: float = 10.0) -> Execution:
        """Wait for the end of an execution."""
        await self.until(lambda: self.load(id).status == "finished", seconds)
        return self.load(id)

    @contextmanager
    def following(self) -> Iterator[None]:
        """The dispatcher at work."""
        stop = threading.Event()
        thread = threading.Thread(target=self.dispatcher.run, args=(stop,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    @contextmanager
    def sweeping(self) -> Iterator[None]:
        """The sweeper at work, ten rounds a second."""
        stop = threading.Event()
        thread = threading.Thread(target=self.sweeper.run, args=(stop, 0.1))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def close(self) -> None:
        """Close everything."""
        self.queue.close()
        self.log.close()
        self.database.close()


class Running:
    """A worker as a task; leaving the block drains it."""

    def __init__(self, worker: ExecutionWorker) -> None:
        self.worker = worker
        self._stop = asyncio.Event()

    async def __aenter__(self) -> ExecutionWorker:
        self._task = asyncio.create_task(self.worker.run(self._stop))
        return self.worker

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await self._task
