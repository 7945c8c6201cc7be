"""OpenAPI descriptions: an operation is a step with samples, its first good answer and its credentials."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from application.importing.openapi import read_openapi
from application.importing.writing import write_flow
from domain.errors import Invalid, InvalidFlow, LimitExceeded
from domain.expressions import Scope, evaluate

LIBRARY = (Path(__file__).parent / "fixtures" / "library.yaml").read_bytes()


def flows(data: bytes = LIBRARY, **options: Any) -> dict[str, dict[str, Any]]:
    """The flows by name."""
    found = read_openapi(data, "api.yaml", **options)
    return {draft.name: yaml.safe_load(write_flow(draft))["flow"] for draft in found.drafts}


def description(paths: dict[str, Any], **more: Any) -> bytes:
    """A small description as JSON."""
    return json.dumps({"openapi": "3.0.3", "info": {"title": "T"}, "paths": paths, **more}).encode()


def test_a_flow_for_each_tag_in_an_order_that_runs() -> None:
    found = flows()
    assert list(found) == ["books", "members"]
    assert [step["id"] for step in found["books"]["steps"]] == ["add_book", "list_books", "get_book", "remove_book"]
    assert found["books"]["env"]["base_url"] == "https://library.example.com/v1"


def test_what_a_post_makes_is_what_later_paths_ask_for() -> None:
    add, _, get, remove = flows()["books"]["steps"]
    assert add["output"] == {"book_id": "body.id"}
    assert get["config"]["url"] == remove["config"]["url"] == "${base_url}/books/${book_id}"


def test_bodies_parameters_and_credentials() -> None:
    add, listed, *_ = flows()["books"]["steps"]
    assert add["config"]["json"] == {
        "title": "A Wizard of Earthsea",
        "isbn": "texttexttextt",
        "published": "2024-01-31",
        "authors": [{"name": "text"}],
    }
    assert add["config"]["auth"] == {"type": "bearer", "token": "${token}"}
    assert listed["config"]["params"] == {"limit": "5"}
    assert listed["config"]["headers"] == {"X-Tenant": "north"}
    (lend,) = flows()["members"]["steps"]
    assert lend["config"]["form"] == {"days": "14", "note": "a & b"}
    assert lend["config"]["auth"] == {"type": "api_key", "name": "X-Library-Key", "in": "header", "key": "${api_key}"}
    assert flows()["members"]["env"]["member"] == 4711


def test_the_first_good_answer_is_expected() -> None:
    add, listed, _, remove = flows()["books"]["steps"]
    assert add["assert"] == ["status == 201", "json_schema(body, book_schema)"]
    assert listed["assert"] == ["status == 200", "body is array", "all(body, json_schema(#, book_schema))"]
    assert remove["assert"] == ["status == 204"]
    assert flows()["members"]["steps"][0]["assert"] == ["status >= 200 && status < 300"]


def test_different_credentials_of_flows_have_different_names() -> None:
    schemes = {name: {"type": "http", "scheme": "bearer"} for name in ("ours", "theirs")}
    paths = {f"/{name}": {"get": {"security": [{name: []}]}} for name in schemes}
    found = read_openapi(description(paths, components={"securitySchemes": schemes}, servers=[{"url": "http://x"}]), "api.json")
    assert [list(draft.given) for draft in found.drafts] == [["token"], ["token_2"]]


def test_other_groups() -> None:
    assert len(flows(per="operation")) == 5
    assert list(flows(per="file")) == ["Library"]


def test_what_is_left_out_is_counted() -> None:
    left = read_openapi(LIBRARY, "api.yaml").left_out
    assert left["deprecated operations"] == 1
    assert not any("schemas of answers" in what for what in left)


def answering(schema: Any, version: str = "3.0.3", **components: Any) -> bytes:
    """A description of one operation whose answer has a schema."""
    answer = {"200": {"description": "", "content": {"application/json": {"schema": schema}}}}
    root = json.loads(description({"/a": {"get": {"responses": answer}}}, components={"schemas": components}))
    return json.dumps(root | {"openapi": version}).encode()


def test_the_schema_of_an_answer_stands_in_the_flow_with_what_it_refers_to() -> None:
    user = {"type": "object", "required": ["id", "password"], "properties": {
        "id": {"type": "integer", "minimum": 0, "exclusiveMinimum": True, "example": 7},
        "name": {"type": "string", "nullable": True, "enum": ["a"], "description": "a name"},
        "password": {"type": "string", "writeOnly": True},
        "friends": {"type": "array", "items": {"$ref": "#/components/schemas/Friend"}},
    }}  # fmt: skip
    friend = {"allOf": [{"$ref": "#/components/schemas/User"}]}
    (flow,) = flows(answering({"$ref": "#/components/schemas/User"}, User=user, Friend=friend), per="file").values()
    assert flow["steps"][0]["assert"] == ["status == 200", "json_schema(body, user_schema)"]
    schema = flow["env"]["user_schema"]
    assert schema["$ref"] == "#/$defs/user"
    assert schema["$defs"]["user"]["required"] == ["id"]
    assert schema["$defs"]["user"]["properties"]["id"] == {"type": "integer", "exclusiveMinimum": 0}
    assert schema["$defs"]["user"]["properties"]["name"] == {"type": ["string", "null"], "enum": ["a", None]}
    for body, fits in (({"id": 1, "name": None, "friends": [{"id": 2}]}, True), ({"id": 1, "friends": [{"id": 0}]}, False)):
        assert evaluate("json_schema(body, schema)", Scope({"body": body, "schema": schema})) is fits


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "required": ["p1"], "properties": {f"p{n}": {"type": "string"} for n in range(500)}},
        {"type": "object", "required": ["p1"], "properties": {"p1": {"type": "string", "pattern": "^(?=a)"}}},
        {"type": "object", "required": ["p1"], "properties": {"p1": {"type": "string"}, "x": {"$ref": "#/info"}}},
    ],
)
def test_a_schema_that_is_too_large_or_cannot_be_checked_gives_types_and_required_names(schema: Any) -> None:
    found = read_openapi(answering(schema, "3.1.0"), "api.json")
    assert found.drafts[0].calls[0].asserts == ["status == 200", "body is object", "body.p1 is string"]
    assert sum(count for what, count in found.left_out.items() if what.startswith("schemas of answers")) == 1


def test_external_references_are_a_clear_error() -> None:
    paths = {"/a": {"get": {"parameters": [{"$ref": "common.yaml#/x"}]}}}
    with pytest.raises(Invalid, match=r"common\.yaml#/x leads out of this file"):
        read_openapi(description(paths), "api.json")
    with pytest.raises(Invalid, match="leads nowhere"):
        read_openapi(description({"/a": {"$ref": "#/nowhere"}}), "api.json")
    with pytest.raises(Invalid, match="leads to itself"):
        read_openapi(description({"/a": {"$ref": "#/paths/~1a"}}), "api.json")


def test_a_schema_that_contains_itself_ends() -> None:
    node = {
        "type": "object",
        "properties": {
            "next": {"$ref": "#/components/schemas/Node"},
            "all": {"type": "array", "items": {"$ref": "#/components/schemas/Node"}},
        },
    }
    paths = {
        "/a": {"post": {"requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Node"}}}}}}
    }
    (flow,) = flows(description(paths, components={"schemas": {"Node": node}}), per="file").values()
    assert "next" in flow["steps"][0]["config"]["json"]


def test_a_server_that_is_not_absolute_is_given_from_outside() -> None:
    found = read_openapi(description({"/a": {"get": {}}}, servers=[{"url": "/v1"}]), "api.json")
    assert list(found.drafts[0].given) == ["base_url"]
    assert found.drafts[0].calls[0].asserts == ["status < 400"]


@pytest.mark.parametrize(
    "data",
    [
        b"swagger: '2.0'\n",
        b"openapi: 4.0.0\n",
        b"a: 1\n",
        b"[]",
        b"openapi: 3.0.0\n",
        b"openapi: 3.1.0\npaths: {/a: {get: 1}}\n",
        b"a: [",
        b"{",
    ],
)
def test_what_is_no_description_is_refused(data: bytes) -> None:
    with pytest.raises(Invalid):
        read_openapi(data, "api.yaml")


def test_bombs_are_refused() -> None:
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(8)
    )
    with pytest.raises((LimitExceeded, InvalidFlow)):
        read_openapi(("openapi: 3.0.0\n" + bomb).encode(), "api.yaml")
    with pytest.raises(InvalidFlow):
        read_openapi(b"openapi: !!python/object/apply:os.system ['true']\n", "api.yaml")
