"""Cron: when a schedule ticks, above all where clocks change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.cron import parse
from domain.errors import Invalid

# Each row: where, what, from when on, and the ticks that come, all in UTC.
CLOCK_CHANGES = """
Europe/Berlin        gap      30 2 * * *     2026-03-28T22:00  2026-03-29T01:00 2026-03-30T00:30
Europe/Berlin        gap      30 * * * *     2026-03-29T00:00  2026-03-29T00:30 2026-03-29T01:30
Europe/Berlin        doubled  30 2 * * *     2026-10-24T22:00  2026-10-25T00:30 2026-10-26T01:30
Europe/Berlin        doubled  30 * * * *     2026-10-25T00:00  2026-10-25T00:30 2026-10-25T01:30 2026-10-25T02:30
America/New_York     gap      30 2 * * *     2026-03-08T05:00  2026-03-08T07:00 2026-03-09T06:30
America/New_York     gap      */30 * * * *   2026-03-08T06:20  2026-03-08T06:30 2026-03-08T07:00 2026-03-08T07:30
America/New_York     doubled  30 1 * * *     2026-11-01T04:00  2026-11-01T05:30 2026-11-02T06:30
America/New_York     doubled  0 * * * *      2026-11-01T04:30  2026-11-01T05:00 2026-11-01T06:00 2026-11-01T07:00
Australia/Lord_Howe  gap      15 2 * * *     2026-10-03T13:30  2026-10-03T15:30 2026-10-04T15:15
Australia/Lord_Howe  gap      15 * * * *     2026-10-03T14:00  2026-10-03T14:45 2026-10-03T16:15
Australia/Lord_Howe  doubled  45 1 * * *     2026-04-04T13:00  2026-04-04T14:45 2026-04-05T15:15
Australia/Lord_Howe  doubled  */15 * * * *   2026-04-04T14:40  2026-04-04T14:45 2026-04-04T15:00 2026-04-04T15:15
"""


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def first(count: int, expression: str, zone: str, after: str) -> list[datetime]:
    return list(islice(parse(expression, zone).ticks(utc(after)), count))


@pytest.mark.row("R6")
@pytest.mark.parametrize("row", CLOCK_CHANGES.strip().splitlines(), ids=lambda row: " ".join(row.split()[:4]))
def test_clock_changes(row: str) -> None:
    zone, _, *rest = row.split()
    expression, (after, *expected) = " ".join(rest[:5]), rest[5:]
    assert first(len(expected), expression, zone, after) == [utc(tick) for tick in expected]


def test_many_ticks_of_a_missing_hour_are_one() -> None:
    ticks = first(2, "*/10 2 * * *", "Europe/Berlin", "2026-03-28T23:30")
    assert ticks == [utc("2026-03-29T01:00"), utc("2026-03-30T00:00")]


def test_a_tick_right_after_the_gap_is_not_doubled_by_one_inside_it() -> None:
    ticks = first(2, "0 2,3 * * *", "Europe/Berlin", "2026-03-28T23:30")
    assert ticks == [utc("2026-03-29T01:00"), utc("2026-03-30T00:00")]


def test_from_the_second_pass_on_a_fixed_time_is_over() -> None:
    assert first(1, "30 2 * * *", "Europe/Berlin", "2026-10-25T01:10") == [utc("2026-10-26T01:30")]
    assert first(1, "*/30 2 * * *", "Europe/Berlin", "2026-10-25T01:10") == [utc("2026-10-25T01:30")]


def test_a_midnight_that_does_not_exist() -> None:
    assert first(2, "@daily", "America/Santiago", "2026-09-05T12:00") == [utc("2026-09-06T04:00"), utc("2026-09-07T03:00")]


def test_seconds_come_first_when_there_are_six_fields() -> None:
    assert first(3, "*/20 * * * * *", "UTC", "2026-01-01") == [
        utc(f"2026-01-01T00:{time}") for time in ("00:20", "00:40", "01:00")
    ]
    assert first(1, "15 30 8 * * MON-FRI", "UTC", "2026-01-03") == [utc("2026-01-05T08:30:15")]


def test_rare_days_are_found() -> None:
    assert first(1, "0 0 29 2 *", "Europe/Berlin", "2026-01-01") == [utc("2028-02-28T23:00")]
    assert first(1, "0 12 L * *", "UTC", "2026-02-01") == [utc("2026-02-28T12:00")]


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("", "empty"),
        ("* * * *", "4 fields"),
        ("61 * * * *", "bad minute"),
        ("0 0 30 2 *", "bad day-of-month"),
        ("* * */20 * 1L", "no day fits"),
        ("*/0 * * * *", "bad minute"),
        ("1,,2 * * * *", "bad minute"),
        ("² * * * *", "characters"),
        ("@often", "1 fields|characters"),
        ("* " * 200, "characters"),
        ("0 0 * * MON#2/2", "bad day-of-week"),
    ],
)
def test_what_is_no_expression_is_told(expression: str, said: str) -> None:
    with pytest.raises(Invalid, match=said) as refused:
        parse(expression)
    assert refused.value.code == "invalid_cron"


@pytest.mark.parametrize("zone", ["Europe/Berln", "", "../etc/passwd", "localtime", "Europe", "/etc/localtime", "x" * 5000])
def test_what_is_no_zone_is_told(zone: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse("@daily", zone)
    assert refused.value.code == "invalid_time_zone"
    assert zone != "Europe/Berln" or refused.value.remedy == "did you mean Europe/Berlin?"


def test_how_close_ticks_come() -> None:
    assert parse("* * * * * *").shortest() == 1
    assert parse("0,7 * * * *", "Europe/Berlin").shortest() == 420
    assert parse("0 0 1 1 *").shortest() == 365 * 86400
    assert parse("0 0 29 2 *").shortest() == 800 * 86400


@given(st.text(alphabet="0123456789*/,-#LW MONT@", max_size=40))
@settings(deadline=None, max_examples=300)
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        cron = parse(text, "Europe/Berlin")
    except Invalid:
        return
    tick = cron.next(utc("2026-01-01"))
    assert tick is not None
    assert tick > utc("2026-01-01")


# The rules once more, the slow way: every minute of some days is looked at.
ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "UTC"]
DAYS = [utc(day) for day in ("2026-03-08", "2026-03-28", "2026-04-04", "2026-09-05", "2026-10-03", "2026-10-24", "2026-11-01")]


def slowly(minutes: list[int], hours: list[int] | None, zone: str, start: datetime, end: datetime) -> list[datetime]:
    """The ticks in (start, end] of a schedule at these minutes of these hours (None: of every hour)."""
    place, found = ZoneInfo(zone), set[datetime]()
    moment = start - timedelta(days=2)
    seen, last = set[datetime](), None
    while moment <= end:
        wall = moment.astimezone(place).replace(tzinfo=None)
        if last is not None and wall > last + timedelta(minutes=1) and hours is not None:
            missing = [last + timedelta(minutes=n) for n in range(1, int((wall - last).total_seconds()) // 60)]
            if any(one.minute in minutes and one.hour in hours for one in missing):
                found.add(moment)
        if wall.minute in minutes and (hours is None or (wall.hour in hours and wall not in seen)):
            found.add(moment)
        seen.add(wall)
        last, moment = wall, moment + timedelta(minutes=1)
    return sorted(tick for tick in found if start < tick <= end)


@given(
    st.lists(st.integers(0, 59), min_size=1, max_size=3),
    st.none() | st.lists(st.integers(0, 5), min_size=1, max_size=3),
    st.sampled_from(ZONES),
    st.sampled_from(DAYS),
    st.integers(0, 1440),
)
@settings(deadline=None, max_examples=60)
def test_ticks_are_those_that_looking_at_every_minute_finds(
    minutes: list[int], hours: list[int] | None, zone: str, day: datetime, late: int
) -> None:
    start, end = day + timedelta(minutes=late), day + timedelta(days=2)
    expression = f"{','.join(map(str, minutes))} {'*' if hours is None else ','.join(map(str, hours))} * * *"
    assert parse(expression, zone).until(start, end, 10_000) == slowly(minutes, hours, zone, start, end)
