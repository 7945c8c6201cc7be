"""What the schedule list and the decisions answer."""

from __future__ import annotations

from datetime import timedelta

import pytest

from application.database import Database
from domain.schedule import Decision, Schedule
from interfaces.schedule_lag import schedule_lag
from projections.rebuild import checksum, rebuild
from projections.registry import for_log
from projections.rows import Pool
from projections.schedule_decisions import ScheduleDecisions
from projections.schedule_list import ScheduleList
from tests.support.events import BY, SINCE, MemoryLog, considered, schedule

pytestmark = pytest.mark.servers
MINUTE = timedelta(minutes=1)


def given(pool: Pool, *schedules: Schedule) -> MemoryLog:
    """These schedules happened, and the read models know."""
    log = MemoryLog()
    log.put(*schedules)
    with pool.connection() as connection:
        for projection in for_log("schedules"):
            projection.apply(connection, projection.wanted(log.events))
    return log


def test_a_schedule_is_shown_as_its_last_events_left_it(pool: Pool) -> None:
    one = considered(considered(considered(schedule()), "queued"), "queued")
    one.change(BY, SINCE, name="other")
    one.consider(BY, Decision("started", SINCE + 2 * MINUTE, SINCE + 2 * MINUTE))
    log = given(pool, one)
    row = ScheduleList(pool).get("w", str(one.id))
    assert row is not None
    assert (row["name"], row["considered"], row["waiting"]) == ("other", SINCE + 3 * MINUTE, ["2026-01-05T12:03:00+00:00"])
    assert (row["last_decision"], row["last_tick"], row["last_execution"]) == ("started", SINCE + 2 * MINUTE, one.last)
    assert (row["actor"], row["position"]) == ("user:1", log.head())
    assert "very secret" not in str(row)
    assert ScheduleList(pool).get("v", str(one.id)) is None


def test_what_is_deleted_is_known_to_schedulers_alone(pool: Pool) -> None:
    gone, kept = schedule(name="gone"), schedule(name="kept")
    gone.delete(BY)
    given(pool, gone, kept)
    rows = ScheduleList(pool)
    assert [row["name"] for row in rows.page("w").items] == ["kept"]
    assert (rows.get("w", gone.id), rows.find("w", "gone"), rows.count("w")) == (None, [], 1)
    assert {id for id, _ in rows.known()} == {gone.id, kept.id}
    assert [row["id"] for row in rows.ticking()] == [str(kept.id)]


def test_pages_give_each_schedule_once_in_the_order_of_names(pool: Pool) -> None:
    given(pool, *(schedule(name=name) for name in ("b", "A", "c", "b", "Ä")))
    rows, seen, cursor = ScheduleList(pool), list[str](), None
    while True:
        page = rows.page("w", limit=2, cursor=cursor)
        seen += [row["name"] for row in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == ["A", "b", "b", "c", "Ä"]


def test_decisions_of_a_schedule_are_told_newest_first(pool: Pool) -> None:
    one, other = schedule(), considered(schedule())
    one.consider(BY, Decision("missed_skipped", SINCE + 9 * MINUTE, SINCE + MINUTE, 9, why="nobody"))
    considered(one)
    given(pool, one, other)
    newest, oldest = ScheduleDecisions(pool).page("w", one.id).items
    assert (newest["decision"], newest["execution"]) == ("started", one.last)
    assert (oldest["first"], oldest["tick"], oldest["count"]) == (SINCE + MINUTE, SINCE + 9 * MINUTE, 9)
    assert ScheduleDecisions(pool).page("v", one.id).items == []
    assert ScheduleDecisions(pool).page("w", "no id").items == []


def test_how_late_schedules_are_is_told_from_their_rows(pool: Pool) -> None:
    paused = schedule()
    paused.pause(BY, "")
    given(pool, considered(schedule()), schedule(time_zone="Europe/Berlin", cron="0 3 * * *"), paused)
    ticking = ScheduleList(pool).ticking()
    assert schedule_lag(ticking, SINCE + 2 * MINUTE + timedelta(seconds=40)) == (40.0, SINCE + MINUTE)
    assert schedule_lag(ticking, SINCE + MINUTE)[0] == 0.0
    assert schedule_lag([], SINCE) == (0.0, None)


def test_both_are_made_anew_from_the_log(pool: Pool, database: Database) -> None:
    one = considered(considered(schedule()), "queued")
    one.pause(BY, "a release")
    log = given(pool, one)
    for projection in for_log("schedules"):
        before = checksum(pool, projection)
        assert rebuild(pool, projection, log.read) > 0
        assert checksum(pool, projection) == before
