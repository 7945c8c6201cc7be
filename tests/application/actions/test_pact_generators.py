"""Generators of Pact contracts: what of a request is made anew, from the seed, the clock and the states of the provider."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest

from application.actions.contract_verify import CONTRACT_VERIFY
from application.actions.pact_contract import read_interaction
from application.actions.pact_generators import Sources, applied
from application.actions.pact_moments import moved, written
from application.engine.action import ActionError
from tests.support.action_context import bench
from tests.support.http_server import Received, http_server, reply_json

NOW = datetime(2024, 2, 29, 13, 5, 9, 120_000, tzinfo=UTC)
REQUEST = {
    "method": "POST",
    "path": "/users/7",
    "query": {"at": ["2020-01-01"], "n": ["1", "2"]},
    "headers": {"X-Request": "abc"},
    "body": {"id": "x", "items": [{"n": 1}, {"n": 2}], "kept": True},
}


def made(generators: Any, seed: str = "s", **states: Any) -> tuple[Any, list[str]]:
    """The request that generators make of REQUEST, and why some were left alone."""
    item = {"description": "d", "request": REQUEST, "response": {"status": 200}}
    left: list[str] = []
    return applied(read_interaction(item).request, generators, Sources(Random(seed), NOW, states, left.append)), left


@pytest.mark.parametrize(
    ("generator", "pattern"),
    [
        ({"type": "RandomInt", "min": 5, "max": 6}, "5|6"),
        ({"type": "RandomDecimal", "digits": 6}, r"\d+\.\d+"),
        ({"type": "RandomHexadecimal", "digits": 8}, '"[0-9a-f]{8}"'),
        ({"type": "RandomString", "size": 12}, '"[A-Za-z0-9]{12}"'),
        ({"type": "RandomBoolean"}, "true|false"),
        ({"type": "Uuid"}, '"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"'),
        ({"type": "Uuid", "format": "simple"}, '"[0-9a-f]{32}"'),
        ({"type": "Uuid", "format": "URN"}, '"urn:uuid:.{36}"'),
        ({"type": "Date"}, '"2024-02-29"'),
        ({"type": "Date", "format": "d.M.yy", "expression": "today + 1 year"}, '"28.2.25"'),
        ({"type": "Time", "format": "hh:mm a"}, '"01:05 PM"'),
        ({"type": "DateTime"}, '"2024-02-29T13:05:09"'),
        ({"type": "DateTime", "format": "yyyy-MM-dd'T'HH:mm:ss.SSSXXX", "expression": "+1 day"}, '"2024-03-01T13:05:09.120Z"'),
        ({"type": "ProviderState", "expression": "${id}"}, "41"),
        ({"type": "ProviderState", "expression": "id", "dataType": "STRING"}, '"41"'),
        ({"type": "ProviderState", "expression": "/u/${id}/${name}"}, '"/u/41/ann"'),
    ],
)
def test_each_kind_makes_its_value(generator: dict[str, Any], pattern: str) -> None:
    request, left = made({"body": {"$.id": generator}}, id=41, name="ann")
    assert re.fullmatch(pattern, json.dumps(request.body.value["id"]))
    assert (request.body.value["kept"], left) == (True, [])


def test_the_same_seed_makes_the_same() -> None:
    generators = {"body": {"$.id": {"type": "Uuid"}}}
    assert made(generators)[0] == made(generators)[0]
    assert made(generators)[0] != made(generators, "other")[0]


def test_path_query_headers_and_every_item_of_a_list_are_made() -> None:
    number = {"type": "RandomInt", "min": 50, "max": 99}
    request, _ = made(
        {
            "path": {"type": "ProviderState", "expression": "/users/${id}"},
            "query": {"at": {"type": "Date"}, "n[1]": number},
            "header": {"x-request": {"type": "Uuid"}},
            "body": {"$.items[*].n": number},
        },
        id=9,
    )
    assert request.path == "/users/9"
    assert (request.query["at"], request.query["n"][0], len(request.query["n"][1])) == (["2024-02-29"], "1", 2)
    assert len(request.headers["X-Request"][0]) == 36
    assert all(50 <= item["n"] <= 99 for item in request.body.value["items"])
    assert REQUEST["body"]["items"] == [{"n": 1}, {"n": 2}]  # type: ignore[index]


def test_what_cannot_be_made_keeps_its_example_and_is_told() -> None:
    request, left = made(
        {"body": {"$.id": {"type": "Regex", "regex": "a+"}, "$.kept": {"type": "ProviderState", "expression": "${none}"}}}
    )
    assert (request.body.value["id"], request.body.value["kept"]) == ("x", True)
    assert [text.split(":")[0] for text in left] == [
        "the generator Regex is not applied",
        "no provider state has answered 'none'; the example is sent",
    ]


@pytest.mark.parametrize(
    ("generators", "message"),
    [
        ("x", "generators are an object"),
        ({"bdy": {}}, "generators are an object"),
        ({"body": {"$.id": "Uuid"}}, "a generator is an object"),
        ({"body": {"$.id": {"type": "Uid"}}}, "there is no generator 'Uid'"),
        ({"body": {"$.id": {"type": "RandomInt", "min": 3, "max": 2}}}, "min of a generator is more than its max"),
        ({"body": {"$.id": {"type": "RandomInt", "min": "3"}}}, "must be a whole number"),
        ({"body": {"$.id": {"type": "Date", "format": "QQQ"}}}, "'QQQ' in the format"),
        ({"body": {"$.id": {"type": "Date", "expression": "next tuesday"}}}, "is not known: 'next tuesday'"),
        ({"body": {"$.id": {"type": "Date", "expression": "+ 9999 years"}}}, "outside the years"),
        ({"body": {"id": {"type": "Uuid"}}}, "begins with $"),
        ({"header": {"none": {"type": "Uuid"}}}, "no such value in the request"),
        ({"body": {"$.id": {"type": "ProviderState", "expression": "${name}", "dataType": "INTEGER"}}}, "is no integer"),
    ],
)
def test_what_is_no_generator_is_refused(generators: Any, message: str) -> None:
    with pytest.raises(ActionError, match=re.escape(message)):
        made(generators, name="ann")


def test_months_end_where_they_end() -> None:
    assert written(moved(NOW.replace(month=1, day=31), "now + 1 month"), "yyyy-MM-dd") == "2024-02-29"
    assert written(moved(NOW, "yesterday - 2 weeks + 3 hours"), "yyyy-MM-dd HH") == "2024-02-14 16"


async def test_a_provider_gets_what_its_own_state_has_answered() -> None:
    interaction = {
        "description": "a user",
        "providerStates": [{"name": "a user exists"}],
        "request": {
            "method": "GET",
            "path": "/users/7",
            "generators": {"path": {"type": "ProviderState", "expression": "/users/${id}"}},
        },
        "response": {"status": 200},
    }
    contract = {"consumer": {"name": "a"}, "provider": {"name": "b"}, "interactions": [interaction]}

    async def answer(received: Received, writer: asyncio.StreamWriter) -> bytes:
        return reply_json({"id": 4711}) if received.path == "/states" else reply_json({})

    names = {"UUID": "u", "ISO_TIMESTAMP": "2024-01-01T00:00:00Z"}
    async with http_server(answer) as server, bench(names=names) as steps:
        config = {"contract": contract, "provider_base_url": server.url, "provider_states_url": f"{server.url}/states"}
        assert (await steps.run(CONTRACT_VERIFY, config))["verified"]
    assert [request.path for request in server.requests] == ["/states", "/users/4711"]
