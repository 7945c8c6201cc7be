"""One event of every class, made by the real aggregates: what golden fixtures are made of."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from domain.once_step import OnceStep
from domain.user import User
from domain.workspace import Workspace
from tests.support import events
from tests.support.events import BY, WORKSPACE
from tests.support.suites import cases, suite_run


def every_event() -> dict[str, Any]:
    """The first event of each topic in some small histories."""
    found: dict[str, Any] = {}
    for aggregate in histories():
        for event in aggregate.collect_events():
            found.setdefault(type(event).TOPIC, event)
    return found


def histories() -> Iterator[Any]:
    """Small histories of aggregates, all in their pending events, that have every class of event among them."""
    yield events.events_of_attempt(events.requested())
    lost = events.begin(events.started(events.requested()))
    lost.abandon(BY, 1, "worker_lost")
    lost.start_teardown(BY, 1, "b", 1)
    lost.finish_teardown(BY, 1, "b", 1, "passed")
    yield lost
    given_up = events.begin(events.started(events.requested()))
    given_up.abandon(BY, 1, "worker_lost")
    for number in (1, 2):
        given_up.start_teardown(BY, 1, "b", number)
        given_up.abandon(BY, 1, "worker_lost")
    yield given_up
    cancelled = events.started(events.requested())
    cancelled.request_cancel(BY, "enough")
    yield cancelled
    flow = events.flow()
    flow.revise(BY, **events.source("a.yaml", 2))
    flow.revise(BY, **{**events.source("b.yaml"), "digest": flow.digest})
    flow.tag(BY, ["nightly"])
    flow.archive(BY)
    flow.restore(BY)
    yield flow
    schedule = events.considered(events.schedule())
    schedule.change(BY, schedule.considered + timedelta(hours=1), cron="0 * * * *")
    schedule.pause(BY, "for now")
    schedule.resume(BY, schedule.considered + timedelta(hours=1))
    schedule.delete(BY)
    yield schedule
    room, user, key = Workspace.open(BY, "room"), User.register(BY, "eva", WORKSPACE), events.key()
    room.add_member(BY, str(user.id), "owner")
    room.add_member(BY, "other", "owner")
    room.remove_member(BY, "other")
    user.disable(BY)
    user.enable(BY)
    key.revoke(BY)
    yield from (room, user, key)
    yield from _suites()


def _suites() -> Iterator[Any]:
    run = suite_run(*cases((), (0,), ()))
    run.advance(BY)
    run.end_cases(BY, {0: ("failed", "")})
    run.advance(BY)
    run.request_cancel(BY, "enough")
    run.end_cases(BY, {2: ("cancelled", "")})
    run.advance(BY)
    yield run
    late = suite_run(timeout=60.0, deadline="2026-11-26T02:00:00+00:00")
    late.reach_time_limit(BY)
    yield late
    step = OnceStep.claim(BY, workspace=WORKSPACE, suite_run=str(run.id), cell="", name="login", execution=run.id, attempt=1)
    step.give_up(BY)
    step.reclaim(BY, run.id, 2)
    step.finish(BY, {"id": "p", "size": 1})
    yield step
