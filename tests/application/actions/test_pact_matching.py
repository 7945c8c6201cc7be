"""The matching rules of Pact: which bodies, headers and status codes are what a contract says, after the specification."""

from __future__ import annotations

from typing import Any

import pytest

from application.actions.pact_answers import answer_mismatches
from application.actions.pact_body import body_mismatches
from application.actions.pact_contract import read_contract, read_interaction
from application.actions.pact_dates import fits
from application.actions.pact_paths import read_path
from application.actions.pact_rules import body_rules, read_rules
from application.engine.action import ActionError
from tests.support.cpu_time import at_most

TYPE = {"match": "type"}


def places(expected: Any, actual: Any, rules: Any = None, *, more_fields: bool = True) -> list[str]:
    """Where the bodies differ; a rule may be written as one matcher."""
    found = body_mismatches(expected, actual, body_rules(rules), more_fields=more_fields)
    return [mismatch.place.removeprefix("body ") for mismatch in found]


@pytest.mark.parametrize(
    ("expected", "actual", "differ"),
    [
        ({"a": 1}, {"a": 1, "more": 2}, []),
        ({"a": 1}, {"a": 1.0}, []),
        ({"a": 1}, {"a": True}, ["$.a"]),
        ({"a": 1}, {"a": "1"}, ["$.a"]),
        ({"a": None}, {}, ["$.a"]),
        ({"a": None}, {"a": None}, []),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 2]}}, []),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [2, 1, 3]}}, ["$.a.b", "$.a.b[0]", "$.a.b[1]"]),
        ([1], [], ["$"]),
        ([], [1], ["$"]),
        ({}, [], ["$"]),
        ({}, {"a": 1}, []),
        ("text", "text", []),
        ({"odd name": 1}, {"odd name": 2}, ["$['odd name']"]),
    ],
)
def test_without_rules_fields_are_equal_lists_exact_and_more_fields_fine(expected: Any, actual: Any, differ: list[str]) -> None:
    assert places(expected, actual) == differ


def test_a_request_has_no_more_fields() -> None:
    assert places({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}, more_fields=False) == ["$.a.c"]


@pytest.mark.parametrize(
    ("matcher", "fitting", "other"),
    [
        (TYPE, ["other", ""], [1, None, [], {}]),
        ({"match": "regex", "regex": "^a+$"}, ["a", "aaa"], ["b", "", None, [], 1]),
        ({"regex": "\\d"}, ["x1", 1], ["x"]),
        ({"match": "include", "value": "mid"}, ["amidst"], ["dim", 5]),
        ({"match": "integer"}, [0, -7], [1.5, 100.0, "1", True, None]),
        ({"match": "decimal"}, [1.5, 100.0], [1, "1.5", None]),
        ({"match": "number"}, [1, 1.5], ["1", True, None]),
        ({"match": "boolean"}, [True, False], [1, "true", None]),
        ({"match": "null"}, [None], ["", 0, False]),
        ({"match": "equality"}, ["example"], ["other"]),
        ({"match": "date", "format": "yyyy-MM-dd"}, ["2024-02-29"], ["2023-02-29", "2024-2-9", "29-02-2024", 5]),
        ({"match": "date"}, ["2024-02-29"], ["2024-02-30"]),
        ({"match": "time", "time": "HH:mm"}, ["23:59"], ["24:00", "23:59:00"]),
        (
            {"match": "timestamp", "timestamp": "yyyy-MM-dd'T'HH:mm:ssXXX"},
            ["2024-01-31T10:00:00Z", "2024-01-31T10:00:00+02:00"],
            ["2024-01-31 10:00:00Z"],
        ),
        ({"match": "datetime"}, ["2024-01-31T10:00:00.123Z"], ["yesterday"]),
        ({"match": "semver"}, ["1.2.3", "1.0.0-rc.1+5"], ["1.2", "v1.2.3"]),
        ({"match": "notEmpty"}, ["x"], ["", None, 1]),
    ],
)
def test_matchers_of_single_values(matcher: dict[str, Any], fitting: list[Any], other: list[Any]) -> None:
    for value in fitting:
        assert places({"a": "example"}, {"a": value}, {"$.a": matcher}) == [], value
    for value in other:
        assert places({"a": "example"}, {"a": value}, {"$.a": matcher}) == ["$.a"], value


