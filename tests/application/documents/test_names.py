"""Names that nothing defines are found, and the names that a part of a flow reads are known."""

import pytest

from application.actions.registry import ACTIONS as ALL
from application.flow_documents import names_read, read_flow, teardown_reads
from tests.application.documents.some_actions import errors, flow, places, warnings, with_step


def text_of(message: str, more: str = "") -> str:
    return with_step(f'action: log\nconfig: {{message: "{message}"}}\n{more}')


def test_an_unknown_name_is_a_warning_while_variables_may_come_from_outside() -> None:
    (problem,) = warnings(text_of("hi ${usr}"))
    assert (problem.line, problem.column, problem.title) == (5, 31, 'Nothing defines "usr", unless it is given with --var')


def test_an_unknown_name_is_an_error_where_all_variables_are_known() -> None:
    (problem,) = errors(text_of("hi ${usr}"), known_variables={"user"})
    assert (problem.line, problem.column, problem.title) == (5, 31, 'Nothing defines "usr"')
    assert problem.remedy == 'did you mean "user"?'


@pytest.mark.parametrize(
    "message", ["${user}", "{{ user.name }}", "${UUID}", "${usr ?? 'x'}", "${usr:x}", "${env.A}", "${flow.name}"]
)
def test_known_names_and_names_with_defaults_are_fine(message: str) -> None:
    assert errors(text_of(message), known_variables={"user"}) == ()


def test_fields_of_the_result_are_known_in_assertions_alone() -> None:
    config = "action: http\nconfig: {method: GET, url: x}"
    assert errors(with_step(f"{config}\nassert: [status == 200, body.a == 1, response.status == 1]"), known_variables=()) == ()
    found = errors(with_step(f"{config}\nassert: stauts == 200"), known_variables=())
    assert places(found) == [(6, 15, 'Nothing defines "stauts"')]
    assert found[0].remedy == 'did you mean "status"?'
    assert places(errors(with_step(f"{config}\nwhen: status == 200"), known_variables=())) == [
        (6, 13, 'Nothing defines "status"')
    ]


def test_outputs_and_ids_are_known_after_their_step_only() -> None:
    steps = [
        "{action: log, config: {message: '${one.status} ${total}'}}",
        "{id: one, action: http, config: {method: GET, url: x}, output: {total: body.n}, assert: total > 1}",
        "{action: log, config: {message: '${one.status} ${total} ${one.total}'}}",
    ]
    found = errors("flow:\n  name: x\n  steps:\n" + "".join(f"    - {step}\n" for step in steps), known_variables=())
    assert places(found) == [
        (4, 42, '"one" is not known yet: the step that defines it runs later'),
        (4, 56, '"total" is not known yet: the step that defines it runs later'),
    ]


def test_loop_variables_are_known_inside_the_loop() -> None:
    nested = "[{action: log, config: {message: '${line} ${index}'}}]"
    step = f"action: for_each\nconfig: {{items: [1], item_name: line, steps: {nested}}}"
    assert errors(with_step(step), known_variables=()) == ()
    after = with_step(step) + "    - {action: log, config: {message: '${line}'}}\n"
    assert places(errors(after, known_variables=())) == [(6, 42, 'Nothing defines "line"')]


def test_an_action_that_evaluates_a_key_itself_may_know_more_names() -> None:
    assert errors(with_step("action: mock\nconfig: {body: '${request.body.x} ${anything}'}"), known_variables=()) == ()


def test_a_list_of_steps_reads_the_names_of_all_its_texts() -> None:
    definition = flow(
        """
flow:
  name: x
  steps:
    - {id: made, action: http, config: {method: POST, url: u}, output: {order: body.id}}
  teardown:
    - action: http
      when: order != null
      config: {method: DELETE, url: "${base}/{{ order }}"}
      assert: [status == code]
      retry: {max_attempts: 2, retry_on: [timeout, flag]}
      until: {condition: done}
      output: {x: other.body}
      error_steps: [{action: log, config: {message: "${late}"}}]
    - {action: condition, config: {condition: made.status == 201, then: [{action: log, config: {message: "${deep}"}}]}}
"""
    )
    reads = teardown_reads(definition)
    assert {"order", "base", "status", "code", "flag", "done", "other", "late", "made", "deep"} <= reads
    assert "timeout" not in reads
    assert "made" not in names_read(definition.steps[0])


def test_an_id_with_a_hyphen_is_read_by_its_text() -> None:
    text = """flow:
  name: x
  steps:
    - {id: make-user, action: log, config: {message: x}}
    - {action: log, config: {message: '${steps["make-user"].a}'}}
    - {action: log, config: {message: "${make-user.a}"}}
    - {action: log, config: {message: '${steps["maek-user"].a}'}}
"""
    bare, unknown = warnings(text)
    assert (bare.line, bare.title) == (6, '"make-user" reads as "make minus user" in an expression')
    assert bare.remedy == 'write steps["make-user"], or give it a name with _ for -'
    assert (unknown.line, unknown.remedy) == (7, 'did you mean "make-user"?')


def test_texts_inside_an_object_that_may_stand_for_an_expression_are_no_expressions() -> None:
    for step in (
        "action: websocket\nconfig: {url: 'ws://a', expect: {type: subscribed}}",
        "action: kafka_consume\nconfig: {brokers: [b], topic: t, match: {key: some-key, json_path: [$.a == 'x']}}",
    ):
        assert read_flow(with_step(step), actions=ALL)[1] == ()
    (told,) = read_flow(
        with_step("action: kafka_consume\nconfig: {brokers: [b], topic: t, filter: {key: '${k}'}}"), actions=ALL
    )[1]
    assert (told.line, told.title) == (5, 'Nothing defines "k", unless it is given with --var')


def test_names_of_the_own_step_are_known_in_its_checks_alone() -> None:
    step = "id: me\naction: http_request\nconfig: {method: GET, url: 'http://a'}"
    checks = "assert: [response_time < 5, request.url == 'http://a', me.status == 200]"
    assert read_flow(with_step(f"{step}\n{checks}"), actions=ALL)[1] == ()
    (told,) = read_flow(with_step("action: delay\nconfig: {duration: 1s}\nassert: [response_time < 5]"), actions=ALL)[1]
    assert told.title.startswith('Nothing defines "response_time"')
