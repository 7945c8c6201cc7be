"""The Schedule aggregate: given(past).when(command).then(events)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from domain.errors import Conflict, Invalid, NotFound
from domain.limits import replace_limits
from domain.schedule import Decision, Schedule, tick_uuid
from tests.support.given_when_then import given
from tests.support.schedules import BY, NOON, minute, schedule

ONE = UUID(int=1)


def test_a_schedule_counts_ticks_from_its_creation_on() -> None:
    made = schedule()
    (created,) = made.collect_events()
    assert isinstance(created, Schedule.Created)
    assert (made.considered, made.next_due()) == (NOON, minute(1))


def test_a_change_that_moves_ticks_counts_them_from_now_on() -> None:
    (changed,) = given(schedule()).when(lambda s: s.change(BY, minute(30), cron="0 * * * *")).then(Schedule.Changed)
    assert (changed.changes, changed.since) == ({"cron": "0 * * * *"}, minute(30))


def test_a_change_of_other_fields_leaves_the_ticks_alone() -> None:
    made = schedule()
    given(made).when(lambda s: s.change(BY, minute(30), name="other", overlap="queue")).then(Schedule.Changed)
    assert (made.considered, made.name, made.plan["overlap"]) == (NOON, "other", "queue")


def test_equal_values_change_nothing() -> None:
    given(schedule()).when(lambda s: s.change(BY, minute(1), cron=" *  * * * * ", name="minutely")).then()


def test_what_was_allowed_once_can_still_be_renamed_but_not_made_anew() -> None:
    replace_limits({"schedule_seconds": 1.0})
    try:
        made = schedule(cron="* * * * * *")
    finally:
        replace_limits({"schedule_seconds": 60.0})
    given(made).when(lambda s: s.change(BY, NOON, name="other")).then(Schedule.Changed)
    given(made).when(lambda s: s.change(BY, NOON, cron="*/2 * * * * *")).refused(Invalid)


def test_a_pause_drops_what_waits_and_says_why() -> None:
    queued = Decision("queued", minute(1), minute(1))
    dropped, paused = (
        given(schedule(), lambda s: s.consider(BY, queued))
        .when(lambda s: s.pause(BY, "a release"))
        .then(Schedule.TickConsidered, Schedule.Paused)
    )
    assert (dropped.decision, dropped.tick, paused.reason) == ("dropped", minute(1), "a release")


def test_ticks_of_a_pause_are_not_missed() -> None:
    made = schedule()
    given(made, lambda s: s.pause(BY, "")).when(lambda s: s.resume(BY, minute(90, 5))).then(Schedule.Resumed)
    assert made.next_due() == minute(91)


def test_a_schedule_is_paused_and_resumed_once() -> None:
    given(schedule(), lambda s: s.pause(BY, "")).when(lambda s: s.pause(BY, "")).refused(Conflict)
    given(schedule()).when(lambda s: s.resume(BY, NOON)).refused(Conflict)


@pytest.mark.parametrize("command", ["change", "pause", "resume", "delete"])
def test_a_deleted_schedule_takes_no_command(command: str) -> None:
    commands: dict[str, Any] = {
        "change": lambda s: s.change(BY, NOON, name="x"),
        "pause": lambda s: s.pause(BY, ""),
        "resume": lambda s: s.resume(BY, NOON),
        "delete": lambda s: s.delete(BY),
    }
    given(schedule(), lambda s: s.delete(BY)).when(commands[command]).refused(NotFound)


def test_a_started_tick_names_the_execution_that_follows_from_it() -> None:
    made = schedule(id=ONE)
    (considered,) = (
        given(made).when(lambda s: s.consider(BY, Decision("started", minute(1), minute(1)))).then(Schedule.TickConsidered)
    )
    assert considered.execution == made.last == str(tick_uuid(ONE, minute(1)))
    assert made.considered == minute(1)


def test_a_tick_that_turns_out_not_to_be_startable_leaves_nothing_running() -> None:
    made = schedule()
    started, gone = Decision("started", minute(1), minute(1)), Decision("not_startable", minute(1), minute(1))
    given(made, lambda s: s.consider(BY, started)).when(lambda s: s.consider(BY, gone)).then(Schedule.TickConsidered)
    assert made.last == ""


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("name", "  ", "invalid_name"),
        ("name", "a\nb", "invalid_name"),
        ("name", "x" * 201, "invalid_name"),
        ("cron", "* * *", "invalid_cron"),
        ("cron", "*/30 * * * * *", "too_frequent"),
        ("time_zone", "Mars/Olympus", "invalid_time_zone"),
        ("jitter", 60.0, "invalid_jitter"),
        ("jitter", -1.0, "invalid_jitter"),
        ("overlap", "allow", "invalid_field"),
        ("missed", "latest", "invalid_field"),
    ],
)
def test_what_cannot_be_scheduled_is_refused(field: str, value: Any, code: str) -> None:
    with pytest.raises(Invalid) as refused:
        schedule(**{field: value})
    assert refused.value.code == code
    again = given(schedule()).when(lambda s: s.change(BY, NOON, **{field: value})).refused(Invalid)
    assert isinstance(again, Invalid)
    assert again.code == code


def test_jitter_is_the_same_for_whoever_asks_and_differs_from_tick_to_tick() -> None:
    one, same, other = schedule(id=ONE, jitter=50.0), schedule(id=ONE, jitter=50.0), schedule(jitter=50.0)
    ticks = [minute(number) for number in range(200)]
    delays = [one.due(tick) - tick for tick in ticks]
    assert delays == [same.due(tick) - tick for tick in ticks]
    assert delays != [other.due(tick) - tick for tick in ticks]
    assert all(timedelta() <= delay < timedelta(seconds=50) for delay in delays)
    assert len(set(delays)) > 150


def test_a_snapshot_gives_the_schedule_back() -> None:
    made = schedule(jitter=3.0, variables={"a": [1]}, tags=["x"], id=uuid4())
    made.consider(BY, Decision("started", minute(1), minute(1), revision=3))
    made.consider(BY, Decision("queued", minute(2), minute(2)))
    assert made.runs == (made.plan["flow"], 3)
    state = {name: value for name, value in vars(made).items() if not name.startswith("_")}
    plain = {**state, **{name: state[name].isoformat() for name in ("considered", "last_tick")}}
    plain["runs"] = list(state["runs"])
    plain["waiting"] = [tick.isoformat() for tick in state["waiting"]]
    assert Schedule.thawed(plain) == state
