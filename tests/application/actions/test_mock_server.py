"""Mock servers as their callers see them: routes, matching, templates, state, sequences, faults, limits."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from yarl import URL

from application.actions.mock_server import (
    MOCK_SERVER_RESET_STATE,
    MOCK_SERVER_START,
    MOCK_SERVER_STOP,
    MOCK_SERVER_UPDATE,
)
from application.actions.mock_server_verify import MOCK_SERVER_VERIFY
from application.engine.action import ActionFailed
from domain.limits import LIMITS
from tests.support.action_context import Bench, bench

ROUTE = {"path": "/x", "response": {"body": "x"}}


@asynccontextmanager
async def mocked(config: Mapping[str, Any], **options: Any) -> AsyncIterator[tuple[Bench, aiohttp.ClientSession]]:
    """A mock server, the bench whose steps can change it, and a client of its own."""
    async with bench(**options) as steps:
        started = await steps.run(MOCK_SERVER_START, config)
        async with aiohttp.ClientSession(started["base_url"]) as client:
            yield steps, client


async def asked(client: aiohttp.ClientSession, method: str, path: str | URL, **options: Any) -> tuple[int, Any]:
    """Status and JSON value, or text, of an answer."""
    async with client.request(method, path, **options) as answer:
        return answer.status, await (answer.json() if answer.content_type == "application/json" else answer.text())


async def verify(steps: Bench, **config: Any) -> Mapping[str, Any]:
    """The result of a verification that must hold."""
    return await steps.run(MOCK_SERVER_VERIFY, config)


@pytest.mark.parametrize(
    ("path", "asked_path", "params"),
    [
        ("/users", "/users", {}),
        ("/users/:id", "/users/7", {"id": "7"}),
        ("/users/{id}", "/users/a%2Fb", {"id": "a/b"}),
        ("/users/{id}.json", "/users/7.json", {"id": "7"}),
        ("/users/:id/orders/:order", "/users/7/orders/9", {"id": "7", "order": "9"}),
        ("/files/*", "/files/a/b.txt", {"*": "a/b.txt"}),
        ("/a/*/c", "/a/b/c", {}),
        ("*", "/what/ever", {"*": "/what/ever"}),
        ("/café ~", "/caf%C3%A9%20%7E", {}),
        ("/a:b", "/a:b", {}),
        ("/v1.0", "/v1.0", {}),
    ],
)
async def test_a_path_matches(path: str, asked_path: str, params: dict[str, str]) -> None:
    async with mocked({"endpoints": [{"path": path, "response": {"json": "${request.params}"}}]}) as (_, client):
        assert await asked(client, "GET", URL(asked_path, encoded=True)) == (200, params)


@pytest.mark.parametrize(("path", "other"), [("/users/:id", "/users/7/x"), ("/users", "/users/"), ("/v1.0", "/v1x0")])
async def test_a_path_does_not_match_more_than_it_says(path: str, other: str) -> None:
    async with mocked({"endpoints": [{"path": path}]}) as (_, client):
        assert (await asked(client, "GET", other))[0] == 404


async def test_a_method_is_one_several_or_any() -> None:
    endpoints = [
        {"path": "/x", "method": "get", "response": {"body": "one"}},
        {"path": "/x", "methods": ["PUT", "POST"], "response": {"body": "several"}},
        {"path": "/y", "method": "ANY", "response": {"body": "any"}},
    ]
    async with mocked({"endpoints": endpoints}) as (_, client):
        found = [await asked(client, method, path) for method, path in (("GET", "/x"), ("POST", "/x"), ("PATCH", "/y"))]
        wrong = await asked(client, "DELETE", "/x")
    assert [text for _, text in found] == ["one", "several", "any"]
    assert (wrong[0], wrong[1]["why"]) == (404, "its methods are GET, POST, PUT")


async def test_what_no_endpoint_takes_is_told_with_the_nearest_one_and_recorded() -> None:
    async with mocked({"endpoints": {"GET /orders/:id": {"status": 202}, "POST /users": 201}}) as (steps, client):
        status, told = await asked(client, "GET", "/order/7")
        result = await verify(steps, path="/order/7")
        taken = [(await asked(client, method, path))[0] for method, path in (("GET", "/orders/7"), ("POST", "/users"))]
    assert taken == [202, 201]
    assert (status, told["nearest"]) == (404, "GET /orders/:id")
    assert (result["count"], result["unmatched"], result["matched"][0]["endpoint"]) == (1, 1, None)


@pytest.mark.parametrize(
    ("match", "options", "status"),
    [
        ({"query": {"page": 1}}, {"params": {"page": "1", "more": "x"}}, 200),
        ({"query": {"page": 1}}, {"params": {"page": "2"}}, 404),
        ({"query": {"page": None}}, {"params": {"page": "2"}}, 404),
        ({"query": {"tag": ["a", "b"]}}, {"params": [("tag", "b"), ("tag", "a")]}, 200),
        ({"headers": {"x-kind": "a"}}, {"headers": {"X-Kind": "a"}}, 200),
        ({"headers": {"x-kind": "a"}}, {}, 404),
        ({"body": {"a": {"b": 1}}}, {"json": {"a": {"b": 1, "c": 2}, "d": 3}}, 200),
        ({"body": {"a": True}}, {"json": {"a": 1}}, 404),
        ({"body": {"a": [1]}}, {"json": {"a": [1, 2]}}, 404),
        ({"body": {"a": 1}}, {"data": '{"a": 1}', "headers": {"Content-Type": "text/plain"}}, 200),
        ({"body": {"id": "${wanted}"}}, {"json": {"id": 7}}, 200),
        ("request.body.amount > 5", {"json": {"amount": 6}}, 200),
        ("request.body.amount > 5", {"json": {"amount": 5}}, 404),
        ("request.body.amount > 5", {"json": {}}, 404),
        ("request.headers['x-kind'] == 'a' && request.body.id == wanted", {"json": {"id": 7}, "headers": {"X-Kind": "a"}}, 200),
        ({"expression": "request.form.a == '1'"}, {"data": {"a": "1"}}, 200),
        ("request.method == 'POST' and no_such_name", {}, 500),
    ],
)
async def test_a_match_takes_what_it_says(match: Any, options: Any, status: int) -> None:
    async with mocked({"endpoints": [{"path": "/x", "match": match}]}, names={"wanted": 7}) as (_, client):
        assert (await asked(client, "POST", "/x", **options))[0] == status


async def test_the_highest_priority_is_asked_first_then_the_order_of_the_flow() -> None:
    endpoints = [
        {"path": "/*", "response": {"body": "last"}, "priority": -1},
        {"path": "/a", "response": {"body": "first of equals"}},
        {"path": "/:x", "response": {"body": "second of equals"}},
        {"path": "/a", "response": {"body": "special"}, "match": {"query": {"special": "1"}}, "priority": 5},
    ]
    async with mocked({"endpoints": endpoints}) as (_, client):
        found = [(await asked(client, "GET", path))[1] for path in ("/a", "/a?special=1", "/b", "/b/c")]
    assert found == ["first of equals", "special", "second of equals", "last"]


async def test_a_response_has_status_headers_and_a_body_of_each_kind() -> None:
    endpoints = {
        "/json": {"response": {"status": "${200 + 1}", "body": {"n": "${1 + 1}"}, "headers": {"X-A": ["1", "2"], "X-N": 5}}},
        "/text": {"response": {"text": "[1, 2]"}},
        "/body": {"response": {"body": "[1, ${1 + 1}]"}},
        "/bytes": {"response": {"base64": "AP8="}},
        "/none": {"response": 204},
        "/own": {"response": {"json": 1, "headers": {"content-type": "application/problem+json"}}},
    }
    async with mocked({"routes": endpoints}) as (_, client):
        answers = {}
        for path in ("/json", "/text", "/body", "/bytes", "/none", "/own"):
            async with client.get(path) as answer:
                answers[path] = (answer.status, answer.content_type, await answer.read(), answer.headers.getall("X-A", []))
    assert answers["/json"] == (201, "application/json", b'{"n":2}', ["1", "2"])
    assert answers["/text"][1:3] == ("text/plain", b"[1, 2]")
    assert answers["/body"][1:3] == ("application/json", b"[1, 2]")
    assert answers["/bytes"][1:3] == ("application/octet-stream", b"\x00\xff")
    assert answers["/none"][0] == 204
    assert answers["/own"][1:3] == ("application/problem+json", b"1")


async def test_templates_know_the_request_the_state_and_the_server() -> None:
    body = {
        "all": "${request.method} ${request.path} ${request.query.q} ${request.headers.x-kind} ${request.body.n}",
        "next": "${base_url}/page/${state.page}",
        "seen": "${len(requests)}",
    }
    config = {"endpoints": [{"path": "/x", "response": {"body": body}}], "state": {"page": 2}}
    async with mocked(config) as (_, client):
        _, told = await asked(client, "POST", "/x?q=1", json={"n": 5}, headers={"X-Kind": "k"})
        base = str(client._base_url).rstrip("/")
    assert told == {"all": "POST /x 1 k 5", "next": f"{base}/page/2", "seen": 0}


async def test_what_a_caller_sends_is_never_a_template() -> None:
    config = {
        "endpoints": [{"path": "/x", "response": {"json": "${request.body}"}, "state": {"set": {"kept": "${request.body}"}}}]
    }
    async with mocked(config, names={"secret": "s3cret"}) as (_, client):
        first = await asked(client, "POST", "/x", json={"a": "${secret}", "{{secret}}": 1})
    assert first == (200, {"a": "${secret}", "{{secret}}": 1})


async def test_random_values_differ_from_request_to_request() -> None:
    endpoints = [{"path": "/x", "response": {"body": "${UUID}"}}]
    async with mocked({"endpoints": endpoints}) as (_, client):
        assert len({(await asked(client, "GET", "/x"))[1] for _ in range(3)}) == 3


async def test_state_makes_a_small_store_of_a_mock() -> None:
    endpoints = [
        {
            "path": "/orders",
            "method": "POST",
            "state": {"increment": "last", "set": {"orders.${state.last}": "${request.body}"}, "append": {"log": "made"}},
            "response": {"status": 201, "body": {"id": "${state.last}"}},
        },
        {"path": "/orders", "method": "GET", "response": {"body": "${values(state.orders)}"}},
        {"path": "/orders/:id", "method": "DELETE", "state": {"remove": "orders.${request.params.id}"}, "response": 204},
        {
            "path": "/orders/:id",
            "when_state": "request.params.id in state.orders",
            "response": {"body": "${state.orders[request.params.id]}"},
        },
        {"path": "/open", "when_state": {"door": {"open": True}}, "response": {"body": "open"}},
        {"path": "/open", "state": {"door": {"open": True}}, "response": {"body": "opening"}},
    ]
    async with mocked({"endpoints": endpoints, "state": {"last": 0, "orders": {}}}) as (steps, client):
        ids = [(await asked(client, "POST", "/orders", json={"n": n}))[1]["id"] for n in (5, 6)]
        one = await asked(client, "GET", "/orders/1")
        await asked(client, "DELETE", "/orders/1")
        gone, left = await asked(client, "GET", "/orders/1"), await asked(client, "GET", "/orders")
        doors = [(await asked(client, "GET", "/open"))[1] for _ in range(2)]
        state = (await steps.run(MOCK_SERVER_UPDATE, {}))["state"]
        reset = await steps.run(MOCK_SERVER_RESET_STATE, {"requests": False})
    assert (ids, one, gone[0], left) == ([1, 2], (200, {"n": 5}), 404, (200, [{"n": 6}]))
    assert doors == ["opening", "open"]
    assert (state["last"], state["log"], reset["state"], reset["dropped"]) == (
        2,
        ["made", "made"],
        {"last": 0, "orders": {}},
        0,
    )


async def test_responses_come_one_after_the_other_and_the_last_one_stays() -> None:
    endpoints = [
        {"path": "/flaky", "responses": [503, {"status": 429, "headers": {"Retry-After": 1}}, {"body": "ok"}]},
        {"path": "/once", "times": 1, "response": {"body": "first"}},
        {"path": "/once", "response": {"body": "then"}},
    ]
    async with mocked({"endpoints": endpoints}) as (steps, client):
        statuses = [(await asked(client, "GET", "/flaky"))[0] for _ in range(4)]
        texts = [(await asked(client, "GET", "/once"))[1] for _ in range(3)]
        await steps.run(MOCK_SERVER_RESET_STATE, {})
        again = [(await asked(client, "GET", path))[0] for path in ("/flaky", "/once")]
    assert (statuses, texts, again) == ([503, 429, 200, 200], ["first", "then", "then"], [503, 200])


async def test_a_delay_holds_one_answer_back_and_not_the_others() -> None:
    endpoints = {"/slow": {"response": {"body": "slow", "delay": "150ms"}}, "/fast": {"response": {"body": "fast"}}}
    async with mocked({"endpoints": endpoints}) as (_, client):
        order: list[str] = []

        async def ask(path: str) -> None:
            order.append((await asked(client, "GET", path))[1])

        await asyncio.gather(ask("/slow"), ask("/fast"))
    assert order == ["fast", "slow"]


async def test_each_fault_breaks_in_its_own_way_and_the_server_goes_on() -> None:
    kinds = ("reset", "empty", "malformed", "hang", "timeout")
    endpoints = {**{f"/{kind}": {"fault": kind} for kind in kinds}, "/fine": {"response": {"body": "fine"}}}
    found: dict[str, type[BaseException]] = {}
    async with mocked({"endpoints": endpoints}) as (steps, client):
        for kind in kinds:
            with pytest.raises((aiohttp.ClientError, TimeoutError)) as raised:
                await asked(client, "POST", f"/{kind}", timeout=aiohttp.ClientTimeout(0.2))
            found[kind] = raised.type
        fine = await asked(client, "GET", "/fine")
        result = await verify(steps, path="/reset", count=1)
    assert fine == (200, "fine")
    assert issubclass(found["reset"], aiohttp.ClientOSError)
    assert issubclass(found["empty"], aiohttp.ServerDisconnectedError)
    assert issubclass(found["malformed"], aiohttp.ClientResponseError)
    assert found["hang"] is found["timeout"] is TimeoutError
    assert (result["matched"][0]["fault"], result["matched"][0]["status"]) == ("reset", None)


async def test_a_fault_comes_with_its_probability_and_the_same_again_under_the_same_seed() -> None:
    fault = {"type": "random_status", "probability": 0.5, "statuses": [502, 503]}

    async def statuses() -> list[int]:
        async with mocked({"endpoints": [{"path": "/x", "fault": fault}]}) as (_, client):
            return [(await asked(client, "GET", "/x"))[0] for _ in range(40)]

    first, second = await statuses(), await statuses()
    assert first == second
    assert set(first) == {200, 502, 503}


async def test_a_template_that_cannot_be_resolved_is_told_to_the_caller_and_to_the_flow() -> None:
    async with mocked({"endpoints": [{"path": "/x", "response": {"body": "${request.body.id}"}}]}) as (steps, client):
        status, told = await asked(client, "POST", "/x", json={})
        result = await verify(steps)
    assert status == 500
    assert "request.body.id" in told["error"]
    assert result["errors"] == [told["error"]]
    assert steps.lines == [("error", f"mock server default: {told['error']}")]


async def test_an_update_replaces_an_endpoint_and_adds_others_first() -> None:
    async with mocked({"endpoints": [ROUTE, {"path": "/*", "response": {"body": "rest"}}]}, names={"a": 1}) as (steps, client):
        updated = [{"path": "/x", "response": {"body": "new ${a}"}}, {"path": "/y", "response": {"body": "y ${state.s}"}}]
        result = await steps.run(MOCK_SERVER_UPDATE, {"endpoints": updated, "state": {"s": 2}})
        found = [(await asked(client, "GET", path))[1] for path in ("/x", "/y", "/z")]
    assert found == ["new 1", "y 2", "rest"]
    assert result["endpoints"] == ["ANY /x", "ANY /y", "ANY /*"]


@pytest.mark.parametrize(
    ("config", "why"),
    [
        ({"path": "/a", "method": "POST"}, ""),
        ({"path": "/a", "count": 2}, ""),
        ({"path": "/a", "count": 1}, "expected 1 request to /a, got 2"),
        ({"path": "/a", "at_least": 3}, "expected at least 3 requests to /a, got 2"),
        ({"path": "/a", "at_most": 1}, "expected at most 1 to /a, got 2"),
        ({"path": "/a", "at_least": 1, "at_most": 2}, ""),
        ({"path": "/a", "never": True}, "expected no request to /a, got 2"),
        ({"path": "/c", "never": True}, ""),
        ({"endpoint": "all", "count": 3}, ""),
        ({"match": "request.body.n == 2", "count": 1}, ""),
        ({"match": {"body": {"n": "${wanted}"}}, "count": 1}, ""),
        ({"in_order": [{"path": "/a"}, {"path": "/b"}, {"path": "/a", "match": "request.body.n == 2"}]}, ""),
        ({"in_order": [{"path": "/b"}, {"path": "/b", "method": "POST"}]}, "expected POST /b after /b, it did not come"),
    ],
)
async def test_a_verification_says_what_came_instead(config: dict[str, Any], why: str) -> None:
    async with mocked({"endpoints": [{"path": "*", "id": "all"}]}, names={"wanted": 1}) as (steps, client):
        for path, n in (("/a", 1), ("/b", 0), ("/a", 2)):
            await asked(client, "POST", path, json={"n": n})
        if not why:
            await verify(steps, **config)
            return
        with pytest.raises(ActionFailed) as failed:
            await verify(steps, **config)
    assert failed.value.message.splitlines()[0] == why
    assert "POST /b -> 200" in failed.value.message


async def test_a_verification_waits_for_what_is_still_to_come() -> None:
    async with mocked({"endpoints": [ROUTE]}) as (steps, client):
        waiting = asyncio.create_task(verify(steps, count=2, timeout="5s"))
        for _ in range(2):
            await asked(client, "GET", "/x")
        assert (await waiting)["count"] == 2
        with pytest.raises(ActionFailed, match="expected at least 3"):
            await verify(steps, at_least=3, timeout="20ms")


async def test_more_requests_than_are_kept_are_never_counted_wrongly() -> None:
    limits = replace(LIMITS, mock_requests=2)
    async with mocked({"endpoints": [ROUTE]}, limits=limits) as (steps, client):
        for _ in range(3):
            await asked(client, "GET", "/x")
        assert (await verify(steps, at_least=2))["left_out"] == 1
        error = await steps.error(MOCK_SERVER_VERIFY, {"count": 2})
    assert error.kind == "limit"


async def test_a_body_over_the_limit_is_refused_also_when_it_is_compressed() -> None:
    limits = replace(LIMITS, request_body_bytes=1000)
    async with mocked({"endpoints": [ROUTE]}, limits=limits) as (steps, client):
        fits = await asked(client, "POST", "/x", data=gzip.compress(b"x" * 1000), headers={"Content-Encoding": "gzip"})
        bomb = await asked(client, "POST", "/x", data=gzip.compress(b"x" * 10_000_000), headers={"Content-Encoding": "gzip"})
        plain = await asked(client, "POST", "/x", data=b"x" * 1001)
        unknown = await asked(client, "POST", "/x", data=b"x", headers={"Content-Encoding": "br"})
        matched = (await verify(steps, match="len(request.body) == 1000"))["matched"]
    assert [status for status, _ in (fits, bomb, plain, unknown)] == [200, 413, 413, 415]
    assert len(matched) == 1


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"endpoints": [{"path": "x"}]}, "begins with a slash"),
        ({"endpoints": [{"path": "/x?a=1"}]}, "has a query"),
        ({"endpoints": [{"path": "/:a/:a"}]}, "two parts called 'a'"),
        ({"endpoints": [{"path": "/x", "reponse": {}}]}, "no key 'reponse'"),
        ({"endpoints": [{"path": "/x", "response": {"stauts": 1}}]}, "no key 'stauts'"),
        ({"endpoints": [{"path": "/x", "method": "GETT"}]}, "not a method"),
        ({"endpoints": [{"path": "/x", "match": "a =="}]}, "match"),
        ({"endpoints": [{"path": "/x", "response": {"body": 1, "json": 2}}]}, "both a body"),
        ({"endpoints": [{"path": "/x", "fault": "boom"}]}, "no fault 'boom'"),
        ({"endpoints": [{"path": "/x", "times": 0}]}, "times"),
        ({"endpoints": [{"path": "/x", "state": {"set": {}, "count": 1}}]}, "write"),
        ({"endpoints": "${routes}"}, "written in the flow"),
        ({"endpoints": [ROUTE] * 201}, "at most 200"),
        ({"port": 70000}, "port"),
        ({"name": ""}, "name"),
    ],
)
async def test_what_is_wrong_is_told_before_anything_listens(config: dict[str, Any], says: str) -> None:
    async with bench() as steps:
        error = await steps.error(MOCK_SERVER_START, config)
        assert error.kind == "config"
        assert says in f"{error.message} {error.hint}"
        assert not steps.resources


async def test_servers_are_told_apart_by_name_and_id() -> None:
    async with bench() as steps:
        for name in ("one", "two"):
            started = await steps.run(MOCK_SERVER_START, {"name": name})
        stopped = await steps.run(MOCK_SERVER_STOP, {"server_id": started["server_id"]})
        error = await steps.error(MOCK_SERVER_VERIFY, {"name": "two"})
    assert (stopped["name"], stopped["stopped"]) == ("two", True)
    assert "running: one" in (error.hint or "")


async def test_to_stop_what_does_not_run_is_no_error() -> None:
    async with bench() as steps:
        assert (await steps.run(MOCK_SERVER_STOP, {}))["stopped"] is False
    assert steps.lines[0][0] == "warning"


async def test_a_port_that_is_taken_is_told() -> None:
    async with bench() as steps, bench() as others:
        started = await others.run(MOCK_SERVER_START, {})
        error = await steps.error(MOCK_SERVER_START, {"port": started["port"]})
    assert (error.kind, f"port {started['port']}" in error.message) == ("config", True)


async def test_an_execution_has_only_so_many_servers() -> None:
    async with bench(limits=replace(LIMITS, mock_servers=1)) as steps:
        await steps.run(MOCK_SERVER_START, {})
        assert "at most 1" in (await steps.error(MOCK_SERVER_START, {"name": "b"})).message


async def test_a_hanging_answer_does_not_hold_the_end_of_an_execution_up() -> None:
    async with mocked({"endpoints": [{"path": "/x", "fault": "hang"}]}) as (steps, client):
        hanging = asyncio.create_task(asked(client, "POST", "/x"))
        await verify(steps, timeout="5s")
        async with asyncio.timeout(2):
            await steps.run(MOCK_SERVER_STOP, {})
        with pytest.raises(aiohttp.ClientError):
            await hanging


async def test_a_step_that_is_tried_again_starts_its_server_anew() -> None:
    async with mocked({"endpoints": [ROUTE]}) as (steps, first):
        started = await steps.run(MOCK_SERVER_START, {"endpoints": [ROUTE]})
        with pytest.raises(aiohttp.ClientConnectorError):
            await asked(first, "GET", "/x")
        async with aiohttp.ClientSession(started["url"]) as second:
            assert await asked(second, "GET", "/x") == (200, "x")
