"""Each mistake in a flow is told at its place, with what to do about it."""

import pytest

from application.actions.registry import ACTIONS
from application.flow_documents import read_flow
from domain.errors import InvalidFlow
from tests.application.documents.some_actions import errors, places, warnings, with_step

HTTP = "action: http\nconfig: {method: GET, url: x"
LOG = "action: log\nconfig: {message: x}"

ROOTS = [
    ("", 1, 1, "The document is empty", "begin it with: flow:"),
    ("- a", 1, 1, "A flow document must be a mapping, not a list", "begin it with: flow:"),
    ("just text", 1, 1, 'A flow document must be a mapping, not the text "just text"', "begin it with: flow:"),
    ("flwo: {}", 1, 1, 'The document has no "flow:" at its root', 'did you mean "flow"?'),
    ("flow: 5", 1, 7, '"flow" must be a mapping, not 5', "name and steps"),
    ("flow: {}", 1, 7, 'A flow needs "name"', "add name"),
    (
        f"flow: {{name: x, steps: [{{{LOG.replace(chr(10), ', ')}}}]}}\nenv: {{}}",
        2,
        1,
        '"env" cannot stand beside "flow"',
        "indent",
    ),
]


@pytest.mark.parametrize(("text", "line", "column", "title", "remedy"), ROOTS)
def test_a_wrong_root_is_told(text: str, line: int, column: int, title: str, remedy: str) -> None:
    problem = errors(text)[0]
    assert (problem.line, problem.column, problem.title) == (line, column, title)
    assert remedy in (problem.remedy or "")


FLOWS = [
    ("nmae: y", 1, 'A flow has no key "nmae"', 'did you mean "name"?'),
    ("variables: {}", 1, 'A flow has no key "variables"', 'did you mean "env"?'),
    ("data: {fle: x.csv}", 8, 'A data block has no key "fle"', 'did you mean "file"'),
    ("data: [x]", 8, 'item 1 of "data" must be a mapping', ""),
    ("data: {key: id}", 7, 'A data block needs "rows" or "file"', "add rows"),
    ("tags: {a: b}", 7, '"tags" must be a list, not a mapping', ""),
    ("env: [A]", 6, '"env" must be a mapping from names to values, not a list', ""),
    ("env: {1x: 2}", 7, '"1x" cannot be a name', "begin with a letter"),
    ("inputs: {n: {type: int}}", 20, '"type" cannot be "int"', 'did you mean "integer"?'),
    ("inputs: {n: {required: 'true'}}", 25, '"required" must be true or false', "remove the quotes"),
    ("inputs: {n: {required: true, default: 1}}", 24, "An input with a default is never missing", "remove required or default"),
    ("config: {timout: 5}", 10, 'The flow\'s config has no key "timout"', 'did you mean "timeout"?'),
    ("config: {timeout: soon}", 19, '"soon" is not a duration', "500ms"),
    ("config: {timeout: -1}", 19, '"timeout" must be a duration', ""),
    ("config: {on_worker_lost: restrat}", 26, '"on_worker_lost" cannot be "restrat"', 'did you mean "restart"?'),
    ("config: {fail_fast: on}", 21, '"fail_fast" must be true or false, not the text "on"', ""),
    ("description:", 13, '"description" must be a text, not empty', "remove the key"),
    ("teardown: {}", 11, '"teardown" must be a list of steps, not a mapping', ""),
    ("id: a b", 5, '"a b" cannot be used as "id"', "letters"),
]


@pytest.mark.parametrize(("line", "column", "title", "remedy"), FLOWS)
def test_a_wrong_key_of_the_flow_is_told(line: str, column: int, title: str, remedy: str) -> None:
    (problem,) = errors(f"flow:\n  {line}\n  name: x\n  steps: [{{action: log, config: {{message: x}}}}]\n")
    assert (problem.line, problem.column) == (2, column + 2)
    assert problem.title.startswith(title)
    assert remedy in (problem.remedy or "")


