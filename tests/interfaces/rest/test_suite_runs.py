"""Suite runs over REST: selected or given one by one, followed, cancelled, run again where they did not pass."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from domain.execution import Execution
from tests.support.served import FLOW, Room

STEPS = "steps: [{action: log, config: {message: hi}}]\n"


def row(room: Room, id: str) -> dict[str, Any]:
    """A suite run, everything written so far included."""
    query = {"min_position": room.server.settled("executions")}
    answer = room.http.get(room.path(f"/suite-runs/{id}"), params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def cases(room: Room, id: str, **query: Any) -> list[dict[str, Any]]:
    query["min_position"] = room.server.settled("executions")
    answer = room.http.get(room.path(f"/suite-runs/{id}/cases"), params=query)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def keys(room: Room, id: str) -> list[str]:
    return [case["key"] for case in cases(room, id)]


def push(room: Room, path: str, more: str = "", **options: Any) -> str:
    return room.push(f"name: {path.rpartition('/')[2]}\n{more}{STEPS}", path, **options)


@pytest.fixture
def pushed(room: Room) -> Room:
    push(room, "shop/login.yaml", "suite: shop\ntags: [smoke]\n")
    push(room, "shop/pay.yaml", "suite: shop\ntags: [slow]\nneeds: [login.yaml]\n")
    push(room, "other/news.yaml", "tags: [smoke, slow]\n")
    return room


@pytest.mark.parametrize(
    ("selection", "found"),
    [
        ({"suite": "shop"}, ["shop/login.yaml", "shop/pay.yaml"]),
        ({"folder": "other/"}, ["other/news.yaml"]),
        ({"folder": "shop/login.yaml"}, ["shop/login.yaml"]),
        ({"tags": "smoke and not slow"}, ["shop/login.yaml"]),
        ({"suite": "shop", "tags": "slow"}, ["shop/pay.yaml", "shop/login.yaml"]),
        ({"project": ""}, ["other/news.yaml", "shop/login.yaml", "shop/pay.yaml"]),
    ],
)
def test_flows_are_selected_and_what_they_need_comes_along(pushed: Room, selection: dict[str, str], found: list[str]) -> None:
    id = pushed.suite_run(**selection)
    assert keys(pushed, id) == found
    assert row(pushed, id)["selection"] == selection


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 422, "nothing_selected"),
        ({"suite": "none"}, 404, "nothing_selected"),
        ({"tags": "and"}, 422, "invalid"),
        ({"flows": [str(uuid4())]}, 404, "not_found"),
        ({"flows": ["x"], "suite": "shop"}, 400, "invalid_body"),
        ({"members": [{}]}, 400, "invalid_body"),
        ({"members": [{"document": "a.yaml"}]}, 422, "missing_file"),
        ({"suite": "shop", "matrix": {"a": "x"}}, 422, "invalid_matrix"),
        ({"suite": "shop", "matrix": {"a": ["x"]}, "variables": {"a": 1}}, 422, "invalid_matrix"),
        ({"suite": "shop", "parallel": 0}, 422, "invalid_field"),
        ({"suite": "shop", "matrix": {"a": list(range(100)), "b": list(range(100))}}, 413, "limit"),
        ({"suite": "shop", "variables": {"a": "x" * 60_000}}, 413, "limit"),
    ],
)
def test_what_cannot_be_run_is_refused(pushed: Room, body: dict[str, Any], status: int, code: str) -> None:
    answer = pushed.http.post(pushed.path("/suite-runs"), json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


def test_a_suite_run_goes_its_way_and_each_case_has_its_execution(pushed: Room) -> None:
    id = pushed.suite_run(suite="shop", parallel=1, name="nightly")
    found = row(pushed, id)
    assert (found["status"], found["counts"], found["name"]) == ("queued", {"waiting": 2}, "nightly")
    pushed.coordinate(UUID(id))
    found = row(pushed, id)
    assert (found["status"], found["verdict"], found["counts"]) == ("finished", "passed", {"passed": 2})
    for case in cases(pushed, id):
        execution = pushed.http.get(pushed.path(f"/executions/{case['execution']}")).json()
        assert (execution["verdict"], execution["trigger"]) == ("passed", "suite")
    listed = pushed.http.get(pushed.path("/suite-runs"), params={"verdict": "passed", "name": "nightly"}).json()["items"]
    assert [item["id"] for item in listed] == [id]


def test_members_bring_documents_rows_and_variables_of_their_own(room: Room) -> None:
    flow = room.push()
    document = {"path": "flows/mine.yaml", "text": f"name: mine\nneeds: [{flow}]\n{STEPS}"}
    rows = [{"key": "r", "values": {"n": 2}}]
    member = {"document": "flows/mine.yaml", "file": "mine.yaml", "variables": {"n": 1}, "rows": rows}
    room.server.settled("flows")
    body = {"members": [member, {"flow": flow}], "documents": [document], "variables": {"who": "eva"}}
    id = room.suite_run(**body)
    assert keys(room, id) == ["flows/mine.yaml[r]", "greet.yaml"]
    assert row(room, id)["selection"] == {"members": 2}
    run = room.coordinate(UUID(id))
    request = room.server.platform.logs["executions"].load(Execution, run.execution_of(0)).request
    assert request.variables == {"n": 2, "row": {"n": 2}, "who": "eva"}
    assert request.suite_run is not None
    assert request.suite_run["needs"] == dict.fromkeys(("Greet", "greet.yaml"), str(run.execution_of(1)))
    assert (request.file, request.case) == ("mine.yaml", "r")


def test_the_same_key_is_the_same_suite_run(pushed: Room) -> None:
    key = {"Idempotency-Key": str(uuid4())}
    first, again = (pushed.http.post(pushed.path("/suite-runs"), json={"suite": "shop"}, headers=key) for _ in range(2))
    assert (first.status_code, first.json()) == (202, again.json())
    assert first.headers["Location"] == pushed.path(f"/suite-runs/{first.json()['id']}")
    other = pushed.http.post(pushed.path("/suite-runs"), json={"folder": "shop"}, headers=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


def test_what_did_not_pass_is_run_again_and_the_chain_is_merged(pushed: Room) -> None:
    id = pushed.suite_run(suite="shop")
    early = pushed.http.post(pushed.path(f"/suite-runs/{id}/rerun"), json={})
    assert (early.status_code, early.json()["code"]) == (409, "not_finished")
    pushed.coordinate(UUID(id), "failed")
    assert [(case["status"], case["reason"]) for case in cases(pushed, id)] == [("ended", ""), ("skipped", "needs")]
    key = {"Idempotency-Key": str(uuid4())}
    again, same = (pushed.http.post(pushed.path(f"/suite-runs/{id}/rerun"), json={}, headers=key) for _ in range(2))
    assert (again.status_code, again.json()) == (202, same.json())
    second = again.json()["id"]
    pushed.coordinate(UUID(second))
    found = row(pushed, id)
    assert (found["verdict"], row(pushed, second)["origin"]) == ("failed", id)
    assert found["merged"] == row(pushed, second)["merged"]
    assert (found["merged"]["verdict"], found["merged"]["flaky"], found["merged"]["runs"]) == ("passed", 1, [id, second])
    merged = cases(pushed, id, merged="true")
    assert [(case["key"], case["verdict"], case["flaky"]) for case in merged] == [
        ("shop/login.yaml", "passed", True),
        ("shop/pay.yaml", "passed", False),
    ]
    nothing = pushed.http.post(pushed.path(f"/suite-runs/{second}/rerun"), json={})
    assert (nothing.status_code, nothing.json()["code"]) == (409, "nothing_to_rerun")


def test_a_cancelled_suite_run_runs_nothing(pushed: Room) -> None:
    id = pushed.suite_run(suite="shop")
    answer = pushed.http.post(pushed.path(f"/suite-runs/{id}/cancel"), json={"reason": "a release"})
    assert answer.status_code == 202
    pushed.coordinate(UUID(id))
    found = row(pushed, id)
    assert (found["verdict"], found["cancel_requested"], found["counts"]) == ("cancelled", True, {"skipped": 2})
    late = pushed.http.post(pushed.path(f"/suite-runs/{id}/cancel"), json={})
    assert (late.status_code, late.json()["code"]) == (409, "already_finished")


def test_events_of_the_run_and_of_its_executions_come_in_order(pushed: Room) -> None:
    id = pushed.suite_run(suite="shop")
    pushed.request()
    pushed.coordinate(UUID(id))
    page = pushed.http.get(pushed.path(f"/suite-runs/{id}/events"), params={"limit": 500}).json()
    topics = [item["topic"] for item in page["items"]]
    assert (topics[0], topics[-1]) == ("suite_run.requested", "suite_run.finished")
    assert topics.count("execution.finished") == 2
    assert {item["execution"] for item in page["items"]} == {id, *(case["execution"] for case in cases(pushed, id))}
    assert "plan" not in page["items"][0]["event"]
    rest = pushed.http.get(pushed.path(f"/suite-runs/{id}/events"), params={"after": page["items"][-2]["position"]}).json()
    assert [item["topic"] for item in rest["items"]] == ["suite_run.finished"]


def test_an_execution_is_no_suite_run_and_the_other_way_round(pushed: Room) -> None:
    execution, id = str(pushed.request()), pushed.suite_run(suite="shop")
    assert pushed.http.post(pushed.path(f"/suite-runs/{execution}/cancel"), json={}).status_code == 404
    assert pushed.http.post(pushed.path(f"/executions/{id}/cancel"), json={}).status_code == 404


def test_documents_must_be_flows(room: Room) -> None:
    body = {"members": [{"document": "a.yaml"}], "documents": [{"path": "a.yaml", "text": FLOW.replace("log", "lag")}]}
    answer = room.http.post(room.path("/suite-runs"), json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_flow")


def test_flows_of_two_projects_may_have_the_same_path(room: Room) -> None:
    for project in ("one", "two"):
        push(room, "a.yaml", "tags: [twice]\n", project=project)
    assert sorted(keys(room, room.suite_run(tags="twice"))) == ["one:a.yaml", "two:a.yaml"]


def test_a_flow_that_was_pushed_a_moment_ago_is_found(room: Room) -> None:
    for number in range(5):
        text = f"name: f{number}\ntags: [t{number}]\n{STEPS}"
        room.http.post(room.path("/flows"), json={"documents": [{"path": f"{number}.yaml", "text": text}]})
        assert room.http.post(room.path("/suite-runs"), json={"tags": f"t{number}"}).status_code == 202


@pytest.mark.parametrize(
    ("text", "says"), [("soon", "not a duration"), ("-1s", "cannot be negative"), ("40d", "30 days at most")]
)
def test_a_time_limit_that_cannot_be_is_refused_where_it_is_given(room: Room, text: str, says: str) -> None:
    asked = room.http.post(room.path("/suite-runs"), json={"flows": [room.push()], "timeout": text})
    plan = {"name": "late", "cron": "@daily", "selection": {"suite": "any", "timeout": text}}
    planned = room.http.post(room.path("/schedules"), json=plan)
    for answer in (asked, planned):
        assert (answer.status_code, says in answer.json()["title"]) == (422, True), answer.text