@pytest.mark.parametrize(
    ("rules", "expected", "actual", "differ"),
    [
        # Type holds for everything inside, and lists may have any length then.
        ({"$": TYPE}, {"a": [1], "b": {"c": "x"}}, {"a": [5, 6], "b": {"c": "y"}}, []),
        ({"$": TYPE}, {"a": [1], "b": {"c": "x"}}, {"a": [5, "6"], "b": {"c": 1}}, ["$.a[1]", "$.b.c"]),
        ({"$.a": TYPE}, {"a": {"b": 1}}, {"a": {}}, ["$.a.b"]),
        # A number and a fraction are of one type.
        ({"$": TYPE}, {"a": 1}, {"a": 1.5}, []),
        # No matchers are no rule.
        ({"$": {"matchers": []}}, {"a": 1}, {"a": 2}, ["$.a"]),
        # A nearer rule stands instead of it; equality stops the cascade.
        ({"$": TYPE, "$.b": {"match": "equality"}}, {"a": 1, "b": {"c": 1}}, {"a": 2, "b": {"c": 2}}, ["$.b.c"]),
        ({"$": TYPE, "$.b": {"match": "equality"}}, {"b": [1]}, {"b": [1, 2]}, ["$.b"]),
        ({"$.b": {"match": "equality"}}, {"b": {"c": 1}}, {"b": {"c": 1, "d": 2}}, ["$.b.d"]),
        ({"$": {"match": "equality"}, "$.id": TYPE}, {"id": 1, "n": "x"}, {"id": 2, "n": "y"}, ["$.n"]),
        # The first item is the template; least and most are of the list itself.
        ({"$.a": {"match": "type", "min": 1}}, {"a": [{"n": 1}]}, {"a": [{"n": 2}, {"n": 3}]}, []),
        ({"$.a": {"match": "type", "min": 2}}, {"a": [1, 1]}, {"a": [1]}, ["$.a"]),
        ({"$.a": {"max": 2}}, {"a": [1]}, {"a": [1, 2, 3]}, ["$.a"]),
        ({"$.a": {"min": 1}}, {"a": [[1]]}, {"a": [[1], []]}, []),
        ({"$.a": {"min": 0}}, {"a": [1]}, {"a": []}, []),
        # Rules of items alone leave the length exact.
        ({"$.a[*].id": TYPE}, {"a": [{"id": 1}]}, {"a": [{"id": 5}]}, []),
        ({"$.a[*].id": TYPE}, {"a": [{"id": 1}]}, {"a": [{"id": 5}, {"id": 6}]}, ["$.a"]),
        # An index is more exact than a star.
        ({"$[*]": TYPE, "$[1]": {"match": "equality"}}, [1, 2], [7, 8], ["$[1]"]),
        ({"$.*.id": {"match": "integer"}}, {"x": {"id": 1}}, {"x": {"id": 2}}, []),
        ({"$['odd name']": TYPE}, {"odd name": 1}, {"odd name": 2}, []),
        # Any names.
        ({"$.m": {"match": "values"}, "$.m.*": TYPE}, {"m": {"x": 1}}, {"m": {"y": 2, "z": 3}}, []),
        ({"$.m": {"match": "values"}, "$.m.*": TYPE}, {"m": {"x": 1}}, {"m": {"y": "2"}}, ["$.m.y"]),
        (
            {"$.m": {"match": "eachKey", "rules": [{"match": "regex", "regex": "^k"}]}},
            {"m": {"k1": 1}},
            {"m": {"k1": 1, "x": 1}},
            ["$.m.x"],
        ),
        (
            {"$.m": {"match": "eachValue", "rules": [{"match": "integer"}]}},
            {"m": {"k": 1}},
            {"m": {"a": 2, "b": 2.5}},
            ["$.m.b"],
        ),
        ({"$.m": {"match": "eachValue", "rules": [{"match": "integer"}]}}, {"m": [1]}, {"m": [2, 3]}, []),
        # Each variant must be among the items.
        (
            {"$.a": {"match": "arrayContains", "variants": [{"index": 0, "rules": {"$.id": TYPE}}]}},
            {"a": [{"t": "x", "id": 1}]},
            {"a": [{"t": "y"}, {"t": "x", "id": 9}]},
            [],
        ),
        (
            {"$.a": {"match": "arrayContains", "variants": [{"index": 0, "rules": {}}]}},
            {"a": [{"t": "x"}]},
            {"a": [{"t": "y"}]},
            ["$.a"],
        ),
        # All of the matchers, or one of them.
        (
            {"$.a": {"matchers": [{"match": "include", "value": "x"}, {"match": "include", "value": "y"}]}},
            {"a": ""},
            {"a": "x"},
            ["$.a"],
        ),
        ({"$.a": {"combine": "OR", "matchers": [{"match": "null"}, {"match": "integer"}]}}, {"a": 1}, {"a": None}, []),
        ({"$.a": {"combine": "OR", "matchers": [{"match": "null"}, {"match": "integer"}]}}, {"a": 1}, {"a": "x"}, ["$.a"]),
    ],
)
def test_rules_by_path(rules: Any, expected: Any, actual: Any, differ: list[str]) -> None:
    assert places(expected, actual, rules) == differ


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"body": {"$.a": {"match": "regx"}}}, "the matcher 'regx' is not supported"),
        ({"body": {"$.a": {"match": "regex", "regex": "(?=x)"}}}, "not a valid pattern"),
        ({"body": {"$.a": {"match": "regex"}}}, "needs regex"),
        ({"body": {"a": TYPE}}, "begins with $"),
        ({"body": {"$.a[": TYPE}}, "cannot be read at character 4"),
        ({"body": {"$": {"matchers": [5]}}}, "has no matchers"),
        ({"body": {"$": {"combine": "XOR", "matchers": [TYPE]}}}, "AND or OR"),
        ({"body": []}, "an object of paths"),
        ({"trailer": {}}, "matching rules for 'trailer' are not supported"),
    ],
)
def test_rules_that_cannot_be_checked_are_errors(rules: Any, message: str) -> None:
    with pytest.raises(ActionError) as raised:
        read_rules(rules)
    assert message in raised.value.message