STEPS = [
    ("actoin: log", 4, 7, 'A step has no key "actoin"', 'did you mean "action"?'),
    (f"{LOG}\nasert: x", 6, 7, 'A step has no key "asert"', 'did you mean "assert"?'),
    (f"{LOG}\nif: x", 6, 7, 'A step has no key "if"', 'did you mean "when"?'),
    (f"{LOG}\nbind: {{a: b}}", 6, 7, 'A step has no key "bind"', 'did you mean "output"?'),
    (f"{LOG}\ntest: x", 6, 7, 'A step has no key "test"', 'did you mean "assert"?'),
    (f"{LOG}\nloop: 3", 6, 7, 'A step has no key "loop"', "write until to wait for something, retry"),
    (f"{LOG}\nauth: {{}}", 6, 7, 'A step has no key "auth"', "auth belongs below config"),
    (f"{LOG}\nassert: size(message) == 1", 6, 15, "there is no function size", 'did you mean "len"?'),
    ("action: echo", 4, 15, 'There is no action "echo"', 'did you mean "log"?'),
    ("action: loop", 4, 15, 'There is no action "loop"', 'did you mean "for_each"?'),
    ("action: exec", 4, 15, 'There is no action "exec"', "flows run no programs"),
    (f"{LOG}\nonce: x", 6, 7, '"once" belongs to setup steps', "move the step to setup"),
    ("name: x", 4, 7, 'A step needs "action"', "add action"),
    ("action: htp", 4, 15, 'There is no action "htp"', 'did you mean "http"?'),
    ("action: 5", 4, 15, '"action" must be a text, not 5', "quotes"),
    ("action: log", 4, 15, 'log needs "message"', "add message"),
    ("action: log\nconfig: {mesage: x}", 5, 16, 'log has no key "mesage"', 'did you mean "message"?'),
    ("action: log\nconfig: {message: [x]}", 5, 25, '"message" must be a text, not a list', ""),
    ("action: log\nconfig: {message: true}", 5, 25, '"message" must be a text, not true', ""),
    ("action: log\nconfig: {message: x, level: inf}", 5, 35, '"level" cannot be "inf"', 'did you mean "info"?'),
    ("action: log\nconfig: 5", 5, 15, '"config" must be a mapping, not 5', ""),
    (f"{HTTP}, max_redirects: '5'}}", 5, 53, '"max_redirects" must be a whole number', "remove the quotes"),
    (f"{HTTP}, follow_redirects: yes}}", 5, 55, '"follow_redirects" must be true or false', ""),
    ("action: http\nconfig: {method: GET, url: x, headers: [a]}", 5, 46, '"headers" must be a mapping, not a list', ""),
    ("action: http\nconfig: {method: GET, url: x, tags: a}", 5, 43, '"tags" must be a list, not the text "a"', ""),
    ("action: http\nconfig: {method: GET, url: x, timeout: 5 parsecs}", 5, 46, '"5 parsecs" is not a duration', "500ms"),
    ("action: for_each\nconfig: {steps: []}", 5, 15, 'for_each needs "items" or "range"', "add items"),
    ("action: condition\nconfig: {condition: 'a ==', then: []}", 5, None, "", ""),
    ("action: condition\nconfig: {condition: 5}", 5, 27, '"condition" must be an expression, not 5', ""),
    ("action: for_each\nconfig: {items: [], steps: [{action: lgo}]}", 5, 44, 'There is no action "lgo"', 'did you mean "log"?'),
    ("action: http\nconfig: {method: GET, to: x, url: y}", 5, 36, '"to" and "url" mean the same', "keep one"),
    ("action: http\nconfig: {method: GET}", 5, 15, 'http_request needs "url"', "add url"),
    ("action: http\nconfig: {method: GET, to: 5, assert: 5}", 5, 44, '"assert" must be a list, not 5', ""),
    (f"{LOG}\non_timeout: soon", 6, 19, '"on_timeout" cannot be "soon"', "known: continue, fail, retry"),
    (f"{LOG}\non_timeout: retry", 6, 19, '"on_error: retry" needs a retry block', "add retry:"),
    (f"{LOG}\non_error: {{on_timeout: fail}}\non_timeout: []", 7, 7, '"on_timeout" is given twice', "below on_error"),
    (f"{LOG}\non_error: []\nerror_steps: []", 7, 7, '"error_steps" is given twice', "below on_error"),
    (f"{LOG}\nassert: 5", 6, 15, '"assert" must be a list, not 5', ""),
    (f"{LOG}\nassert:\n  - status: 200", 7, 11, '"status: ..." is not an assertion', "status == 200"),
    (f"{LOG}\nassert:\n  - a == \"b: c\"", 7, 11, "YAML splits this assertion at its colon", "- 'a == \"b: c\"'"),
    (f"{LOG}\nassert:\n  - message: m", 7, 11, 'An assertion needs "expression" or "that"', "add expression"),
    (f"{LOG}\nassert:\n  - {{that: a, mesage: m}}", 7, 21, 'An assertion has no key "mesage"', 'did you mean "message"?'),
    (f"{LOG}\nassert: ''", 6, None, "An expression is empty", ""),
    (f"{LOG}\noutput: [a]", 6, 15, '"output" must be a mapping from names to values', ""),
    (f"{LOG}\noutput: {{a: 5}}", 6, 19, '"a" must be a path such as body.id', "quotes"),
    (f"{LOG}\nsecret_outputs: [tok]\noutput: {{token: a}}", 6, 24, 'The step has no output "tok"', 'did you mean "token"?'),
    (f"{LOG}\nretry: 11", 6, 14, '"retry" must be a whole number from 1 to 10', ""),
    (f"{LOG}\nretry: {{attempts: 3}}", 6, 15, 'A retry block has no key "attempts"', 'did you mean "max_attempts"?'),
    (f"{LOG}\nretry: {{max_attempts: 0}}", 6, 29, '"max_attempts" must be a whole number from 1 to 10, not 0', ""),
    (f"{LOG}\nretry: {{backoff: expo}}", 6, 24, '"backoff" cannot be "expo"', 'did you mean "exponential"?'),
    (f"{LOG}\nuntil: {{interval: 1s}}", 6, 14, 'An until block needs "condition" or "expression"', ""),
    (f"{LOG}\non_error: ignore", 6, 17, '"on_error" cannot be "ignore"', "known: continue, fail, retry"),
    (f"{LOG}\non_error: retry", 6, 17, '"on_error: retry" needs a retry block', "add retry:"),
    (f"{LOG}\non_error: {{on_timeout: retry}}", 6, 30, '"on_error: retry" needs a retry block', "add retry:"),
    (f"{LOG}\non_error: {{error_steps: []}}\nerror_steps: []", 7, 7, '"error_steps" is given twice', "below on_error"),
    (f"{LOG}\ntimeout: soon", 6, 16, '"soon" is not a duration', "500ms"),
    (f"{LOG}\ndisabled: 'true'", 6, 18, '"disabled" must be true or false', "remove the quotes"),
    (f"id: a\n{LOG}\nerror_steps: [{{id: a, action: log}}]", 7, 26, 'The step id "a" is used twice', "line 4"),
    ("action: log\nconfig: {message: '${a'}", 5, None, "", ""),
    ("- nested", 4, 7, 'item 1 of "steps" must be a mapping, not a list', ""),
]  # fmt: skip


