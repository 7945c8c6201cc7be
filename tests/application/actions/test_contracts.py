"""The actions contract_generate and contract_verify, against a real provider that keeps a contract or breaks it."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from application.actions.contract_generate import CONTRACT_GENERATE
from application.actions.contract_verify import CONTRACT_VERIFY
from application.actions.registry import ACTIONS
from application.engine.action import ActionError, ActionFailed
from application.engine.egress import WorkerPolicy
from tests.support.action_context import Bench, bench
from tests.support.http_server import Answer, HttpServer, Received, always, http_server, reply, reply_json
from tests.support.local import Local, finished, flow, outcomes

NAMES = {"consumer": "shop", "provider": "users"}
ONE = {
    "description": "a user",
    "given": [{"name": "the user exists", "params": {"id": 7}}],
    "request": {
        "method": "get",
        "path": "/users/7",
        "query": {"fields": ["id", "name"]},
        "headers": {"Accept": "application/json"},
    },
    "response": {
        "status": 200,
        "headers": {"Content-Type": {"match": "regex", "regex": "^application/json", "value": "application/json"}},
        "body": {
            "id": {"match": "integer", "value": 7},
            "name": {"match": "type", "value": "Ada"},
            "born": {"match": "date", "format": "yyyy-MM-dd", "value": "1815-12-10"},
            "roles": {
                "match": "eachLike",
                "min": 1,
                "value": {"name": {"match": "regex", "regex": "^[a-z]+$", "value": "admin"}},
            },
            "kind": "person",
        },
    },
}
MAKE = {
    "description": "a new user",
    "request": {"method": "POST", "path": "/users", "body": {"name": {"match": "type", "value": "Bob"}}},
    "response": {"status": 201, "body": {"id": {"match": "type", "value": 1}}},
}


def users(**changed: Any) -> Answer:
    """A provider that keeps the contract, but for the fields of the user that are changed."""
    user = {"id": 12, "name": "Eve", "born": "2001-02-03", "roles": [{"name": "a"}, {"name": "b"}], "kind": "person", "more": 1}
    made = {**user, **changed}

    async def answer(received: Received, writer: asyncio.StreamWriter) -> bytes:
        if received.path == "/users/7" and received.method == "GET":
            return reply_json({name: value for name, value in made.items() if value is not ...})
        if received.path == "/users" and received.method == "POST" and received.json() == {"name": "Bob"}:
            return reply_json({"id": 2}, 201)
        return reply("states", 200) if received.path == "/states" else reply("nothing", 404)

    return answer


async def generated(**config: Any) -> Any:
    async with bench() as steps:
        return (await steps.run(CONTRACT_GENERATE, {**NAMES, **config}))["contract"]


async def refused(**config: Any) -> ActionError:
    async with bench() as steps:
        return await steps.error(CONTRACT_GENERATE, {**NAMES, **config})


async def verified(server: HttpServer, contract: Any, made: Bench | None = None, **config: Any) -> Any:
    async with bench() as steps:
        return await (made or steps).run(CONTRACT_VERIFY, {"contract": contract, "provider_base_url": server.url, **config})


async def broken(server: HttpServer, contract: Any, **config: Any) -> ActionFailed:
    with pytest.raises(ActionFailed) as raised:
        await verified(server, contract, **config)
    assert raised.value.result is not None
    assert raised.value.result["verified"] is False
    return raised.value


class TestGenerating:
    async def test_matchers_become_examples_and_rules_of_version_3(self) -> None:
        contract = await generated(interactions=[ONE])
        (item,) = contract["interactions"]
        assert contract["metadata"] == {"pactSpecification": {"version": "3.0.0"}}
        assert item["providerStates"] == [{"name": "the user exists", "params": {"id": 7}}]
        assert item["request"] == {
            "method": "GET",
            "path": "/users/7",
            "query": {"fields": ["id", "name"]},
            "headers": {"Accept": "application/json"},
        }
        assert item["response"]["headers"] == {"Content-Type": "application/json"}
        assert item["response"]["body"]["roles"] == [{"name": "admin"}]
        rules = item["response"]["matchingRules"]
        assert list(rules["body"]) == ["$.id", "$.name", "$.born", "$.roles[*].name", "$.roles"]
        assert rules["body"]["$.roles"] == {"combine": "AND", "matchers": [{"match": "type", "min": 1}]}
        assert rules["header"]["Content-Type"]["matchers"] == [{"match": "regex", "regex": "^application/json"}]

    async def test_version_4_has_types_keys_and_contents(self) -> None:
        status = {"match": "statusCode", "status": "success", "value": 201}
        contract = await generated(version=4, interactions=[{**MAKE, "response": {"status": status}, "pending": True}])
        (item,) = contract["interactions"]
        assert (item["type"], item["pending"], len(item["key"])) == ("Synchronous/HTTP", True, 16)
        assert item["request"]["body"] == {"content": {"name": "Bob"}, "contentType": "application/json", "encoded": False}
        assert item["request"]["headers"] == {"Content-Type": ["application/json"]}
        rule = {"combine": "AND", "matchers": [{"match": "statusCode", "status": "success"}]}
        assert item["response"] == {"status": 201, "matchingRules": {"status": rule}}

    @pytest.mark.parametrize(
        ("response", "message"),
        [
            (
                {"body": {"a": {"match": "regex", "regex": "^x$", "value": "y"}}},
                "body $.a: the example does not fit its matcher",
            ),
            ({"body": {"a": {"match": "integer", "value": "1"}}}, "expected an integer"),
            ({"body": {"a": {"match": "type"}}}, "the matcher type needs value"),
            ({"body": {"a": {"match": "type", "value": 1, "mni": 1}}}, "there is no key 'mni'"),
            ({"body": {"a": {"match": "semver", "value": "1.2.3"}}}, "came with version 4"),
            ({"body": {"match": "type", "value": {"match": "type", "value": 1}}}, "directly inside another one"),
            ({"headers": {"X": {"match": "eachLike", "value": 1}}}, "is a matcher of bodies"),
            ({"status": 99}, "status must be a number"),
            ({"sattus": 200}, "there is no key 'sattus'"),
            ({"matching_rules": {"body": {"$.a": {"match": "odd"}}}}, "the matcher 'odd' is not supported"),
        ],
    )
    async def test_what_nobody_could_keep_or_read_is_refused(self, response: Any, message: str) -> None:
        assert message in (await refused(interactions=[{**ONE, "response": response}])).message

    async def test_lists_in_lists_are_bounded(self) -> None:
        body: Any = "x"
        for _ in range(5):
            body = {"match": "eachLike", "min": 1000, "value": body}
        error = await refused(interactions=[{**ONE, "response": {"body": body}}])
        assert (error.kind, error.message.startswith("interactions[0]: ")) == ("limit", True)

    async def test_interactions_are_told_apart(self) -> None:
        assert "two interactions are called 'a user'" in (await refused(interactions=[ONE, ONE])).message
        assert "give interactions, from_steps or both" in (await refused(interactions=[])).message

    async def test_objects_that_only_look_like_matchers_stay(self) -> None:
        kept = {"match": "equality", "value": {"match": "type", "value": 1}}
        contract = await generated(interactions=[{**ONE, "response": {"body": {"a": kept, "b": {"match": "other"}}}}])
        assert contract["interactions"][0]["response"]["body"] == {"a": {"match": "type", "value": 1}, "b": {"match": "other"}}

    async def test_the_file_is_written_below_the_folder_alone(self, tmp_path: Path) -> None:
        folder = tmp_path / "project"
        folder.mkdir()
        (folder / "out").symlink_to(tmp_path)
        (folder / "link.json").symlink_to(tmp_path / "other.json")
        config = {**NAMES, "interactions": [MAKE]}
        async with bench(folder=folder) as steps:
            made = await steps.run(CONTRACT_GENERATE, {**config, "output_file": "pacts/shop.json"})
            assert made["file"] == "pacts/shop.json"
            assert json.loads((folder / "pacts/shop.json").read_text()) == made["contract"]
            for name in ("../x.json", "/tmp/x.json", "out/x.json", "out/new/x.json", "link.json", "pacts/x.sh", "~x.json", 5):
                await steps.error(CONTRACT_GENERATE, {**config, "output_file": name})
        assert os.listdir(tmp_path) == ["project"]
        async with bench() as worker:
            assert "needs a folder" in (await worker.error(CONTRACT_GENERATE, {**config, "output_file": "x.json"})).message


class TestVerifying:
    @pytest.mark.parametrize("version", [3, 4])
    async def test_what_is_generated_is_kept_by_a_provider_that_keeps_it(self, version: int) -> None:
        contract = await generated(version=version, interactions=[ONE, MAKE])
        async with http_server(users()) as server:
            result = await verified(server, json.dumps(contract), headers={"Authorization": "Bearer secret-1"})
        assert result == {"verified": True, "count": 2, "failures": [], "consumer": "shop", "provider": "users"}
        assert set(result) == set(CONTRACT_VERIFY.result)
        first, second = server.requests
        assert parse_qs(urlsplit(first.target).query) == {"fields": ["id", "name"]}
        assert first.headers["accept"] == "application/json"
        assert second.headers["content-type"] == "application/json"
        assert {request.headers["authorization"] for request in server.requests} == {"Bearer secret-1"}

    @pytest.mark.parametrize(
        ("changed", "place", "message"),
        [
            ({"id": "12"}, "body $.id", 'expected an integer, got "12"'),
            ({"name": ...}, "body $.name", 'expected "Ada", and it is missing'),
            ({"born": "2001-02-30"}, "body $.born", 'expected a date of the form yyyy-MM-dd, got "2001-02-30"'),
            ({"roles": []}, "body $.roles", "expected at least 1 items, got 0"),
            ({"roles": [{"name": "a"}, {"name": "B"}]}, "body $.roles[1].name", "expected a text with the pattern"),
            ({"kind": "robot"}, "body $.kind", 'expected "person", got "robot"'),
        ],
    )
    async def test_each_difference_is_told_with_its_path(self, changed: Any, place: str, message: str) -> None:
        contract = await generated(interactions=[ONE, MAKE])
        async with http_server(users(**changed)) as server:
            failed = await broken(server, contract)
        assert failed.result is not None
        (failure,) = failed.result["failures"]
        assert (failure["interaction"], failure["place"]) == ("a user (given the user exists)", place)
        assert failure["message"].startswith(message)
        assert failed.message.startswith("users breaks 1 of 2 interactions that shop needs\n- a user (given the user exists)\n")
        assert f"    {place}: {message}" in failed.message

    async def test_status_headers_and_body_are_all_told(self) -> None:
        contract = await generated(interactions=[ONE])
        async with http_server(always(reply("gone", 404, [("Content-Type", "text/plain")]))) as server:
            failed = await broken(server, contract)
        assert failed.result is not None
        assert [failure["place"] for failure in failed.result["failures"]] == ["status", "header Content-Type", "body $"]

    async def test_provider_states_are_set_up_before_their_request(self) -> None:
        contract = await generated(interactions=[ONE, MAKE])
        async with http_server(users()) as server:
            await verified(server, contract, provider_states_url=f"{server.url}/states")
            assert [request.path for request in server.requests] == ["/states", "/users/7", "/users"]
            asked = {"consumer": "shop", "state": "the user exists", "params": {"id": 7}, "action": "setup"}
            assert server.requests[0].json() == asked
            async with bench() as steps:
                config = {"contract": contract, "provider_base_url": server.url, "provider_states_url": f"{server.url}/no"}
                error = await steps.error(CONTRACT_VERIFY, config)
        assert (error.kind, "could not set up the state 'the user exists'" in error.message) == ("provider_state", True)

    @pytest.mark.parametrize("status", [200, 500])
    async def test_provider_states_are_torn_down_after_their_request_when_asked(self, status: int) -> None:
        contract = await generated(interactions=[ONE])

        async def answer(received: Received, writer: asyncio.StreamWriter) -> bytes:
            teardown = received.path == "/states" and received.json()["action"] == "teardown"
            return reply("no", status) if teardown else await users(id="broken")(received, writer)

        async with http_server(answer) as server, bench() as steps:
            urls = {"provider_states_url": f"{server.url}/states", "provider_states_teardown": True}
            with pytest.raises(ActionFailed):
                await verified(server, contract, steps, **urls)
        assert [request.path for request in server.requests] == ["/states", "/users/7", "/states"]
        assert server.requests[-1].json()["action"] == "teardown"
        assert any("did not tear down" in text for _, text in steps.lines) == (status == 500)

    async def test_interactions_are_chosen_and_never_none(self) -> None:
        contract = await generated(interactions=[ONE, MAKE])
        async with http_server(users(id="broken")) as server, bench() as steps:
            assert (await verified(server, contract, description="a new user"))["count"] == 1
            await broken(server, contract, state="the user exists")
            config = {"contract": contract, "provider_base_url": server.url}
            wrong = await steps.error(CONTRACT_VERIFY, {**config, "description": "a nwe user"})
            assert wrong.hint == 'did you mean "a new user"?'
            await steps.error(CONTRACT_VERIFY, {**config, "description": "a new user", "state": "the user exists"})
            assert len(server.requests) == 2

    async def test_pending_interactions_may_fail(self) -> None:
        contract = await generated(version=4, interactions=[{**ONE, "pending": True}])
        async with http_server(users(id="x")) as server:
            result = await verified(server, contract)
        assert (result["verified"], result["failures"][0]["pending"]) == (True, True)

    async def test_redirects_are_answers_and_paths_are_sent_as_written(self) -> None:
        item = {
            "description": "d",
            "request": {"path": "/a b/%2F?x"},
            "response": {"status": 302, "headers": {"Location": "/y"}},
        }
        async with http_server(always(reply("", 302, [("Location", "/y")]))) as server:
            assert (await verified(server, await generated(interactions=[item]), provider_base_url=f"{server.url}/v1/"))[
                "verified"
            ]
        assert [request.target for request in server.requests] == ["/v1/a%20b/%2F%3Fx"]

    async def test_bodies_that_are_too_long_or_too_deep_are_never_taken_for_right(self) -> None:
        item = {**MAKE, "response": {"status": 200, "body": {"a": {"match": "type", "value": [1]}}}}
        contract = await generated(interactions=[item])
        deep = '{"a": ' + "[" * 500 + "]" * 500 + "}"
        async with http_server(always(reply(deep, 200, [("Content-Type", "application/json")]))) as server:
            assert "expected JSON" in (await broken(server, contract)).message
        long = json.dumps({"a": [1] * 600_000})
        async with http_server(always(reply(long, 200, [("Content-Type", "application/json")]))) as server, bench() as steps:
            error = await steps.error(CONTRACT_VERIFY, {"contract": contract, "provider_base_url": server.url})
            assert error.kind == "response_too_large"
        many = json.dumps({"a": [str(number) for number in range(90_000)]})
        async with http_server(always(reply(many, 200, [("Content-Type", "application/json")]))) as server:
            failed = await broken(server, contract)
        assert failed.result is not None
        assert len(failed.result["failures"]) == 100

    async def test_messages_are_not_taken_for_verified(self) -> None:
        contract = {**await generated(interactions=[MAKE]), "messages": [{"description": "an event", "contents": {}}]}
        async with http_server(users()) as server, bench() as steps:
            error = await steps.error(CONTRACT_VERIFY, {"contract": contract, "provider_base_url": server.url})
            assert "'an event' is of the type message; only Synchronous/HTTP can be verified" in error.message
            assert server.requests == []
            assert (await verified(server, contract, description="a new user"))["verified"]

    async def test_a_provider_that_is_not_there_is_an_error_and_not_a_failure(self) -> None:
        contract = await generated(interactions=[MAKE])
        async with http_server(users()) as server:
            pass
        async with bench() as steps:
            error = await steps.error(CONTRACT_VERIFY, {"contract": contract, "provider_base_url": server.url})
        assert (error.kind, error.message.startswith("a new user: ")) == ("connection_refused", True)

    async def test_egress_and_time_limits_hold(self) -> None:
        async def silence(received: Received, writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(60)

        contract = await generated(interactions=[MAKE])
        async with http_server(silence) as server, bench(egress=WorkerPolicy()) as worker, bench() as steps:
            config = {"contract": contract, "provider_base_url": server.url, "timeout": "50ms"}
            assert (await worker.error(CONTRACT_VERIFY, config)).kind == "egress"
            assert server.requests == []
            assert (await steps.error(CONTRACT_VERIFY, config)).kind == "timeout"

    @pytest.mark.parametrize(
        ("config", "message"),
        [
            ({}, "give one of contract and contract_file"),
            ({"contract": "{"}, "contract is not JSON: line 1"),
            ({"contract": {}}, "it has no interactions"),
            ({"contract_file": "x.json"}, "needs a folder"),
            ({"contract": {"interactions": [{"description": "d"}], "consumer": "a", "provider": "b"}}, "must have a request"),
        ],
    )
    async def test_what_is_no_contract_is_refused(self, config: Any, message: str) -> None:
        async with bench() as steps:
            assert (
                message in (await steps.error(CONTRACT_VERIFY, {"provider_base_url": "http://127.0.0.1:1", **config})).message
            )


class TestRecorded:
    TEXT = """
