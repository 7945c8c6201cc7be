"""Postman collections: requests with what they inherit, variables, and the idioms of their scripts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from application.importing.model import Check
from application.importing.postman import read_postman
from application.importing.postman_scripts import ScriptReader
from application.importing.writing import write_flow
from domain.errors import Invalid, LimitExceeded

SHOP = (Path(__file__).parent / "fixtures" / "shop.postman_collection.json").read_bytes()


def flows(data: bytes = SHOP, **options: Any) -> dict[str, dict[str, Any]]:
    """The flows by name."""
    found = read_postman(data, "shop.json", **options)
    return {draft.name: yaml.safe_load(write_flow(draft))["flow"] for draft in found.drafts}


def collection(*requests: Any, **more: Any) -> bytes:
    """A collection of these requests."""
    items = [{"name": f"r{place}", "request": request} for place, request in enumerate(requests)]
    return json.dumps({"info": {"name": "C"}, "item": items, **more}).encode()


def test_folders_are_files() -> None:
    drafts = read_postman(SHOP, "shop.json").drafts
    assert [(draft.folder, draft.file, len(draft.calls)) for draft in drafts] == [
        ((), "Shop API", 1),
        (("shop-api",), "Orders", 5),
    ]
    (one,) = flows(one_file=True).values()
    assert [step["name"] for step in one["steps"]][:2] == ["Log in", "Orders / Order"]


def test_variables_map_to_ours_and_credentials_come_from_outside() -> None:
    found = read_postman(SHOP, "shop.json")
    flow = flows()["Shop API"]
    assert flow["env"] == {"request_id": "${UUID}", "baseUrl": "http://localhost:8080", "api_version": "v2"}
    assert found.drafts[0].given == {"password": "a credential"}
    assert "correct horse" not in write_flow(found.drafts[0])
    kept = read_postman(SHOP, "shop.json", keep_secrets=True)
    assert kept.drafts[0].env["password"] == "correct horse battery"


def test_an_environment_gives_values() -> None:
    environment = json.dumps(
        {"values": [{"key": "count", "value": "3", "enabled": True}, {"key": "user_id", "value": "9", "enabled": False}]}
    )
    flow = flows(environment=environment.encode())["Shop API / Orders"]
    assert flow["env"] == {"baseUrl": "http://localhost:8080", "count": "3"}


def test_requests() -> None:
    order, one, upload, search, form = flows()["Shop API / Orders"]["steps"]
    assert order["config"]["body"] == '{"user": "${user_id}", "count": ${count}, "note": "$${literal}"}'
    assert order["config"]["auth"] == {"type": "bearer", "token": "${token}"}
    assert one["config"]["url"] == "${baseUrl}/orders/${orderId}/lines/1"
    assert upload["config"]["auth"] == {"type": "api_key", "name": "X-Key", "in": "header", "key": "${api_key}"}
    assert upload["config"]["multipart"][1] == {"name": "file", "content": "content of bill.pdf", "filename": "bill.pdf"}
    assert search["config"]["graphql"]["variables"] == {"n": 5}
    assert form["config"]["form"] == {"a": ["1", "2"], "b": "${RANDOM_INT % 1001}"}
    (login,) = flows()["Shop API"]["steps"]
    assert "auth" not in login["config"]
    assert login["config"]["json"] == {"email": "ada@example.com", "password": "${password}", "at": "${string(TIMESTAMP)}"}


def test_scripts_become_assertions_and_outputs_and_the_rest_stays_as_comments() -> None:
    found = read_postman(SHOP, "shop.json")
    (login,) = flows()["Shop API"]["steps"]
    assert login["assert"] == [
        {"expression": "time < 5000", "message": "is fast"},
        "status == 200",
        {"expression": "body.user.name == 'Ada'", "message": "Ada is greeted"},
        {"expression": "body.roles is array", "message": "Ada is greeted"},
        {"expression": "body.roles contains 'buyer'", "message": "Ada is greeted"},
        {"expression": "'id' in keys(body.user)", "message": "Ada is greeted"},
        {"expression": "headers['Content-Type'] contains 'json'", "message": "content type"},
    ]
    assert login["output"] == {"token": "body.token", "user_id": "body.user.id"}
    assert login["secret_outputs"] == ["token"]
    text = write_flow(found.drafts[0])
    assert '#     postman.setNextRequest("Renew; please");' in text
    assert found.left_out["statements of test scripts, kept as comments"] == 1
    assert found.left_out["auth of type awsv4"] == 1


@pytest.mark.parametrize(
    ("script", "check"),
    [
        ("pm.expect(pm.response.json().a[0].b).to.not.equal(3)", "body.a[0].b != 3"),
        ("pm.expect(pm.response.json()['a b']).to.be.true", "body['a b'] == true"),
        ("pm.expect(pm.response.json().n).to.be.within(1, 5)", "body.n >= 1 && body.n <= 5"),
        ("pm.expect(pm.response.json().list.length).to.be.at.least(2)", "len(body.list) >= 2"),
        ("pm.expect(pm.response.json().list).to.have.lengthOf(2)", "len(body.list) == 2"),
        ("pm.expect(pm.response.json().k).to.be.oneOf(['a', \"b\"])", "body.k in ['a', 'b']"),
        ('pm.expect(pm.response.json().k).to.match(/^a\\/[b"(]+$/i)', "body.k matches '(?i)^a/[b\"(]+$'"),
        ("pm.expect(pm.response.json().x).to.be.null", "body.x is null"),
        ("pm.expect(pm.response.json()).to.not.have.property('error')", "'error' not in keys(body)"),
        ("pm.expect(pm.response.json()).to.have.property('a', 'b')", "body.a == 'b'"),
        ("pm.expect(pm.response.text()).to.include('${x}')", "text contains '\\x24\\x7bx}'"),
        ("pm.expect(pm.response.code).to.be.oneOf([200, 201])", "status in [200, 201]"),
        ("pm.expect(pm.response.json().id).to.eql(pm.environment.get('id'))", "body.id == id"),
        ("pm.response.to.be.ok", "status == 200"),
        ("pm.response.to.have.header('X-A', 'b')", "headers['X-A'] == 'b'"),
        ("pm.response.to.have.jsonBody('a.b')", "'b' in keys(body.a)"),
        ("pm.response.to.not.have.status(500)", "status != 500"),
        ("tests['fine'] = responseCode.code === 200;", "status == 200"),
    ],
)
def test_idioms(script: str, check: str) -> None:
    found = ScriptReader(lambda name: name).read(script)
    assert [one.expression for one in found.checks] == [check]
    assert not found.left


@pytest.mark.parametrize(
    "script",
    [
        "pm.sendRequest('http://x', function (e, r) { pm.environment.set('a', r.json().a) });",
        "for (const one of pm.response.json()) { pm.expect(one.id).to.be.a('number') }",
        "pm.expect(compute(1)).to.eql(2)",
        "pm.expect(pm.response.json().a + 1).to.eql(2)",
        "pm.expect(pm.response.json().date).to.be.a('date')",
        "pm.test('x', () => { if (a) { pm.expect(1).to.eql(1) } })",
    ],
)
def test_what_is_no_idiom_is_left(script: str) -> None:
    found = ScriptReader(lambda name: name).read(script)
    assert found.checks == []
    assert len(found.left) == 1


def test_a_part_of_a_test_that_is_no_idiom_is_left_and_the_rest_kept() -> None:
    found = ScriptReader(lambda name: name).read(
        "pm.test('n', function() {\n const j = pm.response.json()\n pm.expect(j.a).to.eql(1)\n odd()\n})"
    )
    assert found.checks == [Check("body.a == 1", "n")]
    assert found.left == ["odd()"]


def test_short_requests_and_odd_values_are_read() -> None:
    (flow,) = flows(
        collection(
            "example.com/a",
            {"url": {"host": ["x", "y"], "path": ["b"], "protocol": "https", "query": [{"key": "q", "value": "1"}]}},
            {},
        )
    ).values()
    assert [step["config"]["url"] for step in flow["steps"]] == [
        "http://example.com/a",
        "https://x.y/b?q=1",
        "http://localhost",
    ]


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"requests": []}', b'{"item": []}', b'{"item": [{"name": "x"}, 1]}'])
def test_what_is_no_collection_is_refused(data: bytes) -> None:
    with pytest.raises(Invalid):
        read_postman(data, "c.json")


def test_folders_without_end_are_refused() -> None:
    deep: dict[str, Any] = {"name": "x", "request": "http://x"}
    for _ in range(30):
        deep = {"name": "f", "item": [deep]}
    with pytest.raises(LimitExceeded):
        read_postman(json.dumps({"item": [deep]}).encode(), "c.json")
