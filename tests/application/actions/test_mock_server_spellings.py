"""Mock servers as the original TestMesh writes them: conditions, changes after a response, files, chaos, assertions."""

from __future__ import annotations

import json
import time
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from application.actions.mock_server import (
    MOCK_SERVER_RESET_STATE,
    MOCK_SERVER_START,
    MOCK_SERVER_STOP,
    MOCK_SERVER_UPDATE,
)
from application.actions.registry import ACTIONS
from application.engine.action import ActionFailed
from application.flow_documents import read_flow
from domain.errors import InvalidFlow
from tests.application.actions.test_mock_server import asked, mocked, verify
from tests.support.action_context import bench
from tests.support.local import flow


async def test_templates_know_the_parts_of_the_path_a_count_and_the_time() -> None:
    body = {
        "id": "{{path.id}}",
        "name": "User {{path.id}}",
        "n": "{{request_count}}",
        "at": "{{timestamp}}",
        "u": "{{random.uuid}}",
    }
    async with mocked({"endpoints": [{"path": "/users/:id", "method": "GET", "response": {"body": body}}]}) as (_, client):
        _, first = await asked(client, "GET", "/users/7")
        _, second = await asked(client, "GET", "/users/8")
    assert (first["id"], first["name"], first["n"], second["n"]) == ("7", "User 7", 1, 2)
    assert datetime.fromisoformat(first["at"]).tzinfo is not None
    assert first["u"] != second["u"]


async def test_changes_of_the_state_are_made_after_the_response() -> None:
    create = {
        "status": 201,
        "body": {"id": "{{state.next_id}}", "name": "{{request.body.name}}"},
        "state_changes": [
            {"action": "append", "path": "users", "value": {"id": "{{state.next_id}}", "name": "{{request.body.name}}"}},
            {"action": "increment", "path": "next_id"},
            {"action": "set", "path": "last.name", "value": "{{request.body.name}}"},
        ],
    }
    users = {"users": "{{state.users}}", "total": "{{state.users.length}}", "last": "{{state.last.name}}"}
    config = {
        "name": "people",
        "state": {"users": [], "next_id": 1},
        "endpoints": [
            {"path": "/users", "method": "POST", "response": create},
            {"path": "/users", "method": "GET", "response": {"status": 200, "body": users}},
        ],
    }
    async with mocked(config) as (steps, client):
        for number, name in enumerate(("ada", "bob"), 1):
            assert await asked(client, "POST", "/users", json={"name": name}) == (201, {"id": number, "name": name})
        people = [{"id": 1, "name": "ada"}, {"id": 2, "name": "bob"}]
        assert await asked(client, "GET", "/users") == (200, {"users": people, "total": 2, "last": "bob"})
        begun = {"users": [], "next_id": 5}
        assert (await steps.run(MOCK_SERVER_RESET_STATE, {"server": "people", "state": begun}))["state"] == begun
        assert (await asked(client, "POST", "/users", json={"name": "cy"}))[1]["id"] == 5


async def test_the_first_response_whose_condition_holds_is_sent() -> None:
    limited = [
        {"when": "{{request_count <= 2}}", "status": 200, "body": {"left": "{{2 - request_count}}"}},
        {"when": "request_count > 2", "status": 429, "headers": {"Retry-After": "60"}},
    ]
    never = [{"when": "request.query.a == 'x'", "status": 204}]
    endpoints = [{"path": "/limited", "responses": limited}, {"path": "/never", "responses": never}]
    async with mocked({"endpoints": endpoints}) as (_, client):
        answers = [await asked(client, "GET", "/limited") for _ in range(3)]
        assert [status for status, _ in answers] == [200, 200, 429]
        assert [body["left"] for _, body in answers[:2]] == [1, 0]
        assert (await asked(client, "GET", "/never?a=x"))[0] == 204
        status, told = await asked(client, "GET", "/never?a=y")
    assert (status, told["why"]) == (404, "no response has a condition that holds")


async def test_a_scenario_goes_from_one_stage_to_the_next() -> None:
    scenarios = [
        {"name": "initial", "response": {"body": {"count": 0}}, "next_state": "once"},
        {"name": "once", "response": {"body": {"count": 1}}, "next_state": "twice"},
        {"name": "twice", "response": {"body": {"count": 2}}},
    ]
    async with mocked({"endpoints": [{"path": "/counter", "stateful": True, "scenarios": scenarios}]}) as (steps, client):
        counts = [(await asked(client, "GET", "/counter"))[1]["count"] for _ in range(4)]
        await steps.run(MOCK_SERVER_RESET_STATE, {})
        again = (await asked(client, "GET", "/counter"))[1]["count"]
    assert (counts, again) == ([0, 1, 2, 2], 0)


