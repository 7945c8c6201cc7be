"""The role `projector`: everything that follows the logs, each part once in the whole system by an advisory lock."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import psycopg

from application import dead_letters
from application.dispatch import Dispatcher
from application.group_commit import is_connection_error
from application.schema import LOGS
from application.sweeper import Sweeper
from interfaces.adapters.redis_command_queue import RedisCommandQueue
from interfaces.bootstrap import Platform
from interfaces.locks import AdvisoryLock
from projections.execution_list import ExecutionList
from projections.live_feed import LiveFeed
from projections.positions import position
from projections.projector import Projector
from projections.registry import for_log

PRUNE_SECONDS = 3600.0
logger = logging.getLogger("testmesh.followers")


class Single:
    """Runs a duty while it holds an advisory lock; when the lock's connection breaks, the duty ends and begins anew."""

    def __init__(
        self, connect: Callable[[], psycopg.Connection[Any]], key: int, name: str, duty: Callable[[threading.Event], None]
    ) -> None:
        self._connect = connect
        self._key = key
        self._name = name
        self._duty = duty

    def run(self, stop: threading.Event) -> None:
        """Wait for the lock, do the duty, until stopped."""
        while not stop.is_set():
            try:
                with self._connect() as connection:
                    self._hold(connection, stop)
            except Exception as error:
                if not is_connection_error(error):
                    logger.exception("%s failed; it begins anew", self._name)
            stop.wait(0.5)

    def _hold(self, connection: psycopg.Connection[Any], stop: threading.Event) -> None:
        while not stop.is_set():
            row = connection.execute("SELECT pg_try_advisory_lock(%s)", (int(self._key),)).fetchone()
            if row and row[0]:
                break
            stop.wait(1.0)
        ended = threading.Event()
        thread = threading.Thread(target=self._duty, args=(ended,), name=self._name, daemon=True)
        thread.start()
        try:
            while not stop.wait(1.0) and thread.is_alive():
                connection.execute("SELECT 1")
        finally:
            ended.set()
            thread.join(timeout=10)


class Followers:
    """Projectors of every log, the dispatcher, the sweeper, the sealer and the pruner of the feed, each in a thread."""

    def __init__(self, platform: Platform, queue: RedisCommandQueue) -> None:
        self._platform = platform
        self._queue = queue
        self._stop = threading.Event()
        self.projectors = {log: self._projector(log) for log in LOGS}
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Begin to follow."""
        for name, projector in self.projectors.items():
            self._thread(f"projector-{name}", projector.run)
        log = self._platform.logs["executions"]
        connect = self._platform.database("executions").connect
        self._thread("dispatcher", Single(connect, AdvisoryLock.DISPATCHER, "dispatcher", Dispatcher(log, self._queue).run).run)
        self._thread("sweeper", Single(connect, AdvisoryLock.SWEEPER, "sweeper", self._sweeper().run).run)
        self._thread("pruner", Single(connect, AdvisoryLock.PRUNER, "pruner", self._prune).run)
        if self._platform.settings.key_file:
            self._thread("sealer", Single(connect, AdvisoryLock.SEALER, "sealer", self._platform.sealer.run).run)
        else:
            logger.warning("the logs are not sealed: this process has no key file (TESTMESH_KEY_FILE)")

    def close(self) -> None:
        """Stop at a batch's end."""
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=15)

    def _prune(self, stop: threading.Event) -> None:
        """Keep the live feed and the decided dead letters to their retention."""
        feed = LiveFeed(self._platform.readers("executions").pool)
        while not stop.is_set():
            feed.prune()
            dead_letters.prune(self._platform.database("executions"))
            stop.wait(PRUNE_SECONDS)

    def _thread(self, name: str, run: Callable[[threading.Event], None]) -> None:
        thread = threading.Thread(target=run, args=(self._stop,), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _projector(self, log: str) -> Projector:
        database = self._platform.readers(log)
        return Projector(database.pool, database.connect, log, for_log(log), self._platform.logs[log].read)

    def _sweeper(self) -> Sweeper:
        log = self._platform.logs["executions"]
        pool = self._platform.readers("executions").pool

        def caught_up(head: int) -> bool:
            return position(pool, "executions", "execution_list") >= head

        rows = ExecutionList(pool)
        return Sweeper(
            log,
            self._queue,
            rows.waiting,
            caught_up,
            lease_seconds=self._platform.settings.lease,
            in_groups=rows.in_groups,
        )
