"""Variables come from many sources, of which the strongest wins."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.variables import (
    PRECEDENCE,
    Explanation,
    by_precedence,
    parse_assignment,
    parse_env_file,
    process_variables,
    read_project,
    resolve,
)
from domain.errors import Invalid, InvalidFlow, NotFound


def test_each_source_wins_over_all_that_follow() -> None:
    layers = {source: {"X": source, source: 1} for source in PRECEDENCE}
    while layers:
        variables = resolve(by_precedence(layers))
        strongest = next(source for source in PRECEDENCE if source in layers)
        assert variables.values["X"] == strongest
        assert variables.explain("X").source == strongest
        del layers[strongest]


def test_an_explanation_names_who_won_and_who_lost() -> None:
    variables = resolve(by_precedence({"env": {"A": 1}, "--var": {"A": 3}, "environment": {"A": 2}}))
    assert variables.explain("A") == Explanation("A", 3, "--var", (("environment", 2), ("env", 1)))


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    with pytest.raises(NotFound) as caught:
        resolve([("env", {"BASE_URL": 1})]).explain("BASE_ULR")
    assert caught.value.remedy == 'did you mean "BASE_URL"?'


def test_an_unknown_source_is_refused() -> None:
    with pytest.raises(Invalid):
        by_precedence({"elsewhere": {}})


def test_the_process_gives_what_is_marked_for_flows() -> None:
    assert process_variables({"TESTMESH_VAR_A": "1", "PATH": "x", "TESTMESH_VAR_": "y"}) == {"A": "1"}


def test_an_assignment_is_split_at_its_first_equals_sign() -> None:
    assert parse_assignment("a=b=c") == ("a", "b=c")
    assert parse_assignment("a=") == ("a", "")
    for wrong in ("a", "=b", "1a=b", "a b=c"):
        with pytest.raises(Invalid):
            parse_assignment(wrong)


ENV_LINES = [
    ("A=1", "1"),
    ("  export A = x y  ", "x y"),
    ("A=x # comment", "x"),
    ("A=x#y", "x#y"),
    ("A=", ""),
    ("A= # comment", ""),
    ("A='x # $y\\n'", "x # $y\\n"),
    ('A="x\\n\\"y\\" \\z" # c', 'x\n"y" \\z'),
    ('A="one\ntwo"', "one\ntwo"),
    ("A=it's", "it's"),
    ("A=first\nA=second", "second"),
    ("\ufeffA=1\r\n", "1"),
    ("A=http://h/?a=b", "http://h/?a=b"),
]


@pytest.mark.parametrize(("text", "value"), ENV_LINES)
def test_a_line_of_an_env_file(text: str, value: str) -> None:
    assert parse_env_file(text) == {"A": value}
    assert parse_env_file(f"# c\n\n{text}\n\nB=2\n".replace("\ufeff", "")) == {"A": value, "B": "2"}


ENV_ERRORS = [
    ("A=1\nnonsense", 2, 1, "This line is not KEY=VALUE"),
    ('A="x\n\nB=2', 1, 3, 'The quote " is not closed'),
    ("\n'A'=1", 2, 1, "This line is not KEY=VALUE"),
    ("A='x' y", 1, 3, "Text follows the closing quote"),
    ('A="1\n2"\n1B=3', 3, 1, "This line is not KEY=VALUE"),
    (b"A=1\nB=\xff", 2, 1, "The file is not UTF-8"),
]


@pytest.mark.parametrize(("text", "line", "column", "title"), ENV_ERRORS)
def test_a_wrong_line_of_an_env_file_is_told(text: str | bytes, line: int, column: int, title: str) -> None:
    with pytest.raises(InvalidFlow) as caught:
        parse_env_file(text, file=".env")
    problem = caught.value.problems[0]
    assert (problem.file, problem.line, problem.column, problem.title) == (".env", line, column, title)


@given(st.text(max_size=60) | st.binary(max_size=60))
def test_no_text_makes_an_env_file_raise_anything_but_a_located_error(text: str | bytes) -> None:
    with suppress(InvalidFlow):
        parse_env_file(text)


@given(st.text(st.characters(codec="utf-8", exclude_characters="'\r\ufeff"), max_size=30))
def test_what_stands_in_single_quotes_is_kept(value: str) -> None:
    assert parse_env_file(f"A='{value}'\nB=1") == {"A": value, "B": "1"}


def test_a_project_file_is_read() -> None:
    project = read_project(
        "project: shop\nurl: http://h\nenv: staging\nenv_file: .env\nflows: [flows, 'more/*.yaml']\n"
        "variables: {A: 1}\nenvironments: {staging: {B: x}}\n"
    )
    assert (project.project, project.url, project.env) == ("shop", "http://h", "staging")
    assert (project.env_file, project.flows) == ((".env",), ("flows", "more/*.yaml"))
    assert (project.variables, project.environments) == ({"A": 1}, {"staging": {"B": "x"}})
    assert read_project("").flows == ()


PROJECT_ERRORS = [
    ("projet: x", 1, 1, 'A project file has no key "projet"', 'did you mean "project"?'),
    ("env: {A: 1}", 1, 6, '"env" must be a text, not a mapping', ""),
    ("- a", 1, 1, "The document must be a mapping, not a list", ""),
    ("flows: 5x\nurl: [a]", 2, 6, '"url" must be a text, not a list', ""),
]


@pytest.mark.parametrize(("text", "line", "column", "title", "remedy"), PROJECT_ERRORS)
def test_a_wrong_project_file_is_told(text: str, line: int, column: int, title: str, remedy: str) -> None:
    with pytest.raises(InvalidFlow) as caught:
        read_project(text)
    problem = caught.value.problems[0]
    assert (problem.line, problem.column, problem.title) == (line, column, title)
    assert remedy in (problem.remedy or "")
