"""The main functions of the roles `worker`, `projector` and `scheduler`: signals, logging, metrics port, one orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import orjson

from domain.errors import Unavailable
from interfaces import loops
from interfaces.bootstrap import Platform
from interfaces.settings import Settings
from interfaces.signals import StopSignal

if TYPE_CHECKING:
    from interfaces.workers.nursery import Nursery


def configure_logging(settings: Settings, role: str) -> None:
    """One line an event on stderr: text, or JSON with control characters escaped."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json(role) if settings.log_format.lower() == "json" else _Text(role))
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler], force=True)
    logging.getLogger("psycopg").addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    """A pipeline whose connection was cut is told by whoever used it, and by psycopg at its end once more."""
    return not str(record.msg).startswith("error ignored terminating")


class _Text(logging.Formatter):
    def __init__(self, role: str) -> None:
        super().__init__(f"%(asctime)s {role} %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        """One line, whatever the message holds; a trace comes behind it."""
        line = super().formatMessage(record)
        return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)


class _Json(logging.Formatter):
    def __init__(self, role: str) -> None:
        super().__init__()
        self._role = role

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "role": self._role,
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return orjson.dumps(line).decode()


@contextlib.contextmanager
def metrics_port(settings: Settings) -> Iterator[None]:
    """The Prometheus metrics of this process on their own port, while the block runs; closed when the setting is 0."""
    if not settings.metrics_port:
        yield
        return
    from prometheus_client import start_http_server

    try:
        server, thread = start_http_server(settings.metrics_port, settings.metrics_host)
    except OSError as error:
        raise Unavailable(
            f"{settings.metrics_host}:{settings.metrics_port} cannot be used for metrics: {error.strerror or error}",
            remedy="choose another TESTMESH_METRICS_PORT; each role needs one of its own",
        ) from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


THREADS = 32
"""Of a worker, for what blocks: mostly answers of PostgreSQL, which may be far away. asyncio's own number goes by the cores."""
NEEDED = ("interfaces.adapters.redis_deliveries", "interfaces.workers.execution_worker", "application.engine.egress")
"""Modules that a worker imports before it forks the process of its children."""


def run_worker(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT, then drain."""
    from interfaces.workers.nursery import Nursery

    configure_logging(settings, "worker")
    _import_all()
    nursery = Nursery(partial(_run_child, settings))
    platform = Platform(settings, pool_size=10)
    try:
        platform.require_tables()
        with metrics_port(settings):
            loops.run(_work(platform, nursery))
    finally:
        platform.close()
        nursery.close()


def _import_all() -> None:
    """What every worker comes to need anyway, so that its children have it from the start."""
    for name in NEEDED:
        importlib.import_module(name)


def _run_child(settings: Settings) -> None:
    """Do what the worker writes to the standard input of this process, one execution at a time."""
    platform = Platform(settings, pool_size=2)
    try:
        loops.run(_work_alone(platform))
    finally:
        platform.close()


async def _work_alone(platform: Platform) -> None:
    from interfaces.workers.execution_worker import ExecutionWorker
    from interfaces.workers.solitary import PipeDeliveries

    settings, stop = platform.settings, asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    worker = ExecutionWorker(
        platform.tools,
        platform.database("executions").connect,
        lambda incarnation: PipeDeliveries(stop),
        concurrency=1,
        drain=settings.worker_drain,
        heartbeat=settings.heartbeat,
        lease=settings.lease,
        labels=None,
    )
    await worker.run(stop)


async def _work(platform: Platform, nursery: Nursery) -> None:
    from interfaces.adapters.redis_deliveries import RedisDeliveries
    from interfaces.workers.execution_worker import ExecutionWorker
    from interfaces.workers.solitary import Solitary, most_children

    settings = platform.settings
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(THREADS, "worker"))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    worker = ExecutionWorker(
        platform.tools,
        platform.database("executions").connect,
        lambda incarnation: RedisDeliveries(
            settings.redis_url, incarnation, labels=settings.worker_labels, shards=settings.queue_shards
        ),
        concurrency=settings.worker_concurrency,
        drain=settings.worker_drain,
        heartbeat=settings.heartbeat,
        lease=settings.lease,
        labels=settings.worker_labels,
        solitary=Solitary(nursery, most_children(settings.worker_concurrency)),
    )
    if settings.metrics_port:
        from interfaces.metrics import watch_worker

        watch_worker(worker)
    await worker.run(stop)


def run_projector(settings: Settings) -> None:
    """Follow the logs until SIGTERM or SIGINT."""
    from interfaces.adapters.redis_command_queue import RedisCommandQueue
    from interfaces.workers.followers import Followers

    configure_logging(settings, "projector")
    stop = StopSignal()
    platform = Platform(settings, pool_size=8)
    queue = RedisCommandQueue(settings.redis_url, settings.queue_shards)
    followers = Followers(platform, queue)
    try:
        platform.require_tables()
        with metrics_port(settings):
            if settings.metrics_port:
                from interfaces.metrics import watch_followers

                watch_followers(platform, followers)
            followers.start()
            stop.wait()
            followers.close()
    finally:
        queue.close()
        platform.close()


def run_scheduler(settings: Settings) -> None:
    """Let schedules tick, and bring suite runs on, until SIGTERM or SIGINT."""
    from application.scheduling import Scheduler
    from interfaces.workers.coordinators import coordinating
    from projections.schedule_list import ScheduleList

    configure_logging(settings, "scheduler")
    stop, ended = StopSignal(), threading.Event()
    platform = Platform(settings)
    try:
        platform.require_tables()
        _ = platform.key
        rows = ScheduleList(platform.database("schedules").pool)
        log, now = platform.logs["schedules"], rows.now
        scheduler = Scheduler(log, platform.flows, platform.executions, platform.suites, rows.known, now)
        with metrics_port(settings):
            if settings.metrics_port:
                from interfaces.metrics import watch_scheduler

                watch_scheduler(scheduler)
            duties = {"scheduler": scheduler.run, "coordinator": coordinating(platform).run}
            threads = [threading.Thread(target=duty, args=(ended,), name=name, daemon=True) for name, duty in duties.items()]
            for thread in threads:
                thread.start()
            stop.wait()
            ended.set()
            for thread in threads:
                thread.join(timeout=15)
    finally:
        platform.close()
