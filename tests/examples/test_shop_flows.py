"""The flows of the example shop are valid, and each ends as expect.yaml says, run as a user runs them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from application.actions.registry import ACTIONS
from application.flow_documents import read_flow

pytestmark = pytest.mark.alone
"""A flow of the shop may take three seconds and no longer."""
SHOP = Path(__file__).parents[2] / "examples" / "shop"
FLOWS = sorted((SHOP / "flows").glob("*.yaml"))
EXPECTED: dict[str, Any] = yaml.safe_load((SHOP / "expect.yaml").read_text())
ENVIRONMENT: dict[str, str] = yaml.safe_load((SHOP / "testmesh.yaml").read_text())["environments"]["demo"]
RUN_SECONDS = 60.0
EXIT_OF_THE_WORST = 3


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.stem)
def test_a_flow_is_valid_and_reads_only_variables_of_the_project_file(flow: Path) -> None:
    _, warnings = read_flow(flow.read_bytes(), file=flow.name, actions=ACTIONS, known_variables=ENVIRONMENT)
    assert [str(warning) for warning in warnings] == []


def test_every_flow_has_an_expected_end_and_every_expected_step_exists() -> None:
    assert sorted(EXPECTED) == [f"flows/{flow.name}" for flow in FLOWS]
    for flow in FLOWS:
        steps = EXPECTED[f"flows/{flow.name}"].get("steps", {})
        assert all(f"id: {path.rpartition('/')[2]}\n" in flow.read_text() for path in steps), flow.name


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the run leaves its report, and itself."""
    return tmp_path_factory.mktemp("report")


@pytest.fixture(scope="module")
def report(shop_variables: dict[str, str], folder: Path) -> dict[str, Any]:
    """What a run of all flows, several at once, recorded: executions by file."""
    path = folder / "report.json"
    variables = [f"--var={name}={value}" for name, value in shop_variables.items()]
    command = [sys.executable, "-m", "interfaces.cli.main", "run", "-j", "4", "-q", f"--report=json={path}"]
    command += [f"--save={folder / 'run.tmrun'}", *variables]
    done = subprocess.run(command, cwd=SHOP, capture_output=True, text=True, timeout=RUN_SECONDS, check=False)
    assert done.returncode == EXIT_OF_THE_WORST, done.stdout + done.stderr
    return {execution["file"]: execution for execution in orjson.loads(path.read_bytes())["executions"]}


@pytest.mark.parametrize("file", EXPECTED)
def test_a_flow_ends_as_expected(file: str, report: dict[str, Any]) -> None:
    ended, expected = report[file], EXPECTED[file]
    verdicts = {step["path"]: step["verdict"] for step in ended["steps"]}
    assert ended["verdict"] == expected["verdict"], (ended["message"], verdicts)
    assert expected.get("steps", {}).items() <= verdicts.items()


def test_the_failure_shows_where_the_order_differs(report: dict[str, Any]) -> None:
    (step,) = [step for step in report["flows/wrong_price.yaml"]["steps"] if step["verdict"] == "failed"]
    (failed,) = [check for check in step["outcome"]["tries"][-1]["assertions"] if not check["passed"]]
    assert failed["diff"] == ["$.status: expected 'paid', got 'confirmed'", "$.total_cents: expected 2000, got 2500"]


def test_the_flow_that_times_out_leaves_nothing_behind(report: dict[str, Any]) -> None:
    steps = report["flows/never_shipped.yaml"]["steps"]
    assert {step["verdict"] for step in steps if step["phase"] == "teardown"} == {"passed"}


def test_the_assertions_of_the_saved_run_come_to_the_same_again(report: dict[str, Any], folder: Path) -> None:
    command = [sys.executable, "-m", "interfaces.cli.main", "replay", str(folder / "run.tmrun"), "--check"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=RUN_SECONDS, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    total, equal, unknown = (int(number) for number in re.findall(r"(\d+) (?:assertions|equal|cannot)", done.stdout)[-3:])
    assert total == equal + unknown
    assert equal > unknown, done.stdout
