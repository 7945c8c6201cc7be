"""What is written inside of configs, and looked at later, is checked before the run: structure, expressions and names."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.actions.registry import ACTIONS
from application.flow_documents import read_flow
from domain.errors import InvalidFlow

MOCK: dict[str, Any] = {"action": "mock_server_start"}


def problems(step: dict[str, Any]) -> list[str]:
    """What is wrong with a step: `title|remedy`, in order of place."""
    text = orjson.dumps({"flow": {"name": "f", "steps": [step]}})
    try:
        _, warnings = read_flow(text, actions=ACTIONS, known_variables=("given", "base"), strict=True)
    except InvalidFlow as invalid:
        return [f"{one.title}|{one.remedy or ''}" for one in invalid.problems]
    return [f"{one.title}|{one.remedy or ''}" for one in warnings]


def mock(*endpoints: Any) -> list[str]:
    return problems({**MOCK, "config": {"endpoints": list(endpoints)}})


def transform(*operations: Any) -> list[str]:
    return problems({"action": "transform", "config": {"input": [], "operations": list(operations)}})


@pytest.mark.parametrize(
    ("endpoint", "says"),
    [
        ({"path": "/a", "respons": {}}, "endpoint 1 has no key 'respons'|did you mean \"response\"?"),
        ({"path": "a"}, "the path of an endpoint begins with a slash: 'a'|"),
        ({"path": "/a", "method": "GETT"}, "endpoint 1: not a method: 'GETT'|did you mean \"GET\"?"),
        ({"path": "/a", "response": {"status": 200, "body": "a", "text": "b"}}, "body and text are both a body"),
        ({"path": "/a", "match": "request.body.x =="}, "the expression ends too early|"),
        ({"path": "/a", "when_state": "state.x =="}, "the expression ends too early|"),
        ({"path": "/a", "match": "request.query.a == wrong"}, 'Nothing defines "wrong"|'),
        ({"path": "/a", "match": {"expression": "request.query.a == wrong"}}, 'Nothing defines "wrong"|'),
        ({"path": "/a", "when_state": "state.count > most"}, 'Nothing defines "most"|'),
        ({"path": "/a", "response": {"body": "${request.body.x} ${wrong}"}}, 'Nothing defines "wrong"|'),
        ({"path": "/a", "state": {"increment": {"n": "${by}"}}}, 'Nothing defines "by"|'),
        ({"path": "/a", "fault": "explode"}, "explode"),
        ({"path": "/a", "responses": [{"when": "request.x == wrong", "status": 200}]}, 'Nothing defines "wrong"|'),
        ({"path": "/a", "response": {"when": "request.x =="}}, "the expression ends too early|"),
        ({"path": "/a", "match": {"body_matches": ["$.n > wrong"]}}, 'Nothing defines "wrong"|'),
    ],
)
def test_endpoints_of_mocks(endpoint: dict[str, Any], says: str) -> None:
    found = mock(endpoint)
    assert len(found) == 1
    assert says in found[0]


def test_endpoints_by_method_and_path_are_looked_at_too() -> None:
    step = {**MOCK, "config": {"routes": {"GET /a": {"match": "request.x == wrong"}, "GET /b": {"statu": 1, "path": "/c"}}}}
    assert problems(step) == ["endpoint 2 has no key 'statu'|did you mean \"state\"?"]
    step["config"]["routes"].pop("GET /b")
    assert problems(step) == [
        "Nothing defines \"wrong\"|give it with --var wrong=..., define it in env, or give a default: ${wrong ?? ''}"
    ]


def test_what_a_request_and_the_state_bring_is_known_and_templates_are_left_to_the_run() -> None:
    whole = {
        "path": "${base}/:id",
        "method": "${given}",
        "times": "${given}",
        "match": {"expression": "request.params.id == given and state.n < 3", "query": {"a": "${base}"}},
        "when_state": "state.ready == true",
        "responses": [{"status": "${request.query.status}", "body": {"n": "${state.n}", "u": "${UUID}"}}, 500],
        "state": {"increment": "n"},
    }
    assert mock(whole) == []


def test_endpoints_cannot_come_from_a_template() -> None:
    assert problems({**MOCK, "config": {"endpoints": "${given}"}})[0].startswith("endpoints are written in the flow")


@pytest.mark.parametrize(
    ("operations", "says"),
    [
        ([{"flter": "item > 1"}], "operation 1: there is no operation 'flter'|did you mean \"filter\"?"),
        ([{"filter": "item > 1", "count": True}], "must have one operation"),
        ([{"filter": "item >"}], "the expression ends too early|"),
        ([{"filter": "item > most"}], 'Nothing defines "most"|'),
        ([{"map": {"a": "item.x", "b": "#.y + wrong"}}], 'Nothing defines "wrong"|'),
        ([{"sort": {"by": "item.a + wrong", "desc": True}}], 'Nothing defines "wrong"|'),
        ([{"sort": ["name", {"by": "wrong * 2"}]}], 'Nothing defines "wrong"|'),
        ([{"join": {"with": "${given}", "on": "wrong + 1"}}], 'Nothing defines "wrong"|'),
        ([{"join": ", ", "from": "frst"}], "join: no operation before it saves 'frst'|"),
        ([{"count": True, "save_as": "n"}, {"count": True, "save_as": "n"}], "two operations save as 'n'|"),
        ([{"format": "${item.name} ${wrong}"}], 'Nothing defines "wrong"|'),
        ([{"type": "filter", "array": "$.items", "condition": "item.n > wrong"}], 'Nothing defines "wrong"|'),
        ([{"type": "filtr", "array": "$.items"}], "operation 1: there is no type 'filtr'|did you mean \"filter\"?"),
    ],
)
def test_operations_of_transform(operations: list[Any], says: str) -> None:
    found = transform(*operations)
    assert len(found) == 1
    assert says in found[0]


def test_items_fields_and_kept_names_are_known() -> None:
    assert (
        transform(
            {"extract": "$.items[*]", "save_as": "all"},
            {"filter": "item.price > given && .stock > 0"},
            {"map": {"n": "index", "of": "len(all)", "p": "#.price * 2"}},
            {"sort": "price"},
            {"group": "address.city?"},
            {"unique": True},
            "count",
            {"from": "all", "join": ", "},
        )
        == []
    )


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"actions": [{"action": "snd", "message": "a"}]}, "there is no action 'snd'"),
        ({"actions": [{"action": "receive", "expct": "a"}]}, "action 1 has no key 'expct'"),
        ({"actions": [{"action": "receive", "expect": "message.x =="}]}, "the expression ends too early"),
        ({"actions": [{"action": "receive", "expect": "message.x == wrong"}]}, 'Nothing defines "wrong"'),
        ({"action": "send"}, "send needs message"),
    ],
)
def test_acts_of_websockets(config: dict[str, Any], says: str) -> None:
    found = problems({"action": "websocket", "config": {"url": "ws://a", **config}})
    assert len(found) == 1
    assert says in found[0]


def test_acts_know_the_message_and_may_be_templates() -> None:
    acts = ["connect", {"action": "receive", "expect": "message.id == given and len(messages) < 9"}, {"action": "${given}"}]
    assert problems({"action": "websocket", "config": {"url": "ws://a", "actions": acts}}) == []


def test_what_a_mock_is_verified_by() -> None:
    config = {"match": {"expression": "request.a == one"}, "in_order": [{"match": "request.b == two"}, {"path": "/x"}]}
    found = problems({"action": "mock_server_verify", "config": config})
    assert [one.partition("|")[0] for one in found] == ['Nothing defines "one"', 'Nothing defines "two"']


_WORDS = [
    "path",
    "match",
    "expression",
    "response",
    "state",
    "expect",
    "action",
    "filter",
    "sort",
    "by",
    "join",
    "on",
    "from",
    "map",
]
_LEAVES = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["/a", "item.x", "${base}", "x ==", "", *_WORDS])
_ANY = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_WORDS), inner, max_size=3),
    max_leaves=8,
)
_KEYS = {
    "mock_server_start": ("endpoints", "routes"),
    "mock_server_verify": ("match", "in_order"),
    "transform": ("operations", "transforms"),
    "websocket": ("actions", "expect"),
}


@given(action=st.sampled_from(sorted(_KEYS)), data=st.data())
def test_whatever_is_written_there_is_valid_or_refused(action: str, data: st.DataObject) -> None:
    config = data.draw(st.dictionaries(st.sampled_from(_KEYS[action]), _ANY, max_size=2))
    problems({"action": action, "config": config})


def http(**config: Any) -> list[str]:
    return problems({"action": "http_request", "config": {"method": "GET", "url": "http://h/", **config}})


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"url": "/json"}, "url must begin with http:// or https://: '/json'|put the server before it: ${base_url}/..."),
        ({"url": "h:80/x"}, "url must begin with http:// or https://: 'h:80/x'|write http://h:80/x"),
        ({"url": ""}, "url must begin with http:// or https://: ''|"),
        ({"url": "ftp://ann:pa/ss@h/x"}, "url must begin with http:// or https://: 'ftp://[masked]@h/x'|"),
        ({"url": "/x/${UUID}"}, "url must begin with http:// or https://: '/x/${UUID}'|"),
        ({"body": "a", "json": {}}, "body and json are both a body; keep one|"),
        ({"form": {"a": 1}, "graphql": "{ me }"}, "form and graphql are both a body; keep one|"),
    ],
)
def test_urls_and_bodies_of_http_steps(config: dict[str, Any], says: str) -> None:
    (found,) = http(**config)
    assert found.startswith(says)


@pytest.mark.parametrize("url", ["${base}/x", "http${given}://h", "HTTPS://h", "{{base}}", " http://h "])
def test_a_url_whose_beginning_is_not_known_is_left_to_the_run(url: str) -> None:
    assert http(url=url, json={}, body="${given}") == []


@pytest.mark.parametrize(
    ("step", "says"),
    [
        (
            {"action": "wait_for", "config": {"url": "localhost/x"}},
            "http:// or https://: 'localhost/x'|write http://localhost/x",
        ),
        ({"action": "sse", "config": {"url": "/events"}}, "http:// or https://: '/events'|"),
        ({"action": "websocket", "config": {"url": "h/ws"}}, "ws:// or wss://: 'h/ws'|write ws://h/ws"),
    ],
)
def test_urls_of_other_actions(step: dict[str, Any], says: str) -> None:
    (found,) = problems(step)
    assert f"url must begin with {says}" in found


@pytest.mark.parametrize("expression", ['text matches "^(B"', 'text.matches("^(B")', "all(body, .x matches '^(B')"])
def test_a_pattern_that_is_written_out_is_tried(expression: str) -> None:
    (found,) = problems({"action": "log", "config": {"message": "x"}, "assert": [expression]})
    assert found.startswith("not a valid pattern: missing ): ^(B|")