@pytest.mark.parametrize(("step", "line", "column", "title", "remedy"), STEPS)
def test_a_wrong_step_is_told(step: str, line: int, column: int | None, title: str, remedy: str) -> None:
    problem = errors(with_step(step))[0]
    assert problem.line == line
    assert column is None or problem.column == column, problem
    assert problem.title.startswith(title)
    assert remedy in (problem.remedy or "")
    assert problem.excerpt
    assert problem.excerpt.endswith("^")


def test_all_errors_are_told_in_the_order_of_their_lines() -> None:
    steps = "    - action: lgo\n    - action: log\n      config: {message: x}\n      timeout: soon\n"
    assert [problem.line for problem in errors(f"flow:\n  name: x\n  steps:\n{steps}  teardown: 5\n")] == [4, 7, 8]


def test_the_message_reads_as_people_expect() -> None:
    (problem,) = errors(with_step("action: lgo"))
    assert str(problem).split("\n") == [
        'f.yaml:4:15: error: There is no action "lgo"',
        "   4 |     - action: lgo",
        "     |               ^",
        '  = did you mean "log"?',
    ]


def test_a_flow_without_steps_is_told() -> None:
    assert places(errors("flow:\n  name: x\n  steps: []\n")) == [(3, 10, '"steps" has no step')]


def test_ids_are_unique_in_the_whole_flow() -> None:
    step = "[{id: a, action: log, config: {message: x}}]"
    text = f"flow:\n  name: x\n  setup: {step}\n  steps: {step}\n  teardown: {step}\n"
    assert places(errors(text)) == [(4, 16, 'The step id "a" is used twice'), (5, 19, 'The step id "a" is used twice')]


def test_more_than_500_steps_are_too_many() -> None:
    steps = "    - {action: log, config: {message: x}}\n" * 501
    (problem,) = errors("flow:\n  name: x\n  steps:\n" + steps)
    assert problem.title == "The flow has 501 steps; at most 500 are allowed"


