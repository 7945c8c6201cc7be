"""Prometheus metrics of each role. No label names a workspace: whoever may scrape need not know the tenants."""

from __future__ import annotations

from typing import Any

from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from application import dead_letters
from application.scheduling import Scheduler
from interfaces.bootstrap import Platform
from interfaces.queue_health import dispatching, queue_health
from interfaces.workers.execution_worker import ExecutionWorker
from interfaces.workers.followers import Followers
from projections.execution_list import ExecutionList
from projections.positions import lag
from projections.registry import LOGS, for_log
from projections.suite_run_list import SuiteRunList

REQUESTS = Counter("testmesh_http_requests", "Requests answered.", ["route", "status"])
SECONDS = Histogram("testmesh_http_request_seconds", "Time to answer.", ["route"])
RUNNING = Gauge("testmesh_worker_running", "Executions under way in this worker.")
FINISHED = Gauge("testmesh_worker_finished", "Attempts that this worker has brought to their end.")


def watch_server(app: Any) -> None:
    """Count the requests of an application."""

    def observe(route: str, status: int, seconds: float) -> None:
        REQUESTS.labels(route, str(status)).inc()
        SECONDS.labels(route).observe(seconds)

    app.ctx.observe = observe


def watch_worker(worker: ExecutionWorker) -> None:
    """Show what a worker does."""
    RUNNING.set_function(lambda: worker.running)
    FINISHED.set_function(lambda: worker.finished)


def watch_followers(platform: Platform, followers: Followers) -> None:
    """Show how far the read models are behind, what waits, and which projections have stopped."""
    REGISTRY.register(_Behind(platform, followers))


def watch_scheduler(scheduler: Scheduler) -> None:
    """Show which ticks a scheduler decides, and how late."""
    REGISTRY.register(_Ticks(scheduler))


class _Ticks(Collector):
    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def describe(self) -> list[Any]:
        return []

    def collect(self) -> Any:
        scheduler = self._scheduler
        tick, look = (moment.timestamp() if moment else 0.0 for moment in (scheduler.last_tick, scheduler.last_round))
        for name, text, value in (
            ("testmesh_schedules", "Schedules that tick.", scheduler.active),
            ("testmesh_schedules_failing", "Schedules that could not be considered and are tried again.", scheduler.failing),
            (
                "testmesh_scheduler_lag_seconds",
                "How late the most overdue tick of the last round was.",
                scheduler.lag,
            ),
            ("testmesh_scheduler_last_round_timestamp_seconds", "When this scheduler looked last.", look),
            ("testmesh_scheduler_last_tick_timestamp_seconds", "The tick that this scheduler decided last.", tick),
        ):
            yield GaugeMetricFamily(name, text, value=value)
        decisions = CounterMetricFamily("testmesh_schedule_ticks", "Ticks that this scheduler decided.", labels=["decision"])
        for kind, count in list(scheduler.decisions.items()):
            decisions.add_metric([kind], count)
        yield decisions


class _Behind(Collector):
    def __init__(self, platform: Platform, followers: Followers) -> None:
        self._platform = platform
        self._followers = followers

    def describe(self) -> list[Any]:
        return []

    def collect(self) -> Any:
        behind = GaugeMetricFamily("testmesh_projection_behind", "Events not taken in yet.", labels=["projection"])
        for log in LOGS:
            for _, name, position, head in lag(self._platform.readers(log).pool, for_log(log)):
                behind.add_metric([name], head - position)
        yield behind
        stopped = GaugeMetricFamily(
            "testmesh_projection_stopped", "1 when it failed and is tried again.", labels=["projection"]
        )
        for projector in self._followers.projectors.values():
            for name in projector.stopped:
                stopped.add_metric([name], 1)
        yield stopped
        executions = GaugeMetricFamily("testmesh_executions", "Executions by status.", labels=["status"])
        for status, count in ExecutionList(self._platform.readers("executions").pool).counts().items():
            executions.add_metric([status], count)
        yield executions
        now, sent = queue_health(self._platform), dispatching(self._platform)
        for name, text, value in (
            ("testmesh_waiting", "Executions that wait for a worker or a place.", now.waiting),
            ("testmesh_oldest_waiting_seconds", "How long the oldest of them has waited.", now.oldest),
            ("testmesh_waiting_stuck", "Executions that ask for labels that no live worker has.", now.stuck),
            ("testmesh_group_places_held", "Places of concurrency groups that are taken.", now.held),
            ("testmesh_group_waiting", "Executions that wait for a place in a group.", now.for_groups),
            ("testmesh_group_oldest_waiting_seconds", "How long the oldest of them has waited.", now.oldest_for_groups),
            ("testmesh_workers", "Workers that live.", now.workers),
            ("testmesh_workers_room", "Executions that they could run besides those that run.", now.room),
            ("testmesh_workers_quiet", "Workers that have not beaten for the time of a lease.", now.quiet),
            (
                "testmesh_waiting_unattended_seconds",
                "How long one has waited that a worker with room may take.",
                now.unattended,
            ),
            ("testmesh_dispatcher_behind", "Events that the dispatcher has yet to act on.", sent.behind),
            (
                "testmesh_group_uncalled",
                "Executions that have a place in their groups and are not called yet.",
                len(sent.uncalled),
            ),
            ("testmesh_leases", "Attempts and teardowns that a worker holds.", now.leases),
            ("testmesh_leases_silent", "Leases whose worker has not beaten for their time.", now.silent),
        ):
            yield GaugeMetricFamily(name, text, value=value)
        open, waiting = SuiteRunList(self._platform.readers("executions").pool).under_way()
        yield GaugeMetricFamily("testmesh_suite_runs", "Suite runs that are not finished.", value=open)
        yield GaugeMetricFamily(
            "testmesh_suite_runs_waiting_seconds", "How long one has waited that has not begun.", value=waiting
        )
        parked = dead_letters.count(self._platform.database("executions"))
        yield GaugeMetricFamily("testmesh_dead_letters", "Entries of the queue that wait for a decision.", value=parked)
