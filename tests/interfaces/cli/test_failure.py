"""The failure output: excerpts of long lines, cut records, binary bodies, curl, and the command that runs it again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from domain.expressions import Scope, explain
from interfaces.cli.reports.difference import difference_lines, differences
from interfaces.cli.reports.failure import as_curl, failure_text
from interfaces.cli.reports.model import Execution, Step
from interfaces.cli.running.again import again_command, repeated
from tests.interfaces.cli.conftest import Ran

EXECUTION = Execution("1", name="f", file="f.yaml", seed="7")


def text(check: dict[str, Any] | None = None, body: str = "", source: str = "x") -> str:
    found = {"expression": "n == 2", "passed": False, "message": None, "error": None, "line": 1, "column": 1}
    found |= {"expected": 2, "actual": 1, "values": [], "diff": [], **(check or {})}
    exchange = {"request": {"method": "GET", "url": "http://h/"}, "response": {"status": 200, "body": body}}
    outcome = {"verdict": "failed", "tries": [{"assertions": [found]}], "exchange": exchange}
    return failure_text(EXECUTION, Step("s", "steps", 1, "s", "log", 1, "failed", outcome=outcome), {EXECUTION.file: source})


def test_a_record_that_was_too_big_for_its_values_is_still_shown() -> None:
    assert "expected: 2" in text({"values": ["... (2 items)"]})


def test_a_value_that_is_the_actual_one_is_not_said_twice() -> None:
    assert "n = 1" not in text({"values": [["n", 1]]})
    assert "len(m) = 1" in text({"expression": "len(m) > 2", "values": [["len(m)", 1]]})


def test_the_caret_stays_below_its_place_in_a_long_line() -> None:
    lines = text({"column": 5001}, source="a" * 5000 + "B" + "a" * 5000).splitlines()
    (number,) = [index for index, line in enumerate(lines) if "| ..." in line]
    assert len(lines[number]) < 200
    assert lines[number][lines[number + 1].index("^")] == "B"


def test_a_body_that_is_no_text_is_only_counted() -> None:
    assert "(40 characters that are not text)" in text(body="\x00\ufffd" * 20)
    assert "  < a\n  < b" in text(body="a\nb")


def test_curl_has_what_matters() -> None:
    headers = {"Accept": "*/*", "User-Agent": "testmesh", "X-TestMesh-Step": "s", "X-A": "b c"}
    assert as_curl({"method": "GET", "url": "http://h/", "headers": headers}) == "curl -H 'X-A: b c' http://h/"
    assert as_curl({"method": "HEAD", "url": "http://h/"}) == "curl --head http://h/"
    assert as_curl({"method": "GET", "url": "http://h/", "body": {"é": 1}}) == (
        "curl -X GET --data-binary '{\"é\": 1}' http://h/"
    )


def test_the_command_repeats_the_options_without_secrets() -> None:
    options = {
        "remote": True,
        "environment": "stage",
        "env_files": ("a.env",),
        "secrets": ("who",),
        "variables": ("who=x", "password=y", "u=http://me:pw@h/", "n=1"),
    }
    assert again_command(EXECUTION, repeated(options)) == (
        "testmesh run --remote -e stage --env-file a.env --secret who --var 'who=[masked]' --var 'password=[masked]'"
        " --var 'u=http://[masked]@h/' --var n=1 --seed 7 f.yaml"
    )


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("oslo browser=b c,site=de", "--matrix 'browser=b c' --matrix site=de --case oslo"),
        ("browser=a,site=x=y", "--matrix browser=a --matrix site=x=y"),
        ("a b browser=a,b,site=de", "--matrix browser=a,b --matrix site=de --case 'a b'"),
    ],
)
def test_the_command_has_the_cell_of_the_matrix_and_no_other(case: str, words: str) -> None:
    options = {"remote": True, "matrix": ("site=de,fr", "browser=a,b"), "variables": ("n=1",)}
    execution = Execution("1", name="f", file="f.yaml", seed="7", case=case)
    assert again_command(execution, repeated(options)) == f"testmesh run --remote --var n=1 {words} --seed 7 f.yaml"


def test_differences_stand_below_one_another() -> None:
    lines = text({"expected": {"a": 1, "long": [1, 2]}, "actual": {"a": 2, "long": [1]}}).splitlines()
    begin = lines.index("    - $.a        1")
    assert lines[begin : begin + 3] == ["    - $.a        1", "    + $.a        2", "    - $.long[1]  2"]


def test_texts_of_many_lines_are_compared_line_by_line() -> None:
    assert difference_lines("a\nb\nc", "a\nx\nc") == ["  a", "- b", "+ x", "  c"]
    assert difference_lines("a", "b") == []


def test_many_differences_are_cut_and_it_is_said() -> None:
    lines = difference_lines(list(range(100)), list(range(100, 200)))
    assert len(lines) == 41
    assert lines[-1] == "  ... and more"


def test_true_is_not_one_and_one_is_one_point_zero() -> None:
    assert [one.path for one in differences({"a": True, "b": 1}, {"a": 1, "b": 1.0})] == ["$.a"]


def test_earlier_tries_and_telling_headers_are_shown() -> None:
    made = {
        "number": 1,
        "verdict": "error",
        "duration_ms": 3.2,
        "error": {"kind": "dns", "message": "no h\nmore"},
        "assertions": [],
    }
    response = {"status": 503, "headers": {"Retry-After": "7", "X-Other": "x"}}
    exchange = {"request": {"method": "GET", "url": "http://h/"}, "response": response}
    outcome = {"verdict": "failed", "tries": [made, {**made, "number": 2}], "exchange": exchange}
    said = failure_text(EXECUTION, Step("s", "steps", 1, "s", "log", 1, "failed", outcome=outcome), {})
    assert "[log, failed, try 2 of 2]" in said
    assert "  try 1: error in 3 ms: no h\n" in said
    assert "  < Retry-After: 7\n" in said
    assert "X-Other" not in said


def test_a_side_that_could_not_be_evaluated_is_not_shown_as_null() -> None:
    lines = text({"expression": "$.n == 1", "error": 'there is no "n"', "expected": 1, "actual": None}).splitlines()
    assert '    there is no "n"' in lines
    assert "    expected: 1" in lines
    assert not any("null" in line for line in lines)
    assert "actual: null" in text({"expected": 1, "actual": None})


ANSWERS = """flow:
  name: f
  steps:
    - id: m
      action: mock_server_start
      config:
        endpoints:
          - {path: /bad, response: {headers: {Content-Type: application/json}, text: '{"a": 1, "b": x}'}}
          - {path: /list, response: {body: {items: [{p: 3}, {p: 1}], five: "5"}}}
