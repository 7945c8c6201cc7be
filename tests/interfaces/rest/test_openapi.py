"""The description of the API is valid OpenAPI 3.1 and tells what the server does."""

from __future__ import annotations

import re
from typing import Any
from uuid import uuid4

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from domain.errors import Refusal
from interfaces.rest import bodies
from interfaces.rest.route import Route
from interfaces.rest.routes import ROUTES
from interfaces.rest.shapes import build, schema
from tests.support.served import FLOW, Room, Server


@pytest.fixture(scope="module")
def description(server: Server) -> Any:
    """As anybody may read it."""
    with server.client(None) as client:
        return client.get("/api/v1/openapi.json").json()


def operation(description: Any, route: Route) -> Any:
    """What is told about a route."""
    return description["paths"][re.sub(r"<(\w+)>", r"{\1}", route.path)][route.method.lower()]


def test_it_is_valid_openapi_31(description: Any) -> None:
    assert description["openapi"].startswith("3.1")
    OpenAPIV31SpecValidator(description).validate()


def test_every_route_is_in_it_and_nothing_else(description: Any) -> None:
    told = {(method.upper(), path) for path, methods in description["paths"].items() for method in methods}
    assert told == {(route.method, re.sub(r"<(\w+)>", r"{\1}", route.path)) for route in ROUTES}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_it_names_every_status_and_content_that_a_route_answers_with(description: Any, room: Room, route: Route) -> None:
    told = operation(description, route)["responses"]
    path = route.path.replace("<workspace>", room.id)
    known = {"flow": room.push(), "execution": str(room.request()), "user": str(uuid4()), "key": "x", "letter": room.park()}
    known["schedule"] = room.schedule(flow=known["flow"])
    known["suite_run"] = room.suite_run(flows=[known["flow"]])
    paths = [re.sub(r"<(\w+)>", lambda found: known[found[1]], path), re.sub(r"<\w+>", str(uuid4()), path)]
    weak = room.client(room.issue("runs:read" if route.scope != "runs:read" else "flows:read"))
    for client in (room.http, room.client(None), weak):
        for asked in paths:
            for content, kind in ((None, ""), (b"{", "application/json"), (b"{}", "application/json"), (b"x", "text/plain")):
                headers = {"Content-Type": kind} if kind and route.body else {}
                answer = client.request(route.method, asked, content=content if route.body else None, headers=headers)
                assert str(answer.status_code) in told, (answer.status_code, answer.text)
                media = answer.headers["content-type"].split(";")[0]
                assert media in told[str(answer.status_code)]["content"], (media, answer.text)


def test_a_query_is_told_with_its_bounds(description: Any) -> None:
    route = next(route for route in ROUTES if route.name == "flows_page")
    found = {p["name"]: p["schema"] for p in operation(description, route)["parameters"] if p["in"] == "query"}
    assert set(found) == set(route.query.__dataclass_fields__)
    assert (found["limit"]["minimum"], found["limit"]["maximum"]) == (1, 200)


BODIES: list[tuple[type[Any], Any, bool]] = [
    (bodies.RequestExecution, {"document": FLOW, "tags": ["smoke"]}, True),
    (bodies.RequestExecution, {"flow": "x", "revision": 0}, False),
    (bodies.RequestExecution, {"tags": ["x" * 256]}, False),
    (bodies.RequestExecution, {"tags": ["x"] * 51}, False),
    (bodies.RequestExecution, {"trigger": None}, False),
    (bodies.RequestExecution, {"revision": None}, True),
    (bodies.Push, {"documents": []}, False),
    (bodies.Push, {"documents": [{"path": "a.yaml", "text": ""}]}, True),
    (bodies.Push, {"documents": [{"path": "a.yaml"}]}, False),
    (bodies.IssueKey, {"name": "ci", "scopes": []}, False),
    (bodies.IssueKey, {"name": "ci", "scopes": ["king"]}, False),
    (bodies.IssueKey, {"name": "ci", "scopes": ["admin"], "days": 366}, True),
    (bodies.Member, {"login": "eva", "role": "viewer", "more": 1}, False),
]


@pytest.mark.parametrize(("kind", "body", "good"), BODIES)
def test_the_schema_of_a_body_judges_as_the_server_does(kind: type[Any], body: Any, good: bool) -> None:
    assert jsonschema.Draft202012Validator(schema(kind)).is_valid(body) is good
    if good:
        build(kind, body)
    else:
        with pytest.raises(Refusal):
            build(kind, body)


def test_the_page_for_people_loads_nothing_from_elsewhere(server: Server) -> None:
    with server.client(None) as client:
        page = client.get("/api/v1/docs")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert not re.search(r"<script|src=|https?://", page.text)
