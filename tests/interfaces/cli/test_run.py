"""`testmesh run` here: verdicts, failures in full, reports, selection, exit codes, and bad input."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

from domain.columns import columns
from tests.interfaces.cli.conftest import Ran

Testmesh = Callable[..., Ran]

GOOD = """flow:
  name: good
  tags: [smoke]
  env: {who: world}
  steps:
    - {id: greet, name: "greet ${who}", action: log, config: {message: "hello ${who}"}, assert: ["message == 'hello world'"]}
"""
BAD = """flow:
  name: bad
  steps:
    - id: greet
      action: log
      config: {message: hello}
      assert:
        - message == 'good bye'
        - len(message) > 10
  teardown:
    - {id: clean, action: log, config: {message: clean}}
"""
BROKEN = "flow:\n  name: broken\n  stepz:\n    - {action: log}\n"
ERROR = "flow:\n  name: wrong\n  steps:\n    - {id: one, action: log, config: {message: '${1 / 0}'}}\n"


@pytest.fixture(autouse=True)
def flows(folder: Path) -> None:
    (folder / "good.yaml").write_text(GOOD)
    (folder / "bad.yaml").write_text(BAD)


def test_a_passing_flow(testmesh: Testmesh) -> None:
    ran = testmesh("run", "good.yaml")
    assert ran.code == 0
    assert "1 flow: 1 passed" in ran.out
    assert "passed  good" in ran.err


def test_a_failure_says_where_what_and_how_to_run_it_again(testmesh: Testmesh) -> None:
    ran = testmesh("run", "bad.yaml", "--seed", "7")
    assert ran.code == 1
    for text in (
        "bad.yaml:8:11",
        "message == 'good bye'",
        "^",
        'expected: "good bye"',
        'actual: "hello"',
        "bad.yaml:9:11",
        "len(message) = 5",
        "log [info] hello",
        "run it again: testmesh run --seed 7 bad.yaml",
    ):
        assert text in ran.out, text


@pytest.mark.parametrize(
    ("files", "code"),
    [
        (["good.yaml"], 0),
        (["bad.yaml"], 1),
        (["error.yaml"], 3),
        (["bad.yaml", "error.yaml"], 3),
        (["good.yaml", "bad.yaml"], 1),
    ],
)
def test_the_worst_verdict_gives_the_exit_code(testmesh: Testmesh, folder: Path, files: list[str], code: int) -> None:
    (folder / "error.yaml").write_text(ERROR)
    assert testmesh("run", *files).code == code


def test_a_broken_document_stops_everything_with_every_problem(testmesh: Testmesh, folder: Path) -> None:
    (folder / "broken.yaml").write_text(BROKEN)
    ran = testmesh("run", "good.yaml", "broken.yaml")
    assert ran.code == 2
    assert 'broken.yaml:3:3: error: A flow has no key "stepz"' in ran.err
    assert "steps" in ran.err
    assert "passed" not in ran.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere.yaml"], "nowhere.yaml"),
        (["good.yaml", "--var", "novalue"], "NAME=VALUE"),
        (["good.yaml", "-j", "0"], "-j 0"),
        (["good.yaml", "--report", "pdf=x"], "kinds:"),
        (["good.yaml", "--env", "nope"], "environment"),
        (["good.yaml", "--env-file", "no.env"], "no.env"),
        (["good.yaml", "--bogus"], "--bogus"),
        (["good.yaml", "--max-duration", "soon"], "duration"),
    ],
)
def test_bad_input_gets_one_message_and_exit_code_2(testmesh: Testmesh, arguments: list[str], says: str) -> None:
    ran = testmesh("run", *arguments)
    assert ran.code == 2
    assert says in ran.err
    assert "Traceback" not in ran.err


def test_nothing_selected_is_said(testmesh: Testmesh) -> None:
    ran = testmesh("run", "good.yaml", "--tags", "other")
    assert (ran.code, ran.err.strip()) == (4, "no flow was selected by --tags other")


def test_tags_and_text_select(testmesh: Testmesh) -> None:
    assert "1 flow:" in testmesh("run", ".", "--tags", "smoke,other").out
    assert "1 flow:" in testmesh("run", ".", "-k", "BAD").out


def test_variables_come_from_everywhere_in_their_order(
    testmesh: Testmesh, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "testmesh.yaml").write_text("variables: {who: project}\nenvironments: {stage: {who: stage}}\n")
    (folder / "v.env").write_text("who=file\n")

    def said(*options: str) -> str:
        ran = testmesh("run", "good.yaml", "-v", *options)
        (line,) = [line for line in ran.out.splitlines() if "steps: greet" in line]
        return line.split("steps: greet ")[1].split()[0]

    assert said() == "project"
    assert said("-e", "stage") == "stage"
    assert said("-e", "stage", "--env-file", "v.env") == "file"
    monkeypatch.setenv("TESTMESH_VAR_who", "process")
    assert said("-e", "stage", "--env-file", "v.env") == "process"
    assert said("--var", "who=given") == "given"


def test_options_come_from_the_environment_too(testmesh: Testmesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TESTMESH_OPT_TAGS", "other")
    assert testmesh("run", "good.yaml").code == 4


def test_a_secret_variable_is_masked_in_every_output(testmesh: Testmesh, folder: Path) -> None:
    arguments = ["--var", "who=hunter2-secret", "--secret", "who", "--report", "junit=r.xml", "--report", "json=r.json"]
    ran = testmesh("run", "good.yaml", "-v", *arguments, "--report", "jsonl=r.jsonl")
    assert ran.code == 1
    kept = [ran.out, ran.err, *((folder / name).read_text() for name in ("r.xml", "r.json", "r.jsonl"))]
    assert all("[secret:" in text for text in kept[:1] + kept[2:])
    leaks = [text for text in kept if "hunter2-secret" in text]
    assert leaks == []


def test_reports_tell_the_same_story(testmesh: Testmesh, folder: Path) -> None:
    testmesh(
        "run", "good.yaml", "bad.yaml", "--report", "junit=out/r.xml", "--report", "out/r.json", "--report", "jsonl=out/r.jsonl"
    )
    root = Xml.parse(folder / "out" / "r.xml").getroot()
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("3", "1", "0")
    failure = root.find("testsuite/testcase/failure")
    assert failure is not None
    assert "bad.yaml:8:11" in (failure.text or "")
    found = json.loads((folder / "out" / "r.json").read_text())
    assert [entry["verdict"] for entry in found["executions"]] == ["passed", "failed"]
    lines = [json.loads(line) for line in (folder / "out" / "r.jsonl").read_text().splitlines()]
    assert sum(line["topic"] == "execution.finished" for line in lines) == 2
    assert all(line["version"] for line in lines)


def test_stdout_stays_clean_for_json(testmesh: Testmesh) -> None:
    ran = testmesh("run", "good.yaml", "--format", "json")
    assert json.loads(ran.out)["executions"][0]["verdict"] == "passed"
    ran = testmesh("run", "good.yaml", "--format", "jsonl")
    events = [json.loads(line) for line in ran.out.splitlines()]
    assert events[-1]["topic"] == "execution.finished"
    assert {event["format"] for event in events} == {1}
    assert [event["version"] for event in events] == list(range(1, len(events) + 1))


def test_flows_run_side_by_side(testmesh: Testmesh, folder: Path) -> None:
    for number in range(4):
        text = f"flow:\n  name: nap {number}\n  steps:\n    - {{action: delay, config: {{duration: 300ms}}}}\n"
        (folder / f"nap{number}.yaml").write_text(text)
    ran = testmesh("run", "-j", "4", *[f"nap{number}.yaml" for number in range(4)])
    seconds = float(ran.out.rsplit(" in ", 1)[1].split()[0])
    assert seconds < 1.0


def test_the_time_limit_of_the_run_cancels_and_tears_down(testmesh: Testmesh, folder: Path) -> None:
    (folder / "slow.yaml").write_text(
        "flow:\n  name: slow\n  steps:\n    - {id: nap, action: delay, config: {duration: 60s}}\n"
        "  teardown:\n    - {id: clean, action: log, config: {message: cleaned}}\n"
    )
    ran = testmesh("run", "slow.yaml", "--max-duration", "300ms", "-v")
    assert ran.code == 124
    assert "[info] cleaned" in ran.out


def test_without_a_server_remote_says_what_to_do(testmesh: Testmesh, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = testmesh("run", "--remote", "good.yaml", "--url", "http://127.0.0.1:9")
    assert ran.code == 3
    assert "TESTMESH_API_KEY" in ran.err
    monkeypatch.setenv("TESTMESH_API_KEY", "tmk_x")
    ran = testmesh("run", "--remote", "good.yaml", "--url", "http://127.0.0.1:9")
    assert ran.code == 3
    assert "testmesh up" in ran.err


def test_every_report_is_written_also_after_one_that_cannot_be(testmesh: Testmesh, folder: Path) -> None:
    (folder / "taken").mkdir()
    ran = testmesh("run", "good.yaml", "--report", "junit=taken", "--report", "json=r.json")
    assert ran.code == 3
    assert "taken cannot be written" in ran.err
    assert "1 flow: 1 passed" in ran.out
    assert json.loads((folder / "r.json").read_text())["executions"]


def test_a_missing_env_file_is_a_problem_with_its_place(testmesh: Testmesh, folder: Path) -> None:
    (folder / "gone.yaml").write_text(
        "flow:\n  name: x\n  env_file: gone.env\n  steps:\n    - {action: log, config: {message: x}}\n"
    )
    (folder / "broken.yaml").write_text(BROKEN)
    ran = testmesh("run", "gone.yaml", "broken.yaml")
    assert ran.code == 2
    assert "gone.yaml:3:13: error: the file of variables" in ran.err
    assert "broken.yaml:3:3" in ran.err


def test_names_and_values_that_are_not_utf8_are_refused(testmesh: Testmesh, folder: Path) -> None:
    assert "the variable who is not UTF-8" in testmesh("run", "good.yaml", "--var", "who=\udcff").err
    (folder / "\udcff.yaml").write_text(GOOD)
    ran = testmesh("run", "\udcff.yaml")
    assert (ran.code, "rename it" in ran.err) == (2, True)


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "http://[::1", "http://h:99999", "ftp://h", "http://h/?a=b"])
def test_what_is_no_url_of_a_server_is_said(testmesh: Testmesh, url: str) -> None:
    ran = testmesh("runs", "ls", "--url", url)
    assert (ran.code, "write it like http://127.0.0.1:8080" in ran.err) == (2, True)


@pytest.mark.parametrize("key", ["tmk_ä", "tmk_a\nb", "tmk a"])
def test_what_is_no_key_is_said_without_showing_it(testmesh: Testmesh, monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("TESTMESH_API_KEY", key)
    ran = testmesh("runs", "ls")
    assert (ran.code, "characters that no key has" in ran.err, key in ran.err) == (2, True, False)


def test_the_project_of_the_flows_is_found_from_elsewhere(
    testmesh: Testmesh, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flows = folder / "team" / "flows"
    flows.mkdir(parents=True)
    (folder / "team" / "testmesh.yaml").write_text("variables: {who: project}\n")
    (flows / "greet.yaml").write_text(GOOD.replace("  env: {who: world}\n", ""))
    assert "steps: greet project" in testmesh("run", "team/flows", "-v").out
    assert testmesh("validate", "team/flows").err.startswith("1 flow file, 0 errors, 0 warnings")
    (folder / "testmesh.yaml").write_text("variables: {who: nearer}\n")
    assert "steps: greet nearer" in testmesh("run", "team/flows", "-v").out


def test_an_error_of_an_action_says_where_its_step_stands(testmesh: Testmesh, folder: Path) -> None:
    (folder / "url.yaml").write_text(
        "flow:\n  name: x\n  steps:\n    - {id: one, action: http_request, config: {method: GET, url: 'http://a b/'}}\n"
    )
    ran = testmesh("run", "url.yaml")
    assert ran.code == 3
    assert "url.yaml:4:" in ran.out
    assert "id: one, action: http_request" in ran.out


SQLITE = """flow:
  name: a database of the project
  steps:
    - id: made
      action: sqlite.query
      config: {connection: "sqlite:///data/shop.db", query: "CREATE TABLE t (n); INSERT INTO t VALUES (7)"}
    - id: asked
      action: db_poll
      config: {connection: "sqlite:///data/shop.db", query: "SELECT n FROM t", column: n, expected_value: 7, timeout: 2s}
      assert: [attempts == 1]
