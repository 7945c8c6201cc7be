"""The heartbeat of a worker: keeps its leases alive from a thread of its own, and tells it what was lost or cancelled."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import psycopg

from application import leases
from application.engine.ending import Stop
from application.group_commit import is_connection_error

WATCH_SECONDS = 0.25
STUCK_SECONDS = 5.0
DEAD_SECONDS = 10.0
EXIT_STUCK = 70
logger = logging.getLogger("testmesh.heartbeat")


def boot_time() -> float:
    """Seconds that also pass while a virtual machine is suspended."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Heartbeat:
    """Beats every `interval` seconds, at once on a cancel notification, and not at all while the event loop is stuck."""

    def __init__(
        self,
        connect: Callable[[], psycopg.Connection[Any]],
        worker: str,
        held: Callable[[], Sequence[UUID]],
        stop: Callable[[UUID, Stop], None],
        describe: Callable[[], str],
        *,
        interval: float = leases.HEARTBEAT_SECONDS,
        die: Callable[[int], None] = os._exit,
        announce: Callable[[psycopg.Connection[Any], bool], None] = lambda connection, alive: None,
    ) -> None:
        """`held` names the executions of this worker, `stop` is called from this thread, `describe` names running steps,
        `announce` says with each beat that the worker lives, and at last that it ends."""
        self._connect = connect
        self._worker = worker
        self._held = held
        self._stop = stop
        self._describe = describe
        self._interval = interval
        self._die = die
        self._announce = announce
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._progress = boot_time()
        self._beaten = boot_time()
        self._warned = False

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    def close(self) -> None:
        """Beat no more."""
        self._ended.set()
        self._thread.join(timeout=10)

    def loop_moved(self) -> None:
        """Called by the event loop every WATCH_SECONDS while it is not stuck."""
        self._progress = boot_time()

    def silent_for(self) -> float:
        """Seconds since the last heartbeat that PostgreSQL answered."""
        return boot_time() - self._beaten

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                with self._connect() as connection:
                    connection.execute("LISTEN testmesh_cancel")
                    self._beat_on(connection)
            except Exception as error:
                if not is_connection_error(error):
                    logger.exception("the heartbeat failed; it goes on")
                self._watch()
                self._ended.wait(0.3)

    def _beat_on(self, connection: psycopg.Connection[Any]) -> None:
        next_beat = 0.0
        while not self._ended.is_set():
            self._watch()
            if boot_time() >= next_beat and not self._warned:
                self._beat(connection)
                next_beat = boot_time() + self._interval
            for notify in connection.notifies(timeout=WATCH_SECONDS, stop_after=1):
                self._hint(notify.payload)
        self._announce(connection, False)

    def _beat(self, connection: psycopg.Connection[Any]) -> None:
        held = list(self._held())
        answers = {beat.execution: beat for beat in leases.beat(connection, self._worker, held)}
        self._beaten = boot_time()
        for execution in held:
            if execution not in answers:
                self._stop(execution, "lost")
            elif answers[execution].cancel_requested:
                self._stop(execution, "cancelled")
        self._announce(connection, True)

    def _hint(self, payload: str) -> None:
        """A cancel was recorded: act if the execution is one of ours."""
        try:
            execution = UUID(payload)
        except ValueError:
            return
        if execution in self._held():
            self._stop(execution, "cancelled")

    def _watch(self) -> None:
        """A stuck event loop must not look alive: stop beating, at last end the process for the supervisor to restart."""
        stuck = boot_time() - self._progress
        if stuck < STUCK_SECONDS:
            self._warned = False
            return
        if not self._warned:
            self._warned = True
            logger.error("the event loop has stood still for %.1f s in: %s", stuck, self._describe())
        if stuck > DEAD_SECONDS:
            logger.critical("the event loop is stuck; the worker ends itself")
            self._die(EXIT_STUCK)
