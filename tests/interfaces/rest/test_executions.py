"""Executions over REST: requested once, read, followed and cancelled."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest

from interfaces.settings import Settings
from tests.support.served import FLOW, Room


def request(room: Room, key: str | None = None, **body: Any) -> httpx.Response:
    """Ask for a run, with an Idempotency-Key where one is given."""
    headers = {"Idempotency-Key": key} if key is not None else {}
    return room.http.post(room.path("/executions"), json={"document": FLOW, **body}, headers=headers)


def test_a_run_is_accepted_and_read_at_its_position(room: Room) -> None:
    answer = request(room, variables={"user": "eva"}, tags=["smoke"])
    body = answer.json()
    assert answer.status_code == 202
    assert answer.headers["X-Event-Position"] == body["position"]
    row = room.http.get(answer.headers["Location"], params={"min_position": body["position"]}).json()
    assert (row["id"], row["status"], row["tags"], row["flow_name"]) == (body["id"], "queued", ["smoke"], "Greet")


def test_the_same_idempotency_key_gives_the_same_execution(room: Room) -> None:
    first, second = request(room, "build-7"), request(room, "build-7")
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["id"] == second.json()["id"]
    assert (
        len(room.http.get(room.path("/executions"), params={"min_position": room.server.settled("executions")}).json()["items"])
        == 1
    )


def test_an_idempotency_key_with_another_body_is_refused(room: Room) -> None:
    request(room, "build-7")
    answer = request(room, "build-7", variables={"user": "eva"})
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")


def test_two_workspaces_may_use_the_same_idempotency_key(room: Room, foreign: Room) -> None:
    first, second = request(room, "build-7"), request(foreign, "build-7")
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["id"] != second.json()["id"]


@pytest.mark.parametrize("key", ["", "x" * 256, "with blank", "ünicode"])
def test_an_idempotency_key_is_short_visible_ascii(room: Room, key: str) -> None:
    headers = {b"Idempotency-Key": key.encode()}
    answer = room.http.post(room.path("/executions"), json={"document": FLOW}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_idempotency_key")


def test_a_flow_runs_in_the_revision_that_was_asked_for(room: Room) -> None:
    id = room.push()
    room.push(FLOW.replace("hi", "hello"))
    answer = room.http.post(room.path("/executions"), json={"flow": id, "revision": 1})
    where, at = answer.headers["Location"], {"min_position": answer.json()["position"]}
    assert room.http.get(where, params=at).json()["flow_revision"] == 1
    assert room.http.get(where + "/source").text == FLOW
    assert room.http.post(room.path("/executions"), json={"flow": id, "revision": 3}).status_code == 404


def test_the_flow_of_another_workspace_cannot_be_run(room: Room, foreign: Room) -> None:
    answer = room.http.post(room.path("/executions"), json={"flow": foreign.push()})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_an_invalid_document_is_refused_with_every_problem(room: Room) -> None:
    answer = request(room, document="name: Bad\nsteps:\n  - action: nonsense\n  - action: worse\n", file="bad.yaml")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_flow")
    assert {(found["file"], found["line"]) for found in answer.json()["problems"]} >= {("bad.yaml", 3), ("bad.yaml", 4)}


def test_variables_that_no_event_can_hold_are_refused(room: Room) -> None:
    answer = request(room, variables={"large": "x" * 60_000})
    assert (answer.status_code, answer.json()["code"]) == (413, "limit")


def test_variables_with_secret_names_are_not_shown_again(room: Room) -> None:
    answer = request(room, variables={"api_token": "open sesame", "user": "eva"})
    at = {"min_position": answer.json()["position"]}
    for path in ("", "/events"):
        shown = room.http.get(answer.headers["Location"] + path, params=at if not path else None).text
        assert "eva" in shown
        assert "open sesame" not in shown


def test_cancelling_is_accepted_while_it_runs_and_refused_when_it_has_finished(room: Room) -> None:
    id = room.request()
    cancelled = room.http.post(room.path(f"/executions/{id}/cancel"), json={"reason": "a mistake"})
    assert (cancelled.status_code, cancelled.json()) == (202, {"id": str(id)})
    other = room.request()
    room.drive(other)
    refused = room.http.post(room.path(f"/executions/{other}/cancel"))
    assert refused.status_code == 409


def test_an_execution_is_listed_by_what_became_of_it(room: Room) -> None:
    waits, done = room.request(), room.request()
    room.drive(done)

    def ids(**query: str) -> list[str]:
        return [row["id"] for row in room.http.get(room.path("/executions"), params=query).json()["items"]]

    assert (ids(status="queued"), ids(verdict="passed"), ids()) == ([str(waits)], [str(done)], [str(done), str(waits)])
    assert room.http.get(room.path("/executions"), params={"status": "lost"}).status_code == 422


def test_the_history_of_an_execution_comes_in_pages_in_order(room: Room) -> None:
    id = room.request()
    room.drive(id, steps=5)
    versions, after, pages = [], None, 0
    while True:
        query = {"limit": 4} | ({"after": after} if after else {})
        page = room.http.get(room.path(f"/executions/{id}/events"), params=query).json()
        versions += [event["version"] for event in page["items"]]
        after, pages = page["next"], pages + 1
        if not page["items"]:
            break
    assert versions == list(range(1, len(versions) + 1))
    assert pages == 5


def test_the_feed_of_a_workspace_has_its_own_events_alone(room: Room, foreign: Room) -> None:
    foreign.drive(foreign.request())
    mine = {str(room.request()), str(room.request())}
    page = room.http.get(room.path("/events")).json()
    assert {event["execution"] for event in page["items"]} == mine
    assert room.http.get(room.path("/events"), params={"after": page["next"]}).json() == {"items": [], "next": page["next"]}


@pytest.mark.parametrize("after", ["flows:1", "x", "executions:-1"])
def test_a_position_of_another_log_is_refused(room: Room, after: str) -> None:
    assert room.http.get(room.path("/events"), params={"after": after}).json()["code"] == "invalid_position"


def test_an_unknown_execution_is_not_found(room: Room) -> None:
    for rest in ("", "/source", "/events"):
        assert room.http.get(room.path(f"/executions/{uuid4()}{rest}")).status_code == 404


def test_old_events_of_an_execution_are_there_when_the_feed_keeps_them_no_more(room: Room, settings: Settings) -> None:
    id = room.request()
    end = room.drive(id)
    path = room.path(f"/executions/{id}/events")
    before = room.http.get(path).json()["items"]
    with psycopg.connect(settings.database_url) as connection:
        mark = connection.execute("SELECT feed_id FROM executions.live_feed_pruned").fetchone()
        assert mark is not None
        connection.execute("UPDATE executions.live_feed_pruned SET feed_id = %s", (end - 2,))
        connection.execute("DELETE FROM executions.live_feed WHERE execution = %s AND feed_id <= %s", (id, end - 2))
        connection.commit()
        try:
            assert room.http.get(path).json()["items"] == before, "some from the log, the last two from the feed"
            paged, after = [], None
            while page := room.http.get(path, params={"limit": 2, **({"after": after} if after else {})}).json()["items"]:
                paged += page
                after = page[-1]["position"]
            assert paged == before
            whole = room.http.get(room.path("/events"), params={"after": f"executions:{end - 4}"})
            assert (whole.status_code, whole.json()["code"]) == (410, "resync"), "those of the workspace are not"
        finally:
            connection.execute("UPDATE executions.live_feed_pruned SET feed_id = %s", mark)
            connection.commit()


def test_a_position_that_this_server_has_never_had_leaves_no_silent_gap(room: Room) -> None:
    id = room.request()
    room.drive(id)
    answer = room.http.get(room.path(f"/executions/{id}/events"), params={"after": "executions:999999999"})
    assert (answer.status_code, answer.json()["code"]) == (410, "resync")
    assert "is behind the newest event of this server" in answer.json()["title"]


def test_an_accepted_request_is_answered_the_same_after_its_flow_was_archived(room: Room) -> None:
    flow = room.push()
    headers = {"Idempotency-Key": "again"}
    first = room.http.post(room.path("/executions"), json={"flow": flow}, headers=headers)
    assert room.http.post(room.path(f"/flows/{flow}/archive")).status_code == 200
    again = room.http.post(room.path("/executions"), json={"flow": flow}, headers=headers)
    assert (again.status_code, again.json()) == (202, first.json())
    assert again.headers["X-Event-Position"] == first.headers["X-Event-Position"]
    assert room.http.post(room.path("/executions"), json={"flow": flow}).status_code == 409


STEPS = "steps: [{action: log, config: {message: x}}]\n"
ROWS = f"name: rows\ndata:\n  key: city\n  rows: [{{city: rome, n: 1}}, {{city: oslo, n: 2}}]\n{STEPS}"


def test_a_flow_with_rows_runs_for_the_row_that_is_named(room: Room) -> None:
    for what in ({"flow": room.push(ROWS, "rows.yaml")}, {"document": ROWS}):
        answer = room.http.post(room.path("/executions"), json={**what, "case": "oslo", "variables": {"who": "eva"}})
        assert answer.status_code == 202, answer.text
        request = room.server.platform.executions.get(room.id, UUID(answer.json()["id"])).request
        assert request.variables == {"city": "oslo", "n": 2, "row": {"city": "oslo", "n": 2}, "who": "eva"}
        nowhere = room.http.post(room.path("/executions"), json={**what, "case": "bonn"})
        assert (nowhere.status_code, nowhere.json()["code"]) == (404, "no_such_row")
        none = room.http.post(room.path("/executions"), json=what)
        assert (none.status_code, none.json()["code"]) == (422, "has_rows")
        assert "/suite-runs" in none.json()["remedy"]