"""
OUTSIDE = """flow:
  name: a file of the machine
  steps:
    - {id: outside, action: database_query, config: {connection: "sqlite:////etc/passwd", query: "SELECT 1"}}
"""


def test_a_sqlite_file_is_found_from_the_folder_of_the_project(testmesh: Testmesh, folder: Path) -> None:
    home = folder / "project"
    (home / "flows").mkdir(parents=True)
    (home / "data").mkdir()
    (home / "testmesh.yaml").write_text("flows: [flows]\n")
    (home / "flows" / "shop.yaml").write_text(SQLITE)
    (home / "flows" / "outside.yaml").write_text(OUTSIDE)

    ran = testmesh("run", "project/flows/shop.yaml")
    assert ran.code == 0, ran.err
    ran = testmesh("run", "project/flows/outside.yaml")
    assert ran.code == 3
    assert f"sqlite:////etc/passwd lies outside of the project folder {home}" in ran.out
    assert (home / "data" / "shop.db").stat().st_size > 0
    assert testmesh("validate", "project/flows/shop.yaml").code == 0


def test_secrets_that_cannot_be_kept_are_refused_before_anything_runs(testmesh: Testmesh, folder: Path) -> None:
    (folder / "testmesh.yaml").write_text("secrets: [pin]\n")
    (folder / "f.yaml").write_text("flow:\n  name: f\n  steps: [{action: log, config: {message: '${pin}'}}]\n")
    short = testmesh("run", "f.yaml", "--var", "pin=123")
    assert (short.code, short.out) == (2, "")
    assert "pin has fewer than 4 characters" in short.err
    assert testmesh("debug", "f.yaml", "--var", "pin=123").code == 2
    remote = testmesh("run", "f.yaml", "--var", "pin=123456", "--remote", "--url", "http://127.0.0.1:9")
    assert remote.code == 2
    assert "pin is secret" in remote.err
    kept = testmesh("run", "f.yaml", "--var", "pin=123456", "-v")
    assert kept.code == 0
    assert "[secret:" in kept.out
    assert "123456" not in kept.out


def test_a_secret_in_a_file_of_variables_is_not_pushed(testmesh: Testmesh, folder: Path) -> None:
    (folder / "testmesh.yaml").write_text("secrets: [pin]\n")
    (folder / "f.env").write_text("pin=123456\n")
    (folder / "f.yaml").write_text("flow:\n  name: f\n  env_file: f.env\n  steps: [{action: log, config: {message: x}}]\n")
    pushed = testmesh("flows", "push", "f.yaml", "--url", "http://127.0.0.1:9")
    assert pushed.code == 2
    assert "pin is secret" in pushed.err
    assert "f.env" in pushed.err
    assert "123456" not in pushed.err


def test_a_secret_output_that_is_too_short_is_told_of(testmesh: Testmesh, folder: Path) -> None:
    step = "{id: a, action: log, config: {message: abc}, output: {pin: message}, secret_outputs: [pin]}"
    (folder / "f.yaml").write_text(f"flow:\n  name: f\n  steps: [{step}]\n")
    assert "[warning] the secret output pin has fewer than 4 characters" in testmesh("run", "f.yaml", "-v").out


def test_secrets_in_rows_of_data_are_kept_or_refused_too(testmesh: Testmesh, folder: Path) -> None:
    (folder / "testmesh.yaml").write_text("secrets: [pin]\n")
    flow = (
        "flow:\n  name: f\n  data: [{pin: long-enough}, {pin: '%s'}]\n  steps: [{action: log, config: {message: '${pin}'}}]\n"
    )
    (folder / "f.yaml").write_text(flow % "123")
    assert "pin has fewer than 4 characters" in testmesh("run", "f.yaml").err
    (folder / "f.yaml").write_text(flow % "also-long")
    assert "pin is secret" in testmesh("run", "f.yaml", "--remote", "--url", "http://127.0.0.1:9").err
    kept = testmesh("run", "f.yaml", "-v")
    assert kept.code == 0
    assert [word for word in ("long-enough", "also-long") if word in kept.out + kept.err] == []


@pytest.mark.parametrize(
    ("config", "place", "message"),
    [
        ('{method: GET, url: "${server}/json"}', ":5:34", "url must begin with http:// or https://: '/json'"),
        ("{method: GET, url: http://h/, timeout: '${server}1ms0'}", ":5:54", "timeout: "),
        ("{url: http://h/, method: 'GE T'}", ":5:40", "'GE T'"),
    ],
)
def test_a_wrong_value_is_shown_where_it_stands(
    testmesh: Testmesh, folder: Path, config: str, place: str, message: str
) -> None:
    (folder / "f.yaml").write_text(
        f"flow:\n  name: f\n  env: {{server: ''}}\n  steps:\n  - {{config: {config}, action: http_request}}\n"
    )
    ran = testmesh("run", "f.yaml")
    assert ran.code == 3
    assert f"f.yaml{place}" in ran.out
    assert message in ran.out


def test_a_secret_variable_of_the_flow_or_of_the_process_is_masked(
    testmesh: Testmesh, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOP_KEY", "hunter2-process")
    (folder / "f.yaml").write_text(
        "flow:\n  name: f\n  env: {token: hunter2-flow, made: 'm-${UUID}'}\n  steps:\n"
        "    - {action: log, config: {message: '${token} ${SHOP_KEY} ${made}'}, assert: [1 == 2]}\n"
    )
    names = ("token", "SHOP_KEY", "made", "tokn")
    ran = testmesh("run", "f.yaml", *(word for name in names for word in ("--secret", name)), "--report", "json=r.json")
    assert "hunter2" not in ran.out + ran.err + (folder / "r.json").read_text()
    assert 'no flow has the secret variable tokn, so that nothing is masked for it; did you mean "token"?' in ran.err
    assert "the secret variable made is made when the flow runs, and is not masked" in ran.err
    assert ran.err.count("secret variable") == 2


def test_a_secret_in_a_wrong_url_is_shown_neither_in_the_message_nor_in_the_hint(testmesh: Testmesh, folder: Path) -> None:
    (folder / "f.yaml").write_text(
        "flow:\n  name: f\n  steps:\n    - {action: http_request, config: {method: GET, url: '${host}'}}\n"
    )
    ran = testmesh("run", "f.yaml", "--var", "host=hunter2-host", "--secret", "host")
    assert "url must begin with http:// or https://: '[secret:" in ran.out
    assert "= write http://[secret:" in ran.out
    assert "hunter2" not in ran.out + ran.err


def test_a_step_at_a_line_is_not_run_on_a_server_as_the_whole_flow(testmesh: Testmesh) -> None:
    ran = testmesh("run", "--remote", "good.yaml:6", "--url", "http://127.0.0.1:9")

    assert ran.code == 2
    assert "a server runs whole flows" in ran.err


def test_the_caret_stands_beneath_what_is_meant_behind_wide_characters(testmesh: Testmesh, folder: Path) -> None:
    step = '    - {name: "日本 🚀", action: log, config: {message: a}, assert: [message == "b"]}\n'
    (folder / "wide.yaml").write_text(f"flow:\n  name: wide\n  steps:\n{step}")

    lines = testmesh("run", "wide.yaml").out.splitlines()

    (shown,) = [number for number, line in enumerate(lines) if line.startswith("      4 | ")]
    assert columns(lines[shown].partition("message ==")[0]) == columns(lines[shown + 1].partition("^")[0])


def test_a_run_that_ends_early_says_why(testmesh: Testmesh, folder: Path) -> None:
    (folder / "slow.yaml").write_text("flow:\n  name: slow\n  steps:\n    - {action: delay, config: {duration: 9s}}\n")

    assert testmesh("run", "slow.yaml", "--max-duration", "100ms").out.rstrip().endswith("; ended early: the time was up")
    assert testmesh("run", "bad.yaml", "good.yaml", "--fail-fast").out.rstrip().endswith("; ended early: a flow had failed")


def test_an_empty_folder_says_how_to_begin(testmesh: Testmesh, folder: Path) -> None:
    (folder / "empty").mkdir()

    ran = testmesh("run", "empty")

    assert (ran.code, ran.err.strip()) == (4, "no flow was found: `testmesh init` begins a project")


def test_a_skipped_step_says_why(testmesh: Testmesh, folder: Path) -> None:
    steps = (
        "    - {when: 1 == 2, action: log, config: {message: a}}\n    - {disabled: true, action: log, config: {message: b}}\n"
    )
    (folder / "skips.yaml").write_text(f"flow:\n  name: skips\n  steps:\n{steps}")

    out = testmesh("run", "skips.yaml", "-v").out

    assert "skipped  steps: step_1  [log]  when: 1 == 2\n" in out
    assert "skipped  steps: step_2  [log]  disabled\n" in out
