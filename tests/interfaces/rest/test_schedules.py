"""Schedules over REST: created once, changed, paused with a reason, and what comes next."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from domain.events import Actor
from domain.limits import LIMITS, replace_limits
from domain.schedule import Decision, Schedule
from tests.support.served import FLOW, Room


def row(room: Room, id: str) -> dict[str, Any]:
    """A schedule, everything written so far included."""
    answer = room.http.get(room.path(f"/schedules/{id}"), params={"min_position": room.server.settled("schedules")})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def names(room: Room, **query: Any) -> list[str]:
    query["min_position"] = room.server.settled("schedules")
    return [item["name"] for item in room.http.get(room.path("/schedules"), params=query).json()["items"]]


def decided(room: Room, id: str, *kinds: Any) -> list[datetime]:
    """Decisions about the ticks that come next, as a scheduler records them."""
    log = room.server.platform.logs["schedules"]
    made, ticks = log.load(Schedule, UUID(id)), []
    for kind in kinds:
        tick = made.cron.next(made.considered)
        assert tick is not None
        made.consider(Actor(f"schedule:{id}"), Decision(kind, tick, tick, why=f"because {kind}"))
        ticks.append(tick)
    room.server.wait("schedules", log.put(made))
    return ticks


def test_a_schedule_says_what_it_was_given_and_when_it_ticks_next(room: Room) -> None:
    more = {"time_zone": "Europe/Berlin", "overlap": "queue", "missed": "run_once", "tags": ["nightly"]}
    variables = {"user": "eva", "api_token": "very secret"}
    found = row(room, room.schedule(jitter="1m30s", variables=variables, **more))
    assert {name: found[name] for name in more} == more
    assert found["jitter"] == 90.0
    assert found["variables"]["user"] == "eva"
    assert "very secret" not in str(found)
    next_tick = datetime.fromisoformat(found["next_tick"])
    assert next_tick > datetime.now(UTC)
    assert (found["paused"], found["last_tick"], found["waiting"]) == (False, None, [])


def test_the_same_idempotency_key_makes_one_schedule(room: Room) -> None:
    body = {"name": "once", "flow": room.push(), "cron": "@daily"}
    key = {"Idempotency-Key": str(uuid4())}
    first, again = (room.http.post(room.path("/schedules"), json=body, headers=key) for _ in range(2))
    assert (first.status_code, first.json()) == (again.status_code, again.json())
    assert first.headers["Location"] == room.path(f"/schedules/{first.json()['id']}")
    assert names(room) == ["once"]
    other = room.http.post(room.path("/schedules"), json={**body, "name": "other"}, headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"cron": "61 * * * *"}, "invalid_cron"),
        ({"cron": "* * * * * *"}, "too_frequent"),
        ({"time_zone": "Europe/Berln"}, "invalid_time_zone"),
        ({"jitter": "soon"}, "invalid_jitter"),
        ({"jitter": "25h"}, "invalid_jitter"),
        ({"overlap": "allow"}, "invalid_field"),
        ({"name": "\x07"}, "invalid_name"),
        ({"created_by": "me"}, "unknown_field"),
    ],
)
def test_what_cannot_be_scheduled_is_refused_in_create_and_change(room: Room, change: dict[str, Any], code: str) -> None:
    body = {"name": "x", "flow": room.push(), "cron": "@daily", **change}
    created = room.http.post(room.path("/schedules"), json=body)
    changed = room.http.patch(room.path(f"/schedules/{room.schedule()}"), json=change)
    assert [(answer.status_code, answer.json()["code"]) for answer in (created, changed)] == [(422, code)] * 2


def test_a_change_leaves_alone_what_it_does_not_name(room: Room) -> None:
    id = room.schedule(tags=["a"], jitter="5s")
    assert room.http.patch(room.path(f"/schedules/{id}"), json={"cron": "0 4 * * *"}).status_code == 200
    found = row(room, id)
    assert (found["cron"], found["tags"], found["jitter"], found["name"]) == ("0 4 * * *", ["a"], 5.0, "nightly")


def test_a_pause_has_its_reason_until_it_ends(room: Room) -> None:
    id = room.schedule()
    assert room.http.post(room.path(f"/schedules/{id}/pause"), json={"reason": "a release"}).status_code == 200
    found = row(room, id)
    assert (found["paused"], found["pause_reason"], found["next_tick"]) == (True, "a release", None)
    again = room.http.post(room.path(f"/schedules/{id}/pause"), json={})
    assert (again.status_code, again.json()["code"]) == (409, "already_paused")
    assert room.http.post(room.path(f"/schedules/{id}/pause"), json={"reason": "a longer release"}).status_code == 200
    assert row(room, id)["pause_reason"] == "a longer release"
    assert names(room, paused="true") == ["nightly"]
    assert room.http.post(room.path(f"/schedules/{id}/resume")).status_code == 200
    found = row(room, id)
    assert (found["paused"], found["pause_reason"]) == (False, "")
    assert room.http.post(room.path(f"/schedules/{id}/resume")).json()["code"] == "not_paused"


def test_a_deleted_schedule_is_gone(room: Room) -> None:
    id = room.schedule()
    assert room.http.delete(room.path(f"/schedules/{id}")).status_code == 200
    room.server.settled("schedules")
    for method, rest in (
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/pause"),
        ("GET", "/next"),
        ("GET", "/decisions"),
    ):
        body = {} if method in ("PATCH", "POST") else None
        assert room.http.request(method, room.path(f"/schedules/{id}{rest}"), json=body).status_code == 404
    assert names(room) == []


def test_the_next_five_firings_have_local_time_and_their_share_of_the_jitter(room: Room) -> None:
    id = room.schedule(time_zone="America/New_York", jitter="1h")
    items = room.http.get(room.path(f"/schedules/{id}/next")).json()["items"]
    assert len(items) == 5
    assert {datetime.fromisoformat(item["local"]).hour for item in items} == {3}
    delays = [datetime.fromisoformat(item["due"]) - datetime.fromisoformat(item["tick"]) for item in items]
    assert all(timedelta() <= delay < timedelta(hours=1) for delay in delays)
    assert len(set(delays)) == 5
    assert len(room.http.get(room.path(f"/schedules/{id}/next"), params={"count": 2}).json()["items"]) == 2


def test_decisions_are_told_newest_first_page_by_page(room: Room) -> None:
    id = room.schedule()
    ticks = decided(room, id, "started", "skipped_overlap", "queued")
    seen, cursor = [], None
    while True:
        query = {"limit": 2, **({"cursor": cursor} if cursor else {})}
        page = room.http.get(room.path(f"/schedules/{id}/decisions"), params=query).json()
        seen += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert [item["decision"] for item in seen] == ["queued", "skipped_overlap", "started"]
    assert [datetime.fromisoformat(item["tick"]) for item in seen] == ticks[::-1]
    assert seen[1]["why"] == "because skipped_overlap"
    only = room.http.get(room.path(f"/schedules/{id}/decisions"), params={"decision": "started"}).json()["items"]
    assert [item["execution"] for item in only] == [row(room, id)["last_execution"]]
    assert row(room, id)["waiting"] == [ticks[2].isoformat()]


def test_schedules_are_found_by_name_or_id_or_flow(room: Room) -> None:
    flow, other = room.push(), room.push(path="other.yaml")
    id = room.schedule(name="b", flow=flow)
    room.schedule(name="A", flow=other)
    assert names(room) == ["A", "b"]
    assert names(room, called="b") == names(room, called=id) == names(room, flow=flow) == ["b"]
    assert names(room, called="B") == []


def test_an_archived_flow_cannot_be_scheduled(room: Room) -> None:
    flow = room.push()
    room.http.post(room.path(f"/flows/{flow}/archive"))
    answer = room.http.post(room.path("/schedules"), json={"name": "x", "flow": flow, "cron": "@daily"})
    assert (answer.status_code, answer.json()["code"]) == (409, "flow_archived")


def test_a_workspace_has_so_many_schedules_and_no_more(room: Room) -> None:
    before = LIMITS.schedules
    replace_limits({"schedules": 1})
    try:
        key = {"Idempotency-Key": str(uuid4())}
        body = {"name": "x", "flow": room.push(), "cron": "@daily"}
        assert room.http.post(room.path("/schedules"), json=body, headers=key).status_code == 201
        room.server.settled("schedules")
        assert room.http.post(room.path("/schedules"), json=body).status_code == 413
        assert room.http.post(room.path("/schedules"), json=body, headers=key).status_code == 201
    finally:
        replace_limits({"schedules": before})


def test_a_schedule_of_a_selection_says_which_and_may_change_to_a_flow(room: Room) -> None:
    selection = {"suite": "night", "tags": "smoke and not slow", "matrix": {"site": ["x"]}, "parallel": 3}
    body = {"name": "all", "cron": "@daily", "selection": selection}
    early = room.http.post(room.path("/schedules"), json=body)
    assert (early.status_code, early.json()["code"]) == (404, "nothing_selected"), "no flow is of this suite yet"
    room.push(FLOW.replace("name: Greet", "name: Greet\nsuite: night\ntags: [smoke]"), path="night.yaml")
    answer = room.http.post(room.path("/schedules"), json=body)
    assert answer.status_code == 201, answer.text
    id = answer.json()["id"]
    typo = room.http.patch(room.path(f"/schedules/{id}"), json={"selection": {"suite": "nihgt"}})
    assert (typo.status_code, typo.json()["code"]) == (404, "nothing_selected")
    found = row(room, id)
    assert (found["flow"], found["selection"]) == ("", selection)
    assert room.http.patch(room.path(f"/schedules/{id}"), json={"flow": room.push()}).status_code == 200
    assert row(room, id)["selection"] == {}


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, "invalid_body"),
        ({"selection": {}}, 422, "nothing_selected"),
        ({"selection": {"parallel": 3}}, 422, "nothing_selected"),
        ({"selection": {"suite": "a", "more": 1}}, 422, "unknown_field"),
        ({"selection": {"suite": "a", "matrix": {"x": 1}}}, 422, "invalid_matrix"),
        ({"selection": {"tags": "and"}}, 422, "invalid"),
    ],
)
def test_a_schedule_of_nothing_is_refused(room: Room, body: dict[str, Any], status: int, code: str) -> None:
    answer = room.http.post(room.path("/schedules"), json={"name": "x", "cron": "@daily", **body})
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