async def test_a_body_is_matched_by_conditions_in_which_it_is_the_root() -> None:
    match = {"body_matches": ["$.email contains '@example.com'", "$.age >= 18"]}
    endpoints = [
        {"path": "/users", "method": "POST", "match": match, "response": {"status": 201}},
        {"path": "*", "method": "*", "response": {"status": 422}},
    ]
    async with mocked({"endpoints": endpoints}) as (_, client):
        for body, status in (
            ({"email": "a@example.com", "age": 18}, 201),
            ({"email": "a@example.com", "age": 17}, 422),
            ({"email": "a@example.com"}, 422),
            ([1], 422),
        ):
            assert (await asked(client, "POST", "/users", json=body))[0] == status


async def test_a_response_may_hang_close_the_connection_or_take_some_time() -> None:
    endpoints = [
        {"path": "/hang", "response": {"hang": True}},
        {"path": "/close", "response": {"close_connection": True}},
        {"path": "/slow", "response": {"delay": {"min": "60ms", "max": "90ms"}, "body": "late"}},
        {"path": "/sometimes", "responses": [{"status": 200}, {"close_connection": True}]},
    ]
    async with mocked({"endpoints": endpoints}) as (_, client):
        with pytest.raises(TimeoutError):
            await asked(client, "GET", "/hang", timeout=aiohttp.ClientTimeout(total=0.1))
        with pytest.raises(aiohttp.ClientError):
            await asked(client, "POST", "/close")
        begun = time.monotonic()
        assert await asked(client, "GET", "/slow") == (200, "late")
        assert 0.05 < time.monotonic() - begun < 5
        assert (await asked(client, "POST", "/sometimes"))[0] == 200
        with pytest.raises(aiohttp.ClientError):
            await asked(client, "POST", "/sometimes")


async def test_chaos_comes_instead_of_the_response_as_often_as_it_says() -> None:
    rules = [{"probability": 0.3, "response": {"status": 503}}, {"probability": 0.2, "response": {"status": 500}}]
    config = {
        "chaos": {"enabled": True, "rules": rules},
        "endpoints": [
            {"path": "/x", "response": {"status": 200}},
            {"path": "/y", "chaos_rules": [{"probability": 1, "response": {"status": 418}}]},
        ],
    }
    async with mocked(config) as (_, client):
        seen = Counter([(await asked(client, "GET", "/x"))[0] for _ in range(200)])
        assert (await asked(client, "GET", "/y"))[0] == 418
    assert set(seen) == {200, 500, 503}
    assert 30 < seen[503] < 90
    off = {**config, "chaos": {"enabled": False, "rules": [{"probability": 1, "response": {"status": 500}}]}}
    async with mocked(off) as (_, client):
        assert (await asked(client, "GET", "/x"))[0] == 200


