"""What doctor says of schedules when nobody schedules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from interfaces.bootstrap import Platform
from interfaces.cli.doctor import _schedules
from interfaces.settings import Settings
from projections.projector import Projector
from projections.registry import for_log
from projections.schedule_list import ScheduleList
from tests.support.events import considered, schedule

pytestmark = pytest.mark.servers


@pytest.fixture
def platform(fresh_database: Callable[[], str]) -> Iterator[Platform]:
    made = Platform(Settings(database_url=fresh_database()))
    made.migrate()
    yield made
    made.close()


def project(platform: Platform) -> None:
    """Bring the read models up to date."""
    database, read = platform.readers("schedules"), platform.logs["schedules"].read
    Projector(database.pool, database.connect, "schedules", for_log("schedules"), read).catch_up()


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
