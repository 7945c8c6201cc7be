"""The expression language: values, explanations, templates, and that no text breaks it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.expressions import (
    Builtins,
    ExpressionError,
    Scope,
    StepValue,
    evaluate,
    explain,
    extract,
    is_template,
    parse,
    render,
)
from tests.support.cpu_time import at_most

RESULT: dict[str, Any] = {
    "status": 200,
    "body": {"id": 7, "items": [{"name": "tea", "price": 3}, {"name": "cup", "price": 12}], "at": "2026-01-01T00:00:00Z"},
    "headers": {"Content-Type": "application/json"},
}


def scope(**names: Any) -> Scope:
    builtins = Builtins("seed", 1, datetime(2026, 1, 1, tzinfo=UTC), lambda: 0.0, {"FLOW_NAME": "checkout"})
    return Scope({"user": {"name": "Ada"}, "page": 2, "none": None, **names}, RESULT, builtins.at("step"))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2 * 3", 7),
        ("2 ** 3", 8),
        ("7 % 4", 3),
        ("10 / 4", 2.5),
        ("status == 200 && body.id == 7", True),
        ("status == 404 or page > 1", True),
        ("not (status == 404)", True),
        ("body.items[0].name", "tea"),
        ("body.items[-1].price", 12),
        ("$.items[0].name", "tea"),
        ("$.items[?@.price > 5].name", ["cup"]),
        ("headers['content-type']", "application/json"),
        ("headers.content-type contains 'json'", True),
        ("body.items.length", 2),
        ("len(body.items)", 2),
        ("filter(body.items, .price > 5)[0].name", "cup"),
        ("map(body.items, #.price)", [3, 12]),
        ("sum(body.items, .price)", 15),
        ("any(body.items, .price > 5)", True),
        ("reduce([1, 2, 3], #acc + #)", 6),
        ("sortBy(body.items, .price, 'desc')[0].name", "cup"),
        ("body.missing ?? 'none'", "none"),
        ("user?.email", None),
        ("none ?? 1", 1),
        ("body.id exists", True),
        ("body.nope not exists", True),
        ("body.id is number", True),
        ("body.at is date", True),
        ("none is null", True),
        ("user.name.upper()", "ADA"),
        ("user.name | lower()", "ada"),
        ("'tea' in map(body.items, .name)", True),
        ("[1, 2] contains 2", True),
        ("'abc' matches '^a.c$'", True),
        ("1..3", [1, 2, 3]),
        ("let x = 2; x * x", 4),
        ("page > 1 ? 'more' : 'one'", "more"),
        ("body.at < '2026-06-01T00:00:00+02:00'", True),
        ("'a-${page}' == 'a-2'", True),
        ("${page} + 1", 3),
        ("FLOW_NAME", "checkout"),
        ("round(2.5)", 3),
    ],
)
def test_an_expression_has_this_value(text: str, value: Any):
    assert evaluate(text, scope()) == value


@pytest.mark.parametrize(
    ("text", "kind", "hint"),
    [
        ("usr.name", "name", "user"),
        ("body.idd", "name", "id"),
        ("1 +", "syntax", None),
        ("'a' + 1", "type", "convert"),
        ("status && true", "type", "compare"),
        ("''.__class__.__mro__", "name", None),
        ("user.__globals__", "name", None),
        ("getattr(user, 'x')", "name", None),
        ("'a' matches '('", "value", "RE2"),
    ],
)
def test_what_is_wrong_is_said_with_a_hint(text: str, kind: str, hint: str | None):
    with pytest.raises(ExpressionError) as caught:
        evaluate(text, scope())
    assert caught.value.kind == kind
    assert hint is None or hint in (caught.value.hint or "")


NEST = "map(1..10, " * 7 + "#" + ")" * 7


@pytest.mark.parametrize("text", ["9**9**9", "repeat('a', 10**9)", "(" * 5000, NEST, "1" * 5000, "sum(1..10000000, #)"])
def test_bombs_are_refused_at_once(text: str):
    with at_most(1), pytest.raises(ExpressionError) as caught:
        evaluate(text, scope())
    assert caught.value.kind == "limit"


@given(st.text(max_size=200) | st.text("${}[]().'\"#|&=<>?:abc 12", max_size=60))
@settings(max_examples=500, deadline=None)
def test_no_text_raises_anything_but_a_located_error(text: str):
    for attempt in (lambda: evaluate(text, scope()), lambda: render(text, scope()), lambda: explain(text, scope())):
        error = refusal(attempt)
        assert error is None or 0 <= error.offset <= max(len(text), len(error.text))


def refusal(attempt: Callable[[], Any]) -> ExpressionError | None:
    try:
        attempt()
    except ExpressionError as error:
        return error
    return None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(JSON)
def test_a_template_that_is_the_whole_text_keeps_the_type_and_is_never_read_twice(value: Any):
    for text in ("${value}", "{{ value }}", "{{value}}"):
        rendered = render(text, scope(value=value))
        assert rendered == value
        assert type(rendered) is type(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("n=${page}", "n=2"),
        ("{{ user.name }}!", "Ada!"),
        ("${none}.", "."),
        ("x ${user}", 'x {"name":"Ada"}'),
        ("$${page}", "${page}"),
        ("{{ '{{' }}", "{{"),
        ("${MISSING:fallback}", "fallback"),
        ("${page:9}", "2"),
        ({"k-${page}": ["${page}", 1]}, {"k-2": [2, 1]}),
    ],
)
def test_templates_print_as_documented(text: Any, value: Any):
    rendered = render(text, scope())
    assert rendered == value or str(rendered) == value


def test_what_came_from_a_value_is_not_evaluated():
    assert render("${evil}", scope(evil="${page} {{ page }}")) == "${page} {{ page }}"
    assert render("<${evil}>", scope(evil="${page}")) == "<${page}>"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("$.body.id", 7),
        ("body.id", 7),
        ("$.id", 7),
        ("$.status", 200),
        ("response.body.id", 7),
        ("result.body.items[1].name", "cup"),
        ("user.name", "Ada"),
        ("body.nope?", None),
        ("headers.CONTENT-TYPE", "application/json"),
    ],
)
def test_every_output_dialect_works(path: str, value: Any):
    assert extract(path, scope()) == value


def test_a_missing_path_is_an_error_that_names_what_is_there():
    with pytest.raises(ExpressionError) as caught:
        extract("body.itemz", scope())
    assert "items" in (caught.value.hint or "")


def test_a_failed_comparison_is_explained_by_its_parts():
    found = explain("body.items[0].price == page", scope())
    assert (found.value, found.actual, found.expected) == (False, 3, 2)
    assert found.values == (("body.items[0].price", 3), ("page", 2))


def test_built_ins_can_be_reproduced_and_differ_by_place():
    assert evaluate("UUID", scope()) == evaluate("UUID", scope())
    assert evaluate("UUID is uuid && random.uuid is uuid", scope()) is True
    assert evaluate("ISO_TIMESTAMP", scope()) == "2026-01-01T00:00:00.000Z"
    builtins = Builtins("seed", 1, datetime(2026, 1, 1, tzinfo=UTC), lambda: 0.0)
    places = [Scope({}, None, builtins.at("a", iteration)) for iteration in range(3)]
    assert len({evaluate("UUID", place) for place in places}) == 3


def test_names_are_known_before_evaluation():
    assert parse("filter(items, .x == limit)").names() == {"items", "limit"}
    assert is_template("a ${b}")
    assert not is_template("a $b")


def test_a_template_in_a_text_inside_a_map_is_resolved() -> None:
    scope = Scope({"email": "ada@example.com"}, {"body": {"m": "ada@example.com is taken"}})
    assert evaluate('body == {"m": "${email} is taken"}', scope) is True
    assert evaluate('[{"m": ["{{ email }} is taken"]}][0].m[0]', scope) == "ada@example.com is taken"
    assert evaluate('any([email], { # == "${email}" })', scope) is True
    assert evaluate("${ {'m': '{{'}.m }", scope) == "{{"


@pytest.mark.parametrize(
    ("text", "value"), [("${true}", True), ("{{ 5 }}", 5), ("${null}", None), ("$${x}", "${x}"), ("${'a'}", "a")]
)
def test_a_literal_as_a_whole_template_keeps_its_type(text: str, value: object) -> None:
    rendered = render(text, scope())
    assert (type(rendered), rendered) == (type(value), value)


def test_a_header_reads_as_text_and_as_the_list_of_its_values() -> None:
    assert extract('headers["content-type"][0]', scope()) == "application/json"
    assert extract("response.headers.Content-Type[-1]", scope()) == "application/json"
    assert evaluate("headers.Content-Type startsWith 'app'", scope()) is True
    assert evaluate("user.name[0]", scope()) == "A"
    with pytest.raises(ExpressionError, match="has no 1"):
        extract("headers.Content-Type[1]", scope())


def _built_in(text: str, **names: Any) -> Any:
    def faker(name: str, seed: int) -> str:
        return f"<{name}>"

    builtins = Builtins("seed", 1, datetime(2030, 1, 2, tzinfo=UTC), lambda: 0.0, faker=faker).at("here")
    return evaluate(text, Scope(names, {"time": 12.5, "body": {"prices": [1, 2, 6]}}, builtins))


@pytest.mark.parametrize(
    "text",
    [
        "RANDOM_ID is uuid and random.id is uuid and RANDOM_ID != RANDOM_ID",
        "len(RANDOM_STRING) == 16 and RANDOM_STRING matches '^[a-z0-9]+$'",
        "TIMESTAMP_UNIX == TIMESTAMP and TIMESTAMP == 1893542400",
        "[1, 2].avg() == 1.5 and avg(1, 2) == 1.5",
        "$.prices.sum() == 9 and $.prices.avg() == 3 and $.prices.min() == 1 and $.prices.max() == 6 and $.prices.length == 3",
        "response_time == 12.5 and response_time == response.time",
        "FAKER.name == '<name>' and FAKER.first_name == '<first_name>' and FAKER.name.length == 6",
        "FAKER.name.firstName == '<name.firstName>' and FAKER.name.firstName.upper() == '<NAME.FIRSTNAME>'",
    ],
)
def test_names_of_the_original_hold(text: str) -> None:
    assert _built_in(text) is True


def test_a_variable_hides_a_family_of_built_ins() -> None:
    assert _built_in("FAKER.name.firstName", FAKER={"name": {"firstName": "mine"}}) == "mine"


def test_an_output_path_may_end_in_a_function() -> None:
    assert extract("$.prices.avg()", Scope({}, {"body": {"prices": [1, 2]}})) == 1.5


def test_what_a_step_came_to_has_its_parts_and_the_whole_and_nothing_else() -> None:
    scope = Scope({"step": StepValue({"time": 5, "body": {"response": 1}})})
    for text in (
        "step.response.body.response == 1",
        "step.result.time == 5",
        "step.response_time == 5",
        "step.respons not exists",
    ):
        assert evaluate(text, scope) is True
    assert evaluate("step.body.result not exists and step.body.response_time not exists", scope) is True
    assert evaluate("toJSON(step)", scope) == '{"time":5,"body":{"response":1}}'