async def test_a_server_and_its_bodies_come_from_files_of_the_project(tmp_path: Path) -> None:
    (tmp_path / "mocks").mkdir()
    (tmp_path / "mocks" / "big.json").write_text(json.dumps({"rows": [1, 2]}))
    (tmp_path / "mocks" / "report.pdf").write_bytes(b"%PDF\xff\x00")
    (tmp_path / "mocks" / "users.yaml").write_text(
        """
mock_server:
  name: users
  state: {greeting: hello}
  endpoints:
    - {path: /users/:id, method: GET, response: {body: {id: "{{path.id}}", said: "{{state.greeting}}"}}}
    - {path: /big, response: {body_from_file: mocks/big.json}}
    - {path: /report, response: {headers: {Content-Type: application/pdf}, body_from_file: mocks/report.pdf, binary: true}}
"""
    )
    own = {"path": "/users/1", "response": {"body": "mine"}}
    async with mocked({"from_file": "mocks/users.yaml", "endpoints": [own]}, folder=tmp_path) as (steps, client):
        assert await asked(client, "GET", "/users/1") == (200, "mine")
        assert await asked(client, "GET", "/users/2") == (200, {"id": "2", "said": "hello"})
        assert await asked(client, "GET", "/big") == (200, {"rows": [1, 2]})
        async with client.get("/report") as answer:
            assert (answer.content_type, await answer.read()) == ("application/pdf", b"%PDF\xff\x00")
        assert (await steps.run(MOCK_SERVER_STOP, {"server": "users"}))["stopped"] is True


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"from_file": "list.yaml"}, "must hold an object"),
        ({"from_file": "odd.yaml"}, "has no key 'proxxy'"),
        ({"from_file": "../odd.yaml"}, "below the project's folder"),
        ({"from_file": "none.yaml"}, "there is no file"),
        ({"endpoints": [{"path": "/", "response": {"body_from_file": "bytes.txt"}}]}, "is not UTF-8"),
        ({"endpoints": [{"path": "/", "response": {"body_from_file": "bytes.json"}}]}, "is not JSON"),
        ({"endpoints": [{"path": "/", "response": {"body_from_file": "a", "body": 1}}]}, "are both a body"),
        ({"endpoints": [{"path": "/", "response": {"hang": True, "close_connection": True}}]}, "one fault"),
        ({"endpoints": [{"path": "/", "response": {"state_changes": [{"action": "drop", "path": "a"}]}}]}, "is one of set"),
        ({"endpoints": [{"path": "/", "response": {"state_changes": ["a"]}}]}, "is an object of action"),
        ({"endpoints": [{"path": "/", "responses": [{"when": "a ==", "status": 200}]}]}, "when"),
        ({"endpoints": [{"path": "/", "match": {"body_matches": ["$.a =="]}}]}, "match.body_matches"),
        ({"endpoints": [{"path": "/", "scenarios": [{"name": "a", "next_state": "b"}]}]}, "next_state is one of them"),
        ({"endpoints": [{"path": "/", "scenarios": []}]}, "scenarios is a list"),
        ({"endpoints": [{"path": "/", "scenarios": [{"name": "a"}], "response": 200}]}, "response and scenarios"),
        ({"chaos": {"rules": [{"probability": 2}]}}, "from 0 to 1"),
        ({"chaos": [{"probability": 0.9}, {"probability": 0.9}]}, "more than 1 together"),
        ({"chaos": 5}, "chaos has rules"),
    ],
)
async def test_what_is_wrong_is_told_before_anything_listens(config: dict[str, Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "list.yaml").write_text("[1]")
    (tmp_path / "odd.yaml").write_text("mock_server: {proxxy: 1}")
    for name in ("bytes.txt", "bytes.json"):
        (tmp_path / name).write_bytes(b"\xff\xfe")
    async with bench(folder=tmp_path) as steps:
        error = await steps.error(MOCK_SERVER_START, config)
        assert message in error.message
        assert not steps.resources


async def test_a_body_from_a_file_needs_a_folder() -> None:
    config = {"endpoints": [{"path": "/", "response": {"body_from_file": "a.json"}}]}
    async with bench() as steps:
        assert "needs a folder of files" in (await steps.error(MOCK_SERVER_START, config)).message


async def test_assertions_say_what_each_endpoint_must_have_received() -> None:
    async with mocked({"name": "users", "endpoints": [{"path": "/users"}]}) as (steps, client):
        for name in ("ada", "bob"):
            await asked(client, "POST", "/users", json={"name": name}, headers={"Authorization": "Bearer t"})
        await asked(client, "GET", "/users")
        mine = {"path": "/users", "method": "POST", "headers": {"Authorization": "Bearer t"}}
        held = [
            {**mine, "count": 1, "body_matches": ["$.name == 'ada'"]},
            {**mine, "count_min": 1, "count_max": 2},
            {"path": "/users", "method": "GET", "count": 1},
        ]
        assert (await verify(steps, server="users", assertions=held))["count"] == 3
        port = next(iter(steps.resources.values())).info()["server_id"]
        await verify(steps, server=port, assertions=held)
        for assertion, message in (
            ({**mine, "count": 1}, "expected 1 request to POST /users, got 2"),
            ({**mine, "count_min": 3}, "expected at least 3 requests to POST /users, got 2"),
            ({**mine, "body_matches": "$.name == 'eve'"}, "expected at least 1 request to POST /users, got 0"),
        ):
            with pytest.raises(ActionFailed) as failed:
                await verify(steps, server="users", assertions=[held[0], assertion])
            assert message in failed.value.message


async def test_a_single_endpoint_is_added_or_changed() -> None:
    async with mocked({"endpoints": [{"path": "/x", "method": "GET", "response": {"body": "old"}}]}) as (steps, client):
        await steps.run(MOCK_SERVER_UPDATE, {"endpoint": {"path": "/x", "method": "GET", "response": {"body": "new"}}})
        assert (await asked(client, "GET", "/x"))[1] == "new"
        error = await steps.error(MOCK_SERVER_UPDATE, {"endpoint": {"path": "/"}, "endpoints": []})
    assert "keep one" in error.message


def test_names_of_requests_are_known_to_validate_and_others_are_not() -> None:
    text = """
- action: mock_server_start
  config:
    endpoints:
      - path: /users/:id
        responses:
          - {when: "{{request_count < 3}}", body: {id: "{{path.id}}", at: "{{timestamp}}", s: "{{state.a}}"}}
          - {status: 500, body: "{{request_coun}}"}
"""
    _, (warning,) = read_flow(flow(text), actions=ACTIONS)
    assert warning.title.startswith('Nothing defines "request_coun"')
    with pytest.raises(InvalidFlow, match="has no key"):
        read_flow(flow("- {action: mock_server_start, config: {proxxy: {}}}"), actions=ACTIONS)
