"""The shop's flows give the same normalised events here and on a worker, step for step."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from interfaces.adapters.embedded_valkey import EmbeddedValkey
from interfaces.cli.reports.events import normalised
from tests.support.program import Program
from tests.support.shop import SHOP, shop, shop_command, shop_database, shop_variables

pytestmark = pytest.mark.system
__all__ = ["shop", "shop_command", "shop_database", "shop_variables"]
# Nothing listens on port 9 in a local run; on a worker the egress policy does not even try. Both are an error.
DIFFERENT_KIND = {"flows/missing_service.yaml"}


@pytest.fixture(scope="session")
def valkey_url(valkey_server: EmbeddedValkey) -> str:
    """A Valkey database apart: two shops must not share one."""
    return valkey_server.url.removesuffix("/0") + "/1"


def _events(program: Program, report: Path, variables: dict[str, str], *options: str) -> dict[str, list[dict[str, Any]]]:
    """Events by file of one run of all flows."""
    environ = {f"TESTMESH_VAR_{name}": value for name, value in variables.items()}
    done = program.run("run", *options, "flows", "--report", f"jsonl={report}", cwd=SHOP, **environ)
    assert done.returncode == 3, done.stdout + done.stderr
    files: dict[str, str] = {}
    found: dict[str, list[dict[str, Any]]] = {}
    for line in report.read_text().splitlines():
        event = json.loads(line)
        if event["topic"] == "execution.requested":
            files[event["execution"]] = event["event"]["file"]
        found.setdefault(files[event["execution"]], []).append(event)
    return found


@pytest.mark.alone
def test_local_and_remote_runs_tell_the_same_story(program: Program, shop_variables: dict[str, str], tmp_path: Path) -> None:
    here = _events(program, tmp_path / "here.jsonl", shop_variables, "-j", "4")
    there = _events(program, tmp_path / "there.jsonl", shop_variables, "--remote")
    expected = yaml.safe_load((SHOP / "expect.yaml").read_text())
    assert set(here) == set(there) == set(expected)
    for file, events in here.items():
        ours, theirs = normalised(events), normalised(there[file])
        if file in DIFFERENT_KIND:
            ours, theirs = _without_kinds(ours), _without_kinds(theirs)
        assert ours == theirs, file


def _without_kinds(lines: list[tuple[Any, ...]]) -> list[Any]:
    return [
        tuple(part if not isinstance(part, tuple) else (part[0], *part[2:]) for part in line)
        if line[0] == "step_finished"
        else line
        for line in lines
    ]


def test_a_worker_refuses_what_the_operator_did_not_allow(new_program: Callable[..., Program], shop: dict[str, str]) -> None:
    program = new_program()
    program.up()
    step = f"{{action: http_request, config: {{method: GET, url: '{shop['users']}/health'}}}}"
    text = f"flow:\n  name: reach\n  steps:\n    - {step}\n"
    (program.folder / "reach.yaml").write_text(text)
    assert program.run("run", "reach.yaml").returncode == 0
    done = program.run("run", "--remote", "reach.yaml")
    assert done.returncode == 3
    assert "egress: " in done.stdout
    assert "TESTMESH_EGRESS_ALLOW" in done.stdout


def test_no_flow_reaches_the_platforms_own_database_whatever_is_allowed(program: Program) -> None:
    text = (
        "flow:\n  name: own\n  steps:\n"
        f"    - {{action: database_query, config: {{connection: '{program.database_url()}', query: SELECT 1}}}}\n"
    )
    (program.folder / "own.yaml").write_text(text)
    done = program.run("run", "--remote", "own.yaml")
    assert done.returncode == 3
    assert "egress: " in done.stdout
