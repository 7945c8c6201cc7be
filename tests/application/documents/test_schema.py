"""The published JSON Schema agrees with the check."""

from typing import Any

import jsonschema
import pytest

from application.documents.reader import read
from application.flow_documents import json_schema
from tests.application.documents.some_actions import ACTIONS, errors, with_step

LOG = "action: log\nconfig: {message: x}"
VALID = [
    LOG,
    f"id: a-b\nname: n\n{LOG}\ntags: t\ntimeout: 5s\nwhen: false\ndisabled: true",
    f"{LOG}\nassert: a == 1\nassert_any: [a, b]\nassert_none: [{{that: a, message: m}}]",
    f"{LOG}\nretry: 3\nuntil: {{condition: a, interval: 1}}\non_error: continue",
    f"{LOG}\nretry: {{max_attempts: 3, delay: 500ms, retry_on: [timeout]}}\non_error: {{action: retry, error_steps: []}}",
    f"{LOG}\noutput: {{a: body.id}}\nsecret_outputs: [a]",
    "action: http\nconfig: {method: GET, url: x, headers: {A: b}, timeout: 1m30s, max_redirects: 5, tags: []}",
    'action: http\nconfig: {method: "${m}", url: "${u}", headers: "${h}", timeout: "${t}", max_redirects: "{{r}}"}',
    "action: for_each\nconfig: {items: [1], steps: [{action: log, config: {message: 5}}]}",
    "action: condition\nconfig: {condition: true, then: [], else: []}",
    "action: mysql.query\nconfig: {query: select 1}",
    "action: http\nconfig: {method: GET, to: x}",
    "action: http\nconfig: {method: GET, url: x, assert: status == 200}\nassert: [body]",
    f"{LOG}\nretry: {{enabled: false, max_attempts: 3}}",
    f"{LOG}\non_error: [{{{LOG.replace(chr(10), ', ')}}}]\non_timeout: [{{{LOG.replace(chr(10), ', ')}}}]",
    f"{LOG}\non_error: {{action: continue, on_timeout: []}}",
]
INVALID = [
    "name: x",
    "action: lgo",
    "action: log",
    "action: log\nconfig: {mesage: x}",
    "action: log\nconfig: {message: x, level: inf}",
    "action: log\nconfig: {message: [x]}",
    "action: log\nconfig: {message: x, extra: 1}",
    "action: http\nconfig: {method: GET}",
    "action: http\nconfig: {method: GET, url: x, max_redirects: '5'}",
    "action: http\nconfig: {method: GET, url: x, headers: [a]}",
    "action: http\nconfig: {method: GET, url: x, timeout: 5 parsecs!}",
    "action: http\nconfig: {method: GET, url: x, to: x}",
    "action: http\nconfig: {method: GET, url: x, assert: [[status]]}",
    f"{LOG}\non_timeout: soon",
    "action: for_each\nconfig: {steps: []}",
    "action: for_each\nconfig: {items: [1], steps: [{action: log}]}",
    f"{LOG}\nretry: 11",
    f"{LOG}\nretry: {{attempts: 3}}",
    f"{LOG}\non_error: ignore",
    f"{LOG}\nid: a b",
    f"{LOG}\nassert: [{{message: m}}]",
    f"{LOG}\nassert: 5",
    f"{LOG}\nuntil: {{interval: 1s}}",
    f"{LOG}\nonce: []",
    f"{LOG}\ntimeout: -1",
    f"{LOG}\noutput: {{1a: x}}",
    f"{LOG}\ndisabled: 'true'",
]


@pytest.fixture(scope="module")
def validator() -> Any:
    schema = json_schema(ACTIONS)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("step", VALID)
def test_a_valid_flow_is_valid_by_the_schema_too(step: str, validator: Any) -> None:
    text = with_step(step)
    assert errors(text) == ()
    assert [error.message for error in validator.iter_errors(read(text).value)] == []


@pytest.mark.parametrize("step", INVALID)
def test_an_invalid_flow_is_invalid_by_the_schema_too(step: str, validator: Any) -> None:
    text = with_step(step)
    assert errors(text)
    assert not validator.is_valid(read(text).value)


@pytest.mark.parametrize(
    "text", ["{}", "flow: {}", "flow: {name: x}", "flow: {name: x, steps: []}", "[]", "flow: {name: '', steps: [1]}"]
)
def test_a_document_that_is_no_flow_is_none_by_the_schema_either(text: str, validator: Any) -> None:
    assert errors(text)
    assert not validator.is_valid(read(text).value)


def test_a_bare_document_is_valid(validator: Any) -> None:
    assert validator.is_valid(read("name: x\nsteps: [{action: log, config: {message: x}}]").value)


def test_descriptions_reach_the_editor() -> None:
    url = json_schema(ACTIONS)["$defs"]["config.http_request"]["properties"]["url"]
    assert url["description"] == "Where to."
