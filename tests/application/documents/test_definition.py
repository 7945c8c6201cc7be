"""A document becomes a definition that says what the document says."""

from application.actions.registry import ACTIONS as ALL
from application.flow_documents import place_in
from domain.definition import Assertion, OnError, Position, Retry, Until
from tests.application.documents.some_actions import flow, with_step

LOG = "action: log\nconfig: {message: x}"
_INLINE = LOG.replace("\n", ", ")


def test_a_whole_flow() -> None:
    definition = flow(
        """
flow:
  id: shop
  name: Shop
  version: 1.10
  tags: [a, 5]
  env: {BASE: "http://h", N: 1}
  env_file: .env
  config: {timeout: 5m, fail_fast: false, retry: 2}
  setup:
    - {action: log, config: {message: "${BASE} ${N}"}}
  steps:
    - {id: one, action: http, config: {method: GET, url: "${BASE}"}}
    - {action: log, config: {message: 1.50}}
  teardown:
    - {action: log, config: {message: x}}
"""
    )
    assert (definition.id, definition.name, definition.version, definition.tags) == ("shop", "Shop", "1.10", ("a", "5"))
    assert definition.env == {"BASE": "http://h", "N": 1}
    assert definition.env_file == (".env",)
    assert (definition.config.timeout, definition.config.fail_fast) == (300.0, False)
    assert definition.config.retry == Retry(max_attempts=2)
    ids = [step.id for phase in (definition.setup, definition.steps, definition.teardown) for step in phase]
    assert ids == ["step_1", "one", "step_3", "step_4"]
    assert definition.steps[0].action == "http_request"
    assert definition.steps[1].config == {"message": "1.50"}, "a number that means text stays as it is written"
    assert definition.position(("steps", 0, "config", "url")) == Position(13, 59)


def test_a_default_id_makes_way_for_one_that_is_given() -> None:
    definition = flow(
        "flow:\n  name: x\n  steps:\n"
        + "".join(f"    - {{{i}action: log, config: {{message: x}}}}\n" for i in ("", "id: step_1, "))
    )
    assert [step.id for step in definition.steps] == ["step_1_2", "step_1"]


def test_nested_steps_become_bodies() -> None:
    step = flow(
        with_step("action: for_each\nconfig:\n  items: [1]\n  steps:\n    - action: log\n      config: {message: '${item}'}")
    ).steps[0]
    assert dict(step.config) == {"items": [1]}
    (nested,) = step.bodies["steps"]
    assert (nested.id, nested.path) == ("step_2", ("steps", 0, "config", "steps", 0))


def test_assertions_take_every_form() -> None:
    base = ("steps", 0, "assert")
    forms = {
        "a == 1": (Assertion("a == 1", base),),
        "[a, {that: b, message: m}]": (Assertion("a", (*base, 0)), Assertion("b", (*base, 1, "that"), "m")),
        "{expression: c}": (Assertion("c", (*base, "expression")),),
        "[true]": (Assertion("true", (*base, 0)),),
    }
    for text, expected in forms.items():
        assert flow(with_step(f"{LOG}\nassert: {text}")).steps[0].asserts == expected


def test_assert_any_and_assert_none_are_kept_apart() -> None:
    step = flow(with_step(f"{LOG}\nassert_any: [a, b]\nassert_none: c")).steps[0]
    assert [check.expression for check in step.assert_any] == ["a", "b"]
    assert [check.expression for check in step.assert_none] == ["c"]


def test_retry_until_and_on_error_take_every_form() -> None:
    forms = {
        "retry: 3": ("retry", Retry(max_attempts=3)),
        "retry: {max_attempts: 2, delay: 250ms, backoff: linear, jitter: true, retry_on: timeout, retry_on_not: [a == 1]}": (
            "retry",
            Retry(2, 0.25, "linear", True, ("timeout",), ("a == 1",)),
        ),
        "until: a == 1": ("until", Until("a == 1")),
        "until: {condition: a, interval: 2s, timeout: 1m}": ("until", Until("a", 2.0, 60.0)),
        "on_error: continue": ("on_error", OnError("continue")),
        "on_error: {action: continue, on_timeout: fail}": ("on_error", OnError("continue", (), "fail")),
        "when: false": ("when", "false"),
        "timeout: 1.5": ("timeout", 1.5),
        "timeout: 1m30s": ("timeout", 90.0),
        "secret_outputs: t\noutput: {t: a}": ("secret_outputs", ("t",)),
    }
    for text, (name, expected) in forms.items():
        assert getattr(flow(with_step(f"{LOG}\n{text}")).steps[0], name) == expected