- id: login
  action: http_request
  config:
    method: POST
    url: "${url}/login?a=1&a=2"
    json: {name: ada}
    headers: {X-Kept: "5", Authorization: Bearer t0p-secret}
  output: {token: $.token}
  secret_outputs: [token]
- id: pact
  action: contract_generate
  config:
    consumer: shop
    provider: users
    from_steps: [{step: login, description: ada logs in, given: ada is known}]
    headers: [X-Kept, Authorization]
  output: {contract: contract}
- action: contract_verify
  config: {contract: "${contract}", provider_base_url: "${url}"}
- action: assert
  config: {assertions: ["not (toJSON(contract) contains 'very-secret')", "token == 'very-secret-token'"]}
"""

    async def test_exchanges_of_earlier_steps_become_a_contract_without_secrets(self) -> None:
        async with http_server(always(reply_json({"token": "very-secret-token", "match": "type", "value": 1}))) as server:
            events = await Local(actions=ACTIONS).run(flow(self.TEXT), variables={"url": server.url})
        assert finished(events).verdict == "passed", outcomes(events)
        contract = outcomes(events)["pact"]["result"]["contract"]
        (item,) = contract["interactions"]
        assert (item["description"], item["providerStates"]) == ("ada logs in", [{"name": "ada is known"}])
        assert item["request"] == {
            "method": "POST",
            "path": "/login",
            "query": {"a": ["1", "2"]},
            "headers": {"Content-Type": "application/json", "X-Kept": "5"},
            "body": {"name": "ada"},
        }
        assert item["response"]["matchingRules"]["body"] == {"$": {"combine": "AND", "matchers": [{"match": "type"}]}}
        assert (item["response"]["body"]["match"], item["response"]["status"]) == ("type", 200)
        assert "very-secret-token" not in json.dumps(contract)
        again = server.requests[-1]
        assert (again.target, again.json(), "authorization" in again.headers) == ("/login?a=1&a=2", {"name": "ada"}, False)

    async def test_a_step_that_sent_nothing_is_named(self) -> None:
        async with bench() as steps:
            steps.exchanges["login"] = {"request": {"topic": "x"}, "result": {}}
            error = await steps.error(CONTRACT_GENERATE, {**NAMES, "from_steps": ["lgoin"]})
            assert (error.message, error.hint) == ("from_steps: the step 'lgoin' has sent nothing", 'did you mean "login"?')
            error = await steps.error(CONTRACT_GENERATE, {**NAMES, "from_steps": ["login"]})
            assert "is no http_request step that got an answer" in error.message
