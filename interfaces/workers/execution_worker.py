"""The execution worker: takes commands from the queue, claims them in the log, and runs them as tasks of one event loop."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import psycopg

from application import dead_letters, leases, worker_list
from application.attempts import Attempt, Tools
from application.claims import NeedsSolitude, NotHere, UnknownExecution, claim
from application.engine.ending import Stop
from application.group_commit import is_connection_error
from application.ports import Delivery, RunCommand
from domain.errors import Unavailable
from domain.execution import Execution
from interfaces.workers.heartbeat import WATCH_SECONDS, Heartbeat
from interfaces.workers.intake import Deliveries, Intake, before
from interfaces.workers.nursery import Closed
from interfaces.workers.solitary import Solitary

logger = logging.getLogger("testmesh.worker")


class ExecutionWorker:
    """One worker process. Its incarnation is new at every start, so that a fence never mistakes it for its predecessor."""

    def __init__(
        self,
        tools: Tools,
        connect: Callable[[], psycopg.Connection[Any]],
        queue: Callable[[str], Deliveries],
        *,
        concurrency: int = 16,
        drain: float = 20.0,
        heartbeat: float = leases.HEARTBEAT_SECONDS,
        lease: float = leases.LEASE_SECONDS,
        labels: Collection[str] | None = (),
        solitary: Solitary | None = None,
    ) -> None:
        """`queue` makes the receiving side for an incarnation. Times in seconds. `labels` say which executions it may take,
        and that it is counted among the workers; None for a child that takes what it is given. `solitary` runs those over
        which a worker was lost; None lets this process run them itself."""
        self.incarnation = uuid4().hex
        self._labels = labels
        self._host = socket.gethostname()
        self._solitary = solitary
        self._tools = tools
        self._queue = queue(self.incarnation)
        self._concurrency = concurrency
        self._drain_seconds = drain
        self._fence_seconds = lease * 2 / 3
        self._running: dict[UUID, Attempt] = {}
        self._claiming: dict[RunCommand, str] = {}
        """Commands that are being claimed, each with its entry in the queue."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._free = asyncio.Semaphore(concurrency)
        self._beside: set[asyncio.Task[Any]] = set()
        """Those of the tasks that hold none of the places: a child does their work."""
        self._stop = asyncio.Event()
        self._gate = asyncio.Event()
        self._gate.set()
        self._intake = Intake(self._queue, self._gate, self._room)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._heart = Heartbeat(
            connect,
            self.incarnation,
            self._held,
            self._stop_from_thread,
            self._describe,
            interval=heartbeat,
            announce=self._announce,
        )
        self.finished = 0
        """Attempts that this worker has brought to their end."""

    @property
    def running(self) -> int:
        """Attempts under way."""
        return len(self._running)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then drain: finish what can be finished, give the rest back."""
        self._loop = asyncio.get_running_loop()
        self._stop = stop
        self._heart.start()
        if self._tools.folders is not None:
            await asyncio.to_thread(self._tools.folders.sweep)
        watch = asyncio.create_task(self._watch())
        logger.info("worker %s is ready for %s executions at once", self.incarnation, self._concurrency)
        try:
            await self._take(stop)
            if self._solitary is not None:
                self._solitary.stop()
            await asyncio.gather(self._drain(), self._intake.give_back_late())
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
            if self._solitary is not None:
                await self._solitary.close()
            await asyncio.to_thread(self._heart.close)
            await self._tools.close()
            await self._queue.leave()

    async def _take(self, stop: asyncio.Event) -> None:
        """Take commands until stopped. A worker that may have been replaced takes none."""
        stopping = asyncio.create_task(stop.wait())
        while not stop.is_set():
            if not await before(stopping, self._gate.wait()) or not await before(stopping, self._slot()):
                break
            try:
                found = await self._intake.next(stopping)
            except Unavailable as error:
                logger.warning("the queue does not answer: %s", error)
                await asyncio.wait({stopping}, timeout=0.5)
                continue
            for delivery in found:
                await self._free.acquire()
                self._spawn(delivery)
        stopping.cancel()

    async def _slot(self) -> None:
        """Wait until one more execution may run here."""
        await self._free.acquire()
        self._free.release()

    def _room(self) -> int:
        return max(1, self._concurrency - self._occupied())

    def _occupied(self) -> int:
        return len(self._tasks) - len(self._beside)

    def _spawn(self, delivery: Delivery) -> None:
        task = asyncio.create_task(self._handle(delivery))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task in self._beside:
            self._beside.discard(task)
        else:
            self._free.release()
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("an execution was left to others", exc_info=error)

    async def _handle(self, delivery: Delivery) -> None:
        command = delivery.command
        if command is None:
            await self._park(delivery, "not a command of this version")
            return
        if (entry := self._claiming.get(command)) is not None:
            if entry != delivery.entry:
                await self._queue.done(delivery)  # sent twice; should the claim under way fail, its own entry comes again
            return
        self._claiming[command] = delivery.entry
        try:
            execution = await asyncio.to_thread(self._claim, command)
        except UnknownExecution as error:
            await self._park(delivery, str(error))
            return
        except NotHere as error:
            await self._send_elsewhere(delivery, error)
            return
        except NeedsSolitude:
            await self._leave_to_a_child(command, delivery)
            return
        except Exception as error:
            if not (isinstance(error, Unavailable) or is_connection_error(error)):
                logger.exception("command %s cannot be claimed; it is delivered again", command)
            return
        finally:
            self._claimed(delivery)
        if execution is not None:
            # Known to the heartbeat before anything else can fail: the lease is ours from the claim on.
            attempt = self._attempt(execution, command.number if command.kind == "teardown" else 0)
            if (replaced := self._running.get(execution.id)) is not None:
                replaced.stop("lost")  # this worker lost it without noticing, and has now claimed what follows
            self._running[execution.id] = attempt
        done = asyncio.ensure_future(self._queue.done(delivery))
        try:
            if execution is not None:
                await self._walk(attempt)
        finally:
            await done

    async def _leave_to_a_child(self, command: RunCommand, delivery: Delivery) -> None:
        """Beside the places of this worker, so that nobody else waits while a child starts or has other work. As many as the
        places: what is beyond keeps its place. What finds every child at work goes to another worker, or comes again."""
        assert self._solitary is not None
        task = asyncio.current_task()
        if task is not None and len(self._beside) < self._concurrency:
            self._beside.add(task)
            self._free.release()
        try:
            begun = await self._solitary.run(command, lambda: self._queue.done(delivery))
        except Closed:
            logger.error("the process that starts others for this worker has ended; so does this worker, when it has drained")
            begun = False
            self._stop.set()
        if not begun:
            self._claimed(delivery)  # it may come back before this one is acknowledged
            await self._queue.give_back(delivery)

    def _claimed(self, delivery: Delivery) -> None:
        """Whether it was claimed or not, this entry is dealt with."""
        if delivery.command is not None and self._claiming.get(delivery.command) == delivery.entry:
            del self._claiming[delivery.command]

    def _claim(self, command: RunCommand) -> Execution | None:
        return claim(self._tools.log, command, self.incarnation, labels=self._labels, alone=self._solitary is None)

    async def _send_elsewhere(self, delivery: Delivery, error: NotHere) -> None:
        """It went the wrong way, as after a change of labels: send it on its way again."""
        assert delivery.command is not None
        request = error.execution.request
        routed = replace(delivery.command, priority=request.priority, runs_on=tuple(request.runs_on))
        logger.info("%s: sent on", error)
        try:
            await self._queue.give_back(replace(delivery, command=routed))
        except Unavailable as away:
            logger.warning("the queue does not answer: %s", away)

    async def _park(self, delivery: Delivery, reason: str) -> None:
        """Keep what can never be run where nothing is lost, then take it out of the queue."""
        assert self._tools.log.database is not None
        await asyncio.to_thread(
            dead_letters.park, self._tools.log.database, delivery.entry, delivery.fields, reason, self.incarnation
        )
        logger.warning("entry %s of the queue is a dead letter: %s", delivery.entry, reason)
        await self._queue.done(delivery)

    def _attempt(self, execution: Execution, teardown: int) -> Attempt:
        side = [leases.release(execution.id, self.incarnation)]
        return Attempt(self._tools, execution, self.incarnation, teardown=teardown, side=side, gate=self._gate)

    async def _walk(self, attempt: Attempt) -> None:
        try:
            if await attempt.run() is not None:
                self.finished += 1
        finally:
            if self._running.get(attempt.execution_id) is attempt:
                del self._running[attempt.execution_id]

    async def _drain(self) -> None:
        """Give running attempts their time, then give them back; their teardown runs elsewhere."""
        if not self._tasks:
            return
        logger.info("draining: %s executions have %.0f s", len(self._tasks), self._drain_seconds)
        await asyncio.wait(set(self._tasks), timeout=self._drain_seconds)
        for attempt in list(self._running.values()):
            attempt.stop("drain")
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=10.0)

    async def _watch(self) -> None:
        """Show the heartbeat that the loop moves; begin no step while this worker may have been replaced."""
        while True:
            self._heart.loop_moved()
            if self._heart.silent_for() > self._fence_seconds:
                self._gate.clear()
            else:
                self._gate.set()
            await asyncio.sleep(WATCH_SECONDS)

    def _announce(self, connection: psycopg.Connection[Any], alive: bool) -> None:
        """Say to whoever counts workers that this one lives, or that it ends."""
        if self._labels is None:
            return
        if alive:
            labels, running = sorted(self._labels), self._occupied()
            worker_list.beat(connection, self.incarnation, self._host, labels, self._concurrency, running)
        else:
            worker_list.leave(connection, self.incarnation)

    def _held(self) -> list[UUID]:
        return list(self._running)

    def _stop_from_thread(self, execution: UUID, why: Stop) -> None:
        def stop() -> None:
            attempt = self._running.get(execution)
            if attempt is not None:
                attempt.stop(why)

        if self._loop is not None:
            self._loop.call_soon_threadsafe(stop)

    def _describe(self) -> str:
        running = list(self._running.items())
        return ", ".join(f"{id} ({', '.join(attempt.running) or 'no step'})" for id, attempt in running) or "no execution"