def test_unknown_date_letters_are_an_error_and_long_texts_are_none() -> None:
    with pytest.raises(ActionError, match="'QQ'"):
        fits("date", "yyyy-QQ", "2024-01")
    assert fits("date", "EEE, d MMM yyyy", "Wed, 31 Jan 2024")
    assert fits("time", "hh 'o''clock' a", "09 o'clock PM")
    assert not fits("datetime", None, "2" * 10_000)


def test_paths_are_read() -> None:
    assert read_path("$.a[0]['b c'][*].*") == ("a", 0, "b c", None, None)
    assert read_path("$") == ()


def differs(response: dict[str, Any], **result: Any) -> list[str]:
    """The places where an answer differs from the response of a contract."""
    item = {"description": "d", "request": {"path": "/"}, "response": response}
    answer = {"status": 200, "headers": {}, "text": "", "body": "", "truncated": False, "sha256": "", "size": 0, **result}
    return [mismatch.place for mismatch in answer_mismatches(read_interaction(item).response, answer)]


@pytest.mark.parametrize(
    ("expected", "actual", "same"),
    [
        ("application/json", "application/json; charset=utf-8", True),
        ("application/json;charset=UTF-8", "application/json; charset=utf-8", True),
        ("application/json; charset=utf-8", "application/json", False),
        ("application/json", "text/html", False),
    ],
)
def test_content_types_may_say_more(expected: str, actual: str, same: bool) -> None:
    assert (differs({"headers": {"Content-Type": expected}}, headers={"content-type": actual}) == []) is same


def test_headers_count_in_any_case_and_parts_without_blanks() -> None:
    headers = {
        "headers": {"X-Parts": "a,b", "x-id": "5"},
        "matchingRules": {"header": {"X-ID": {"matchers": [{"match": "integer"}]}}},
    }
    assert differs(headers, headers={"x-parts": "a, b", "X-Id": "77", "Other": "1"}) == []
    assert differs(headers, headers={"x-parts": "b, a", "X-Id": "x"}) == ["header X-Parts", "header x-id"]
    assert differs(headers) == ["header X-Parts", "header x-id"]
    assert differs({"headers": {"Set-Cookie": "a=1"}}, headers={"Set-Cookie": ["b=2", "a=1"]}) == []


@pytest.mark.parametrize(
    ("wanted", "status", "same"),
    [
        ("success", 204, True),
        ("success", 404, False),
        ([200, 201], 201, True),
        ([200, 201], 202, False),
        ("nonError", 304, True),
        ("serverError", 503, True),
    ],
)
def test_classes_of_status_codes(wanted: Any, status: int, same: bool) -> None:
    rules = {"status": {"matchers": [{"match": "statusCode", "status": wanted}]}}
    assert (differs({"status": 200, "matchingRules": rules}, status=status) == []) is same


