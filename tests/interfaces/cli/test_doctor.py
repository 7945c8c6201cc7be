"""What doctor says when something does not do its work."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from application import worker_list
from application.dispatch import Dispatcher
from domain.queueing import Group
from interfaces.bootstrap import Platform
from interfaces.cli import doctor
from interfaces.cli.doctor import _dispatching, _projections, _queue, _schedules, _suite_runs, _waiting
from interfaces.settings import Settings
from projections.projector import Projector
from projections.registry import for_log
from projections.schedule_list import ScheduleList
from tests.support.events import considered, requested, schedule
from tests.support.memory_queue import MemoryQueue
from tests.support.suites import suite_run

pytestmark = pytest.mark.servers


@pytest.fixture
def platform(fresh_database: Callable[[], str]) -> Iterator[Platform]:
    made = Platform(Settings(database_url=fresh_database()))
    made.migrate()
    yield made
    made.close()


def project(platform: Platform, log: str = "schedules") -> None:
    """Bring the read models up to date."""
    database, read = platform.readers(log), platform.logs[log].read
    Projector(database.pool, database.connect, log, for_log(log), read).catch_up()


def test_without_schedules_there_is_nothing_to_be_late(platform: Platform) -> None:
    assert _schedules(platform) == ("ok", "schedules", "0 tick, last tick never, 0 s late")


def test_a_tick_that_nobody_considers_is_a_warning_with_a_remedy(platform: Platform) -> None:
    now = ScheduleList(platform.database("schedules").pool).now().replace(microsecond=0)
    since = now.replace(second=0) - timedelta(minutes=10)
    platform.logs["schedules"].put(considered(schedule(since=since)))
    project(platform)
    level, _, told = _schedules(platform)
    assert level == "warning"
    assert f"1 tick, last tick {(since + timedelta(minutes=1)).isoformat()}" in told
    assert told.endswith("s late: is a `testmesh scheduler` running?")


def test_a_suite_run_that_nobody_begins_is_a_warning_with_a_remedy(platform: Platform) -> None:
    assert _suite_runs(platform) == ("ok", "suite runs", "0 under way, 0 s without a start")
    platform.logs["executions"].put(suite_run())
    project(platform, "executions")
    level, _, told = _suite_runs(platform)
    assert (level, bool(re.fullmatch(r"1 under way, \d+ s without a start", told))) == ("ok", True), told
    with platform.readers("executions").pool.connection() as connection:
        connection.execute("UPDATE executions.suite_run_list SET requested_at = requested_at - interval '1 hour'")
    level, _, told = _suite_runs(platform)
    assert (level, told.endswith("s without a start: is a `testmesh scheduler` running?")) == ("warning", True)


def test_a_read_model_that_takes_nothing_in_stands_still(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "STILL_SECONDS", 0.2)
    assert {level for level, _, _ in _projections(platform, "schedules")} == {"ok"}
    platform.logs["schedules"].put(schedule())
    for level, name, told in _projections(platform, "schedules"):
        assert (level, "1 behind and stands still: is a `testmesh projector` running?" in told) == ("warning", True), name
    project(platform)
    assert {level for level, _, _ in _projections(platform, "schedules")} == {"ok"}


def test_a_dispatcher_that_sends_or_calls_nothing_is_a_warning(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "STILL_SECONDS", 0.2)
    log, remedy = platform.logs["executions"], ": is a `testmesh projector` running, does Redis answer?"
    assert _dispatching(platform) == ("ok", "dispatcher", "at 0, 0 behind")
    log.put(requested(groups=[Group("db").plain()]))
    told = "at 0, 1 behind, 1 have a place in their groups and are not called"
    assert _dispatching(platform) == ("warning", "dispatcher", told + remedy)
    while Dispatcher(log, MemoryQueue()).step():
        pass
    assert _dispatching(platform) == ("ok", "dispatcher", "at 1, 0 behind")
    with platform.database("executions").connect() as connection:
        connection.execute("UPDATE executions.group_places SET called = false")
    told = "at 1, 0 behind, 1 have a place in their groups and are not called"
    assert _dispatching(platform) == ("warning", "dispatcher", told + remedy)


def waiting_and_workers(platform: Platform) -> dict[str, tuple[str, str]]:
    return {name: (level, told) for level, name, told in _waiting(platform)}


def test_what_waits_although_a_worker_has_room_is_a_warning(platform: Platform) -> None:
    platform.logs["executions"].put(requested())
    project(platform, "executions")
    with platform.database("executions").connect() as connection:
        worker_list.beat(connection, "w", "here", (), 4, 1)
        level, told = waiting_and_workers(platform)["queue"]
        assert (level, told.startswith("1 wait, the oldest for ")) == ("ok", True), told
        with platform.readers("executions").pool.connection() as reader:
            reader.execute("UPDATE executions.execution_list SET waiting_since = waiting_since - interval '20 s'")
        level, told = waiting_and_workers(platform)["queue"]
        assert (level, "although a worker has room: is a `testmesh projector` running" in told) == ("warning", True)
        worker_list.beat(connection, "w", "here", (), 4, 4)
        assert waiting_and_workers(platform)["queue"][0] == "ok", "a busy worker is no fault"


def test_a_worker_without_a_heartbeat_has_no_room(platform: Platform) -> None:
    with platform.database("executions").connect() as connection:
        worker_list.beat(connection, "w", "here", (), 4, 1)
        assert waiting_and_workers(platform)["workers"] == ("ok", "1 live, room for 3 more")
        connection.execute("UPDATE executions.workers SET beat = beat - interval '20 s'")
    told = "1 live, room for 0 more, 1 without a heartbeat: is its machine frozen, or the database out of its reach?"
    assert waiting_and_workers(platform)["workers"] == ("warning", told)


def test_a_queue_that_does_not_answer_is_named() -> None:
    (level, name, told) = next(iter(doctor._guarded("redis", lambda: _queue("redis://127.0.0.1:1/0"))))
    assert (level, name) == ("problem", "redis")
    assert told.startswith("127.0.0.1:1 cannot be used: ")
    assert told.endswith("(what is accepted waits in the log, and begins when it answers again)")
