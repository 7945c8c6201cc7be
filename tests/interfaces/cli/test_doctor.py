"""What doctor says of schedules when nobody schedules."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from interfaces.bootstrap import Platform
from interfaces.cli.doctor import _schedules, _suite_runs
from interfaces.settings import Settings
from projections.projector import Projector
from projections.registry import for_log
from projections.schedule_list import ScheduleList
from tests.support.events import considered, schedule
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