@pytest.mark.parametrize(
    ("response", "text", "same"),
    [
        ({}, "anything", True),
        ({"body": None}, "", True),
        ({"body": None}, "{}", False),
        ({"body": ""}, "", True),
        ({"body": {"a": 1}}, '{"a": 1}', True),
        ({"body": {"a": 1}}, "not json", False),
        ({"body": "plain"}, "plain", True),
        ({"body": "plain"}, "other", False),
        ({"body": "plain", "matchingRules": {"body": {"$": {"match": "regex", "regex": "^o"}}}}, "other", True),
        ({"body": {"content": "x"}}, '{"content": "x"}', True),
    ],
)
def test_bodies_by_their_kind(response: dict[str, Any], text: str, same: bool) -> None:
    assert (differs(response, text=text, body=text) == []) is same


@pytest.mark.parametrize(
    ("body", "kind", "value"),
    [
        ({"content": {"a": 1}, "contentType": "application/json", "encoded": False}, "json", {"a": 1}),
        ({"content": '{"a": 1}', "contentType": "application/json", "encoded": "json"}, "json", {"a": 1}),
        ({"content": "eyJhIjogMX0=", "contentType": "application/json", "encoded": "base64"}, "json", {"a": 1}),
        ({"content": "aGk=", "contentType": "text/plain", "encoded": "base64"}, "text", "hi"),
        ({"content": "/w==", "contentType": "image/png", "encoded": True}, "binary", b"\xff"),
        ({"content": None}, "null", None),
        ({}, "missing", None),
    ],
)
def test_bodies_of_version_4(body: Any, kind: str, value: Any) -> None:
    item = {"type": "Synchronous/HTTP", "description": "d", "request": {"body": body}, "response": {"body": body}}
    read = read_interaction(item)
    assert (read.response.body.kind, read.response.body.value) == (kind, value)
    assert read.request.body == read.response.body


def test_version_2_is_read_too() -> None:
    item = {
        "description": "d",
        "providerState": "s",
        "request": {"method": "get", "path": "/", "query": "a=1&a=2&b="},
        "response": {
            "status": 200,
            "headers": {"X": "1"},
            "body": {"items": [{"id": 1}]},
            "matchingRules": {"$.body.items": {"min": 1}, "$.headers.X": {"match": "regex", "regex": "\\d"}},
        },
    }
    read = read_interaction(item)
    assert (read.title, read.request.method, read.request.query) == ("d (given s)", "GET", {"a": ["1", "2"], "b": [""]})
    assert differs(item["response"], headers={"X": "2"}, text='{"items": [{"id": 3}, {"id": 4}]}') == []
    assert differs(item["response"], headers={"X": "x"}, text='{"items": []}') == ["header X", "body $.items"]


@pytest.mark.parametrize(
    ("contract", "message"),
    [
        ([], "it must be an object"),
        ({"consumer": {"name": "a"}, "provider": {"name": "b"}}, "has no interactions"),
        ({"interactions": [{}], "provider": {"name": "b"}}, "the name of the consumer is missing"),
        ({"metadata": {"pactSpecification": {"version": "5.0"}}, "interactions": [{}]}, "version 5 of the Pact"),
    ],
)
def test_what_is_no_contract_is_refused(contract: Any, message: str) -> None:
    with pytest.raises(ActionError) as raised:
        read_contract(contract)
    assert message in raised.value.message


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"type": "Asynchronous/Messages"}, "only Synchronous/HTTP can be verified"),
        ({"pluginConfiguration": {"csv": {}}}, "needs a plugin"),
        ({}, "must have a request and a response"),
        ({"request": {"path": "x"}, "response": {}}, "begins with /"),
        ({"request": {}, "response": {"status": "ok"}}, "not a status code"),
    ],
)
def test_interactions_that_cannot_be_checked_are_errors(item: dict[str, Any], message: str) -> None:
    with pytest.raises(ActionError) as raised:
        read_interaction({"description": "d", **item})
    assert message in raised.value.message


def test_many_rules_over_many_items_are_looked_up_once_and_over_many_fields_bounded() -> None:
    rules = body_rules({"$": TYPE, **{f"$[*].f{number}": {"match": "integer"} for number in range(200)}})
    with at_most(20):
        assert body_mismatches([{"id": 1}], [{"id": number} for number in range(20_000)], rules) == []
    assert len(rules.seen) == 3
    fields = {f"g{number}": 1 for number in range(20_000)}
    with at_most(20), pytest.raises(ActionError, match="too many fields"):
        body_mismatches([fields], [fields], rules)