def test_error_steps_stand_on_the_step_or_below_on_error() -> None:
    nested = "[{id: e, action: log, config: {message: '${error.message}'}}]"
    beside = flow(with_step(f"{LOG}\nerror_steps: {nested}")).steps[0].on_error.error_steps
    below = flow(with_step(f"{LOG}\non_error: {{error_steps: {nested}}}")).steps[0].on_error.error_steps
    assert [step.id for step in (*beside, *below)] == ["e", "e"]
    assert below[0].path == ("steps", 0, "on_error", "error_steps", 0)


def test_a_template_may_stand_for_a_value_of_any_type() -> None:
    config = "{method: '${m}', url: '${u}', headers: '{{h}}', timeout: '${t}', max_redirects: '${r}', tags: '${l}'}"
    assert flow(with_step(f"action: http\nconfig: {config}")).steps[0].config["headers"] == "{{h}}"


def test_an_alias_of_a_family_finds_its_action() -> None:
    assert flow(with_step("action: mysql.query\nconfig: {query: select 1}")).steps[0].action == "database_query"


def test_a_place_inside_a_text_can_be_found() -> None:
    definition = flow(with_step("action: log\nconfig:\n  message: |\n    one\n      two three\nassert: 'a == 1'"))
    text = definition.steps[0].config["message"]
    path = ("steps", 0, "config", "message")
    assert place_in(definition, path, text, text.index("three")) == Position(8, 17)
    assert place_in(definition, ("steps", 0, "assert"), "a == 1", 5) == Position(9, 21)


def test_the_place_of_a_part_of_a_text_can_be_found() -> None:
    definition = flow(with_step("action: log\nconfig:\n  message: 'hello ${user.name}'"))
    assert place_in(definition, ("steps", 0, "config", "message"), "user.name", 5) == Position(6, 32)


def test_an_alias_is_the_key_that_it_means_at_the_place_where_it_is_written() -> None:
    definition = flow(with_step('action: http\nconfig: {method: GET, to: "http://${host}"}'))
    (step,) = definition.steps
    assert dict(step.config) == {"method": "GET", "url": "http://${host}"}
    assert definition.position((*step.path, "config", "url")) == Position(5, 34)


def test_steps_below_an_alias_are_found_where_they_are_written() -> None:
    step = flow(with_step("action: condition\nconfig: {if: true, steps: [{action: log, config: {message: x}}]}"), ALL).steps[0]
    assert (dict(step.config), step.bodies["then"][0].path) == ({"condition": True}, ("steps", 0, "config", "steps", 0))


def test_on_error_and_on_timeout_take_steps() -> None:
    step = flow(with_step(f"{LOG}\non_error: [{{{_INLINE}}}]\non_timeout: [{{{_INLINE}}}]")).steps[0]
    assert [inner.path for inner in step.on_error.steps] == [("steps", 0, "on_timeout", 0), ("steps", 0, "on_error", 0)]
    block = f"{{action: continue, error_steps: [{{{_INLINE}}}], on_timeout: fail}}"
    step = flow(with_step(f"{LOG}\non_error: {block}")).steps[0]
    assert (step.on_error.action, step.on_error.on_timeout) == ("continue", "fail")
    assert [inner.path for inner in step.on_error.steps] == [("steps", 0, "on_error", "error_steps", 0)]


def test_a_key_that_is_left_out_is_what_stands_for_it() -> None:
    step = flow(with_step("action: database_query\nconfig: {query: select 1}"), ALL).steps[0]
    assert step.config["connection"] == "${DATABASE_URL ?? null}"