def test_a_template_error_in_a_plain_text_has_its_column() -> None:
    (problem,) = errors(with_step("action: log\nconfig:\n  message: hello ${1 +} world"))
    assert problem.line == 6
    assert 24 <= problem.column <= 31


def test_a_template_error_in_a_block_text_has_its_line() -> None:
    (problem,) = errors(with_step("action: log\nconfig:\n  message: |\n    one\n    two ${1 +}"))
    assert problem.line == 8


def test_an_expression_that_yaml_cut_off_at_a_hash_should_be_quoted() -> None:
    (problem,) = errors(with_step(f"{LOG}\nassert:\n  - filter(rows, # > 1)"))
    assert problem.line == 7
    assert problem.remedy == 'YAML takes # for a comment; put this value in quotes: - "filter(rows, # > 1)"'


def test_an_expression_that_yaml_cut_at_a_comma_or_a_colon_should_be_quoted() -> None:
    problems = errors(with_step(f'{LOG}\nassert: [body.x == "a: b", len(f(a, b)) == 1]'))
    fixed = """assert: ['body.x == "a: b"', "len(f(a, b)) == 1"]"""
    assert {problem.remedy for problem in problems} == {
        f"put this value in quotes: {fixed}",
        f"YAML ends a value at this comma; put this value in quotes: {fixed}",
    }


def test_on_error_retry_is_fine_where_the_flow_has_a_retry_block() -> None:
    text = f"flow:\n  name: x\n  config: {{retry: 3}}\n  steps: [{{{LOG.replace(chr(10), ', ')}, on_error: retry}}]\n"
    assert errors(text) == ()


WARNINGS = [
    ("env: {PASSWORD: hunter22}", 2, 19, '"PASSWORD" holds a credential in the clear'),
    ('env: {A: "postgres://u:pw@h/d"}', 2, 13, '"A" holds a password in a URL'),
    ("env: {A: 1}", 2, 9, 'Nothing reads the variable "A"'),
    ("graph: {x: 1}", 2, 3, '"graph" is ignored'),
]


@pytest.mark.parametrize(("line", "number", "column", "title"), WARNINGS)
def test_a_doubtful_flow_is_warned_of(line: str, number: int, column: int, title: str) -> None:
    found = warnings(f"flow:\n  {line}\n  name: x\n  steps: [{{action: log, config: {{message: x}}}}]\n")
    assert (number, column, title) in places(found)
    assert all(problem.severity == "warning" for problem in found)


def test_a_credential_is_not_shown_in_the_warning_about_it() -> None:
    found = warnings(
        with_step("action: http\nconfig: {method: GET, url: 'http://ada:pw1234@h/', headers: {Authorization: 'Bearer s3cr3t'}}")
    )
    assert len(found) == 2
    assert not any("s3cr3t" in str(problem) or "pw1234" in str(problem) for problem in found)


def test_credentials_from_variables_are_no_reason_to_warn() -> None:
    headers = '{token: "${env.T}", max_tokens: "5", token_url: "x"}'
    step = f'action: http\nconfig: {{method: GET, url: "http://u:${{env.P}}@h/", headers: {headers}}}'
    assert warnings(with_step(step)) == ()


def test_a_bare_document_is_accepted_with_a_warning() -> None:
    found = warnings("name: x\nsteps: [{action: log, config: {message: x}}]\n")
    assert places(found) == [(1, 1, 'The document has no "flow:" at its root')]


def test_assertions_of_an_action_are_checked_like_those_of_a_step() -> None:
    text = """
flow:
  name: a flow
  steps:
    - action: assert
      config:
        assertions:
          - len(
          - {expresion: 1 == 1}
          - {expression: "1 ==", message: "${"}
          - status: 200
"""
    with pytest.raises(InvalidFlow) as raised:
        read_flow(text, actions=ACTIONS)
    assert [(problem.line, problem.title) for problem in raised.value.problems] == [
        (8, "the expression ends too early"),
        (9, '"expresion: ..." is not an assertion'),
        (10, "the expression ends too early"),
        (10, "the template is never closed: } is missing"),
        (11, '"status: ..." is not an assertion'),
    ]


def test_a_template_in_the_name_of_a_flow_is_warned_of() -> None:
    text = "flow:\n  name: order ${product}\n  env: {product: tea}\n  steps: [{action: log, config: {message: a}}]\n"
    _, warnings = read_flow(text, actions=ACTIONS)
    assert "The name of a flow is not resolved: others call it so before it runs" in [one.title for one in warnings]