"""


def failed(testmesh: Callable[..., Ran], folder: Path, path: str, more: str) -> str:
    step = (
        f"    - id: w\n      action: http_request\n      config: {{method: GET, url: '${{m.base_url}}{path}'}}\n      {more}\n"
    )
    (folder / "f.yaml").write_text(ANSWERS + step)
    out: str = testmesh("run", "f.yaml").out
    return out


@pytest.mark.parametrize("more", ["assert: [body.a == 1]", "assert: [$.a == 1]", "output: {x: body.a}"])
def test_a_body_that_is_not_json_though_it_says_so_is_told(testmesh: Callable[..., Ran], folder: Path, more: str) -> None:
    assert "the body is not JSON: line 1, column 15: Expecting value" in failed(testmesh, folder, "/bad", more)


@pytest.mark.parametrize(
    ("check", "says"),
    [
        ("all(body.items, .p > 2)", 'body.items[1] = {"p":1}'),
        ("none(body.items, .p > 2)", 'body.items[0] = {"p":3}'),
        ("body.five == 5", "one is a text, the other a number: write int(...)"),
        ("$.nope == 1", 'there is no "nope" (there is: five, items)'),
    ],
)
def test_a_failure_says_what_decided(testmesh: Callable[..., Ran], folder: Path, check: str, says: str) -> None:
    assert f"    {says}\n" in failed(testmesh, folder, "/list", f'assert: ["{check}"]')


def test_names_that_came_from_outside_stay_in_one_line() -> None:
    scope = Scope({}, {"body": {"\x1b[31m\n::error::x": 1, "nop\ne": 2}})
    for path, hint in (("body.a", r"there is: \x1b[31m\n::error::x, nop\ne"), ("body.nope", r'did you mean "nop\ne"?')):
        error = explain(path, scope).error
        assert error is not None
        assert error.hint == hint


def test_a_step_knows_itself_by_its_id_outputs_included(testmesh: Callable[..., Ran], folder: Path) -> None:
    more = "output: {five: body.five}\n      until: w.status == 200\n      assert: [w.status exists, w.five == '5']"
    assert "1 passed" in failed(testmesh, folder, "/list", more)
