"""Postman collections: requests with what they inherit, variables, and the idioms of their scripts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from application.importing.model import Check
from application.importing.postman import read_postman
from application.importing.postman_presets import preset
from application.importing.postman_scripts import ScriptReader
from application.importing.writing import write_flow
from domain.errors import Invalid, LimitExceeded
from tests.support.cpu_time import at_most

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
        ("pm.expect(pm.response.json()).to.not.have.property('error')", "body is array || 'error' not in keys(body)"),
        ("pm.expect(pm.response.json()).to.have.property('a', 'b')", "body.a == 'b'"),
        ("pm.expect(pm.response.text()).to.include('${x}')", "text contains '\\x24\\x7bx}'"),
        ("pm.expect(pm.response.code).to.be.oneOf([200, 201])", "status in [200, 201]"),
        ("pm.expect(pm.response.json().id).to.eql(pm.environment.get('id'))", "body.id == id"),
        ("pm.response.to.be.ok", "status == 200"),
        ("pm.response.to.have.header('X-A', 'b')", "headers['X-A'] == 'b'"),
        ("pm.response.to.have.jsonBody('a.b')", "'b' in keys(body.a)"),
        ("pm.response.to.not.have.status(500)", "status != 500"),
        ("tests['fine'] = responseCode.code === 200;", "status == 200"),
        (
            "tests['both'] = pm.response.json().ok && responseBody.has('x')",
            "(body.ok not in [null, false, 0, '']) && (text contains 'x')",
        ),
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


def scripted(*lines: str, before: tuple[str, ...] = (), name: str = "a") -> dict[str, Any]:
    """A request with a test script and a script before it."""
    events = [{"listen": "test", "script": {"exec": list(lines)}}, {"listen": "prerequest", "script": {"exec": list(before)}}]
    return {"name": name, "event": events, "request": "http://x/a"}


def holding(*items: Any, **more: Any) -> bytes:
    """A collection of these items."""
    return json.dumps({"info": {"name": "C"}, "item": items, **more}).encode()


def test_a_request_without_tests_has_no_assertions_and_a_failure_does_not_end_the_flow() -> None:
    (flow,) = flows(holding({"name": "a", "request": "http://x/a"})).values()
    assert "assert" not in flow["steps"][0]
    assert flow["config"] == {"fail_fast": False}


def test_a_request_none_of_whose_tests_is_translated_is_counted_and_says_so() -> None:
    found = read_postman(holding(scripted("pm.expect(compute(1)).to.eql(2)"), scripted("pm.test.skip('x', f)")), "c.json")
    assert found.left_out["requests without any translated test, whose steps pass with any answer"] == 2
    assert "# No test of this request was translated: the step passes with any answer." in write_flow(found.drafts[0])
    other = read_postman(holding(scripted("postman.setNextRequest(null)")), "c.json")
    assert list(other.left_out) == ["statements of test scripts, kept as comments"]


def test_what_a_collection_says_is_left_once_and_not_for_each_request() -> None:
    event = [{"listen": "test", "script": {"exec": ["odd();", "pm.response.to.have.status(200);"]}}]
    folder = {"name": "f", "item": [scripted("even();"), scripted()], "event": event}
    found = read_postman(holding(folder, scripted(), scripted(), event=event), "c.json")
    assert found.left_out["statements of test scripts, kept as comments"] == 3
    first, second = (write_flow(draft) for draft in found.drafts)
    assert first.count("odd()") == 2
    assert first.startswith(
        "# Imported from the Postman collection C.\n# Not translated from the test script of the collection:\n#   odd()\n"
        "# Not translated from the test script of the folder f:\n#   odd()\n"
    )
    assert first.count("even()") == 1
    assert second.count("odd()") == 1
    assert yaml.safe_load(second)["flow"]["steps"][1]["assert"] == ["status == 200"]


def basic(user: str, password: str) -> dict[str, Any]:
    """A folder with a request that has credentials."""
    pairs = [{"key": "username", "value": user}, {"key": "password", "value": password}]
    request = {"url": "http://x/", "method": "GET", "auth": {"type": "basic", "basic": pairs}}
    return {"name": user, "item": [{"name": "r", "request": request}]}


def test_different_credentials_of_folders_have_different_names_and_equal_ones_the_same() -> None:
    found = read_postman(holding(basic("alice", "pass-one"), basic("bob", "pass-two"), basic("carol", "pass-one")), "c.json")
    assert [sorted(draft.given) for draft in found.drafts] == [
        ["password", "username"],
        ["password_2", "username_2"],
        ["password", "username_3"],
    ]
    assert found.drafts[2].calls[0].auth == {"type": "basic", "username": "${username_3}", "password": "${password}"}


def test_a_credential_never_takes_the_name_of_a_variable() -> None:
    read = {"name": "v", "item": [{"name": "r", "request": "http://x/{{username}}"}]}
    found = read_postman(holding(read, basic("alice", "pass-one")), "c.json")
    assert [sorted(draft.given) for draft in found.drafts] == [["username"], ["password", "username_2"]]


def test_columns_of_a_data_file_are_variables() -> None:
    lines = ("pm.expect(pm.response.json().id).to.eql(pm.iterationData.get('id'))", "pm.expect(1).to.eql(data.n)")
    (draft,) = read_postman(holding(scripted(*lines)), "c.json").drafts
    assert draft.calls[0].asserts == [Check("body.id == id"), Check("1 == n")]
    assert draft.given == dict.fromkeys(["id", "n"], "a column of the rows: --data FILE")


def test_variables_that_only_assertions_read_come_along() -> None:
    line = "pm.expect(pm.response.json().a).to.eql(pm.variables.get('wanted'))"
    (flow,) = flows(holding(scripted(line), variable=[{"key": "wanted", "value": "Ada"}])).values()
    assert flow["env"] == {"wanted": "Ada"}


def test_a_schema_is_a_variable_when_it_is_long_and_read_by_draft_7() -> None:
    schema = {"type": "object", "required": ["id"], "properties": {f"p{n}": {"type": "string"} for n in range(20)}}
    lines = (f"const schema = {json.dumps(schema)};", "pm.test('fits', () => pm.response.to.have.jsonSchema(schema));")
    (flow,) = flows(holding(scripted(*lines), scripted(*lines))).values()
    assert flow["env"] == {"schema": {"$schema": "http://json-schema.org/draft-07/schema#", **schema}}
    assert [step["assert"] for step in flow["steps"]] == [[{"expression": "json_schema(body, schema)", "message": "fits"}]] * 2


def test_headers_and_texts_that_a_script_sets_before_a_request() -> None:
    before = (
        "pm.request.headers.add({key: 'X-A', value: 'b'});",
        "pm.request.headers.upsert({key: 'x-old', value: `v-${pm.environment.get('run')}`});",
        "pm.request.headers.remove('X-Gone');",
        "pm.request.headers.add({key: 'X-C', value: compute()});",
        "pm.variables.set('mail', 't-' + Date.now() + '@x.com');",
        "pm.environment.set('basic', btoa('a:b'));",
    )
    item = scripted(before=before)
    item["request"] = {
        "url": "http://x/{{mail}}/{{basic}}",
        "header": [{"key": "X-Old", "value": "1"}, {"key": "X-Gone", "value": "2"}],
    }
    found = read_postman(holding(item), "c.json")
    (call,) = found.drafts[0].calls
    assert call.headers == [("X-A", "b"), ("x-old", "v-${run}")]
    assert found.drafts[0].env == {"mail": "t-${TIMESTAMP_MS}@x.com", "basic": "YTpi"}
    assert found.left_out["statements of pre-request scripts, kept as comments"] == 1


@pytest.mark.parametrize(
    ("script", "output"),
    [
        ("pm.environment.set('v', 'Bearer ' + pm.response.json().token)", "'Bearer ' + string(body.token)"),
        ("pm.globals.set('v', `x-${pm.response.json().id}`)", "'x-' + string(body.id)"),
        ("pm.environment.set('v', JSON.stringify(pm.response.json().a))", "toJSON(body.a)"),
        ("pm.environment.set('v', pm.response.json().a.find(i => i.n === 1).id)", "find(body.a, #.n == 1).id"),
        ("const {id: x} = pm.response.json(); pm.environment.set('v', x)", "body.id"),
    ],
)
def test_outputs_that_scripts_compute(script: str, output: str) -> None:
    found = ScriptReader(lambda name: name).read(script)
    assert found.outputs == {"v": output}
    assert not found.left


@pytest.mark.parametrize(
    "script",
    [
        "const data = compute(); pm.expect(data.id).to.eql(7)",
        "let data; run(r => { data = r; }); pm.expect(data.id).to.eql(7)",
        "let n = 0; pm.response.json().forEach(i => { n = n + 1; pm.expect(i.id).to.exist; }); pm.expect(n).to.eql(0)",
        "const a = pm.response.json(); delete a.id; pm.expect(a).to.not.have.property('id')",
        "const a = pm.response.json(); a.list[0].x = 3; pm.expect(a.list[0].x).to.eql(3)",
        "pm.environment.set('a', 1); refresh('a'); if (x) { pm.environment.set('a', 2) } pm.expect(y).to.eql(1)",
        "pm.response.json().forEach(i => pm.expect(i.tags).to.include.members(['a']))",
    ],
)
def test_what_a_statement_that_is_left_may_have_changed_is_not_known_after_it(script: str) -> None:
    found = ScriptReader(lambda name: name).read(script)
    assert found.checks == []


@pytest.mark.parametrize(
    "script",
    [
        "pm.expect(" + "(" * 5000 + "1" + ")" * 5000 + ").to.eql(1)",
        "pm.expect(a" + ".b" * 9000 + ").to.eql(1)",
        "pm.expect(" + "1+" * 9000 + "'a').to.eql(1)",
        "pm.expect(1)" + ".to" * 6000 + ".eql(1)",
        "pm.expect(" + "[" * 5000,
        "pm.expect(`" + "${" * 5000 + "`).to.eql(1)",
        "pm.expect(" + "!" * 9000 + "a).to.be.true",
        "const a = pm.response.json(); run(a" + ".b.c" * 4000 + ")",
        "const " * 10_000,
        "(" + "a," * 9000,
        "pm.expect('a').to.match(/" + "(a*)*" * 900 + "b/)",
    ],
)
def test_scripts_that_are_meant_to_hang_end(script: str) -> None:
    with at_most(5):
        ScriptReader(lambda name: name).read(script)
        preset(script, str, str)


def test_numbers_that_a_script_sets_stay_numbers_and_are_texts_between_quotes() -> None:
    item = scripted("pm.expect(pm.response.json().n).to.eql(pm.variables.get('n'))", before=("pm.variables.set('n', 5);",))
    body = {"mode": "raw", "raw": '{"n": "{{n}}"}', "options": {"raw": {"language": "json"}}}
    (flow,) = flows(holding(item | {"request": {"method": "POST", "url": "http://x/", "body": body}})).values()
    assert flow["env"] == {"n": 5}
    assert flow["steps"][0]["assert"] == ["body.n == n"]
    assert flow["steps"][0]["config"]["json"] == {"n": "${string(n)}"}


def test_a_value_that_is_made_anew_for_each_request_is_told() -> None:
    before = ("pm.variables.set('id', pm.variables.replaceIn('{{$guid}}'));",)
    found = read_postman(holding(scripted(before=before), scripted(before=before)), "c.json")
    assert found.warnings == ["id is made anew for each request in Postman, and once for a flow here"]


def test_a_body_that_is_a_file_of_the_project_is_sent_and_another_is_told() -> None:
    def request(source: str) -> dict[str, Any]:
        return {"method": "PUT", "url": "http://h/", "body": {"mode": "file", "file": {"src": source}}}

    found = read_postman(collection(request("data/a.bin"), request("/home/ann/b.bin")), "c.json")
    inside, outside = found.drafts[0].calls
    assert inside.body is not None
    assert (inside.body.kind, inside.body.value, outside.body) == ("body_file", "data/a.bin", None)
    assert found.left_out["bodies that are files"] == 1
