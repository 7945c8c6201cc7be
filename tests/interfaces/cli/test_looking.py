"""Looking without running: `testmesh list`, `schema`, `env`, and what `validate` says of flows that are not there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from application.actions.registry import TABLE
from tests.interfaces.cli.conftest import Ran

Testmesh = Callable[..., Ran]
LOGIN = """\
flow:
  name: Login
  id: login
  suite: users
  tags: [smoke, users]
  setup:
    - {id: clean, action: log, config: {message: x}}
  steps:
    - id: several
      action: for_each
      config:
        items: [1, 2]
        steps:
          - {id: inner, action: log, config: {message: x}}
"""
ORDER = """\
flow:
  name: Order
  needs: [Login]
  data: [{product: book}, {product: pen}]
  steps:
    - {id: one, action: log, config: {message: "${product}"}}
"""


@pytest.fixture
def project(folder: Path) -> Path:
    (folder / "login.yaml").write_text(LOGIN)
    (folder / "order.yaml").write_text(ORDER)
    return folder


def found(ran: Ran) -> Any:
    assert ran.code == 0, ran.err
    return json.loads(ran.out)


@pytest.mark.usefixtures("project")
class TestList:
    def test_flows_are_shown_with_what_is_known_of_them(self, testmesh: Testmesh) -> None:
        ran = testmesh("list")
        assert ran.code == 0
        lines = [line.split() for line in ran.out.splitlines()]
        assert lines[0] == ["FILE", "NAME", "TAGS", "SUITE", "STEPS", "ROWS", "NEEDS"]
        assert lines[1] == ["login.yaml", "Login", "smoke,", "users", "users", "3", "-"]
        assert lines[2] == ["order.yaml", "Order", "-", "1", "2", "Login"]
        assert "2 flows, 3 executions" in ran.err

    def test_they_are_chosen_as_a_run_would(self, testmesh: Testmesh) -> None:
        assert [flow["name"] for flow in found(testmesh("list", "--tags", "smoke", "--format", "json"))["flows"]] == ["Login"]
        assert [flow["name"] for flow in found(testmesh("list", "-k", "ord", "--format", "json"))["flows"]] == ["Order"]
        assert testmesh("list", "-k", "nothing").code == 4

    def test_steps_have_their_lines_nested_ones_included(self, testmesh: Testmesh) -> None:
        ran = testmesh("list", "--steps", "login.yaml")
        places = [(line.split()[0], line.split()[2]) for line in ran.out.splitlines()[1:]]
        assert places == [("clean", "login.yaml:7"), ("several", "login.yaml:9"), ("several/inner", "login.yaml:14")]

    def test_a_broken_file_is_shown_and_hides_no_other(self, testmesh: Testmesh, project: Path) -> None:
        (project / "broken.yaml").write_text("flow:\n  name: x\n")
        ran = testmesh("list")
        assert ran.code == 2
        assert "order.yaml" in ran.out
        assert "broken.yaml:" in ran.err


class TestSchema:
    def test_it_is_a_schema_that_takes_flows_and_refuses_others(self, testmesh: Testmesh) -> None:
        schema = found(testmesh("schema"))
        checked = jsonschema.Draft202012Validator(schema)
        checked.check_schema(schema)
        assert checked.is_valid(yaml.safe_load(ORDER))
        assert not checked.is_valid(yaml.safe_load(ORDER.replace("message", "mesage")))

    @pytest.mark.parametrize("action", list(TABLE))
    def test_that_of_each_action_stands_alone(self, testmesh: Testmesh, action: str) -> None:
        schema = found(testmesh("schema", "--action", action))
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema["title"] == action
        list(jsonschema.Draft202012Validator(schema).iter_errors({"steps": [{"action": "log"}]}))

    def test_an_alias_is_known_and_a_wrong_name_gets_the_nearest(self, testmesh: Testmesh) -> None:
        assert found(testmesh("schema", "--action", "http"))["title"] == "http_request"
        ran = testmesh("schema", "--action", "http_requst")
        assert ran.code == 2
        assert 'did you mean "http_request"?' in ran.err

    def test_it_is_written_to_a_file(self, testmesh: Testmesh, folder: Path) -> None:
        ran = testmesh("schema", "-o", "made/flow.json")
        assert (ran.code, ran.out) == (0, "")
        assert json.loads((folder / "made" / "flow.json").read_text())["title"] == "TestMesh flow"


PROJECT = """\
env: stage
variables: {url: http://ada:hidden@plain, shop_token: abcdef, level: 1}
environments: {stage: {url: http://stage}, live: {url: http://live}}
"""


class TestEnv:
    @pytest.fixture(autouse=True)
    def _project(self, folder: Path) -> None:
        (folder / "testmesh.yaml").write_text(PROJECT)
        (folder / "f.env").write_text("level=3\n")
        (folder / "f.yaml").write_text(
            "flow:\n  name: f\n  env: {level: 4, own: 1}\n  env_file: f.env\n"
            "  data: [{row_id: 7}]\n  steps:\n    - {action: log, config: {message: x}}\n"
        )

    def test_who_won_and_who_was_overridden(self, testmesh: Testmesh, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TESTMESH_VAR_url", "http://process")
        ran = testmesh("env", "explain", "url", "--var", "url=http://mine")
        assert ran.code == 0
        assert ran.out.splitlines() == [
            "url = http://mine",
            "  given by --var",
            "  instead of http://process, given by TESTMESH_VAR_*",
            "  instead of http://stage, given by environment stage",
            "  instead of http://[masked]@plain, given by project file",
        ]

    def test_a_flow_brings_its_own(self, testmesh: Testmesh) -> None:
        explained = found(testmesh("env", "explain", "level", "f.yaml", "--format", "json"))
        assert (explained["value"], explained["source"]) == (1, "project file")
        assert explained["overridden"] == [{"source": "env_file", "value": "3"}, {"source": "env", "value": 4}]
        rows = {row["name"]: row["source"] for row in found(testmesh("env", "list", "f.yaml", "--format", "json"))}
        assert rows["own"] == "env"
        assert rows["row_id"] == "data, row 1"

    def test_another_environment_gives_others(self, testmesh: Testmesh) -> None:
        assert "url = http://live" in testmesh("env", "explain", "url", "-e", "live").out

    def test_secrets_are_shown_only_when_that_is_asked_for(self, testmesh: Testmesh) -> None:
        hidden, shown = testmesh("env", "list"), testmesh("env", "list", "--show-secrets")
        assert "abcdef" not in hidden.out
        assert "[masked]" in hidden.out
        assert "abcdef" in shown.out

    def test_an_unknown_name_gets_the_nearest(self, testmesh: Testmesh) -> None:
        ran = testmesh("env", "explain", "shop_tokn")
        assert ran.code == 2
        assert 'did you mean "shop_token"?' in ran.err


class TestReferences:
    def test_calls_and_needs_that_lead_nowhere_are_told(self, testmesh: Testmesh, folder: Path) -> None:
        (folder / "flows").mkdir()
        (folder / "flows" / "login.yaml").write_text(LOGIN)
        (folder / "flows" / "order.yaml").write_text(
            "flow:\n  name: Order\n  needs: [Logn]\n  steps:\n"
            "    - {action: run_flow, config: {flow: logins.yaml}}\n"
            "    - {action: run_flow, config: {flow: login.yaml}}\n"
            "    - {action: run_flow, config: {flow: login}}\n"
            "    - {action: run_flow, config: {flow: '${UUID}'}}\n"
        )
        ran = testmesh("validate", "flows", "--format", "json")
        problems = json.loads(ran.out)
        assert [(problem["line"], problem["severity"], problem["remedy"]) for problem in problems] == [
            (3, "warning", 'did you mean "login"?'),
            (5, "warning", 'did you mean "login.yaml"?'),
        ]
        assert ran.code == 0
        assert testmesh("validate", "flows", "--strict").code == 2

    def test_an_input_that_the_called_flow_does_not_take_is_an_error(self, testmesh: Testmesh, folder: Path) -> None:
        (folder / "greet.yaml").write_text(
            "flow:\n  name: Greet\n  inputs: {who: you}\n  steps: [{action: log, config: {message: 'hi ${who}'}}]\n"
        )
        (folder / "call.yaml").write_text(
            "flow:\n  name: Call\n  steps:\n    - {action: run_flow, config: {flow: Greet, inputs: {hwo: me, who: me}}}\n"
        )
        ran = testmesh("validate", "call.yaml")
        assert ran.code == 2
        assert "call.yaml:4:" in ran.out
        assert 'error: Greet takes no input "hwo"' in ran.out
        assert 'did you mean "who"?' in ran.out

    def test_an_input_that_the_called_flow_requires_is_missed(self, testmesh: Testmesh, folder: Path) -> None:
        steps = "steps: [{action: log, config: {message: 'hi ${who}'}}]"
        (folder / "greet.yaml").write_text(f"flow:\n  name: Greet\n  inputs: {{who: {{required: true}}}}\n  {steps}\n")
        call = "flow:\n  name: Call\n  steps:\n    - {{action: run_flow, config: {{flow: greet.yaml{}}}}}\n"
        (folder / "call.yaml").write_text(call.format(""))
        ran = testmesh("validate", "call.yaml")
        assert 'warning: greet.yaml needs the input "who"' in ran.out
        assert testmesh("run", "call.yaml").code == 3
        (folder / "call.yaml").write_text(call.format(", inputs: {who: you}"))
        assert testmesh("validate", "call.yaml", "--strict").code == 0
        assert testmesh("run", "call.yaml").code == 0

    @pytest.mark.parametrize(("needs", "code"), [("sub/b.yaml", 0), ("b.yaml", 2), ("B", 0), ("../out.yaml", 2)])
    def test_run_and_validate_find_the_same_flows(
        self, testmesh: Testmesh, folder: Path, needs: str, code: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        project = folder / "p"
        (project / "sub").mkdir(parents=True)
        (project / "testmesh.yaml").write_text("flows: [a.yaml]\n")
        for path, name, head in (
            ("a", "A", f"needs: [{needs}]"),
            ("sub/b", "B", "version: x"),
            ("../out", "Out", "version: x"),
        ):
            steps = "steps: [{action: log, config: {message: x}}]"
            (project / f"{path}.yaml").write_text(f"flow:\n  name: {name}\n  {head}\n  {steps}\n")
        monkeypatch.chdir(project)
        assert testmesh("validate", "--strict", "a.yaml").code == code
        ran = testmesh("run", "a.yaml")
        assert ran.code == code, ran.err
        if code:
            assert f'There is no flow "{needs}" to need' in ran.err

    def test_a_needed_flow_that_is_broken_is_shown_once_with_what_is_wrong(self, testmesh: Testmesh, folder: Path) -> None:
        (folder / "a.yaml").write_text(
            "flow:\n  name: A\n  needs: [b.yaml]\n  steps: [{action: delay, config: {duration: 1ms}}]\n"
        )
        (folder / "b.yaml").write_text("flow:\n  name: B\n")
        ran = testmesh("run", "a.yaml")
        assert ran.code == 2
        assert ran.err.count("b.yaml:") == 1
        assert "There is no flow" not in ran.err

    def test_a_flow_that_is_broken_is_there_all_the_same(self, testmesh: Testmesh, folder: Path) -> None:
        (folder / "login.yaml").write_text("flow:\n  name: Login\n")
        (folder / "order.yaml").write_text(ORDER)
        assert testmesh("validate", "order.yaml", "--strict").code == 0


@pytest.mark.parametrize("verb", ["validate", "fmt", "list"])
def test_without_paths_the_flows_of_the_project_are_meant(testmesh: Testmesh, folder: Path, verb: str) -> None:
    (folder / "testmesh.yaml").write_text("flows: [mine]\n")
    (folder / "mine").mkdir()
    for name in ("mine/a.yaml", "other.yaml"):
        (folder / name).write_text("flow:\n  name: x\n  steps:\n    - action: log\n      config: {message: x}\n")
    ran = testmesh(verb)
    assert ran.code == 0
    assert ran.err.startswith({"validate": "1 flow file,", "fmt": "0 formatted, 1 left", "list": "1 flow,"}[verb])


def test_names_in_a_file_of_variables_of_the_flow_are_known(folder: Path, testmesh: Testmesh) -> None:
    (folder / "a.env").write_text("GREETING=hi\n")
    (folder / "f.yaml").write_text(
        "flow:\n  name: f\n  env_file: a.env\n  steps:\n"
        "    - {action: log, config: {message: '${GREETING}'}, assert: [\"GREETING == 'hi'\"]}\n"
    )
    assert testmesh("validate", "--strict", "f.yaml").code == 0
    assert testmesh("run", "-q", "f.yaml").code == 0
    (folder / "a.env").write_text("GREETINGS=hi\n")
    assert 'did you mean "GREETINGS"?' in testmesh("validate", "f.yaml").out


def test_validate_finds_the_files_that_are_not_there(testmesh: Testmesh, folder: Path) -> None:
    (folder / "f.yaml").write_text("""flow:
  name: Files
  env_file: [gone.env, broken.env]
  data: {file: gone.csv}
  steps:
    - action: transform
      config: {input_file: gone.json, operations: [{sort: {by: a}}]}
""")
    (folder / "broken.env").write_text("no assignment\n")

    ran = testmesh("validate", "f.yaml", "--format", "json")
    run = testmesh("run", "f.yaml")

    found = [(problem["file"].rpartition("/")[2], problem["line"], problem["severity"]) for problem in json.loads(ran.out)]
    assert found == [("broken.env", 1, "error"), ("f.yaml", 3, "error"), ("f.yaml", 4, "error"), ("f.yaml", 7, "warning")]
    assert (ran.code, run.code) == (2, 2)
    assert "gone.env cannot be read" in run.err
    assert "gone.csv cannot be read" in run.err
