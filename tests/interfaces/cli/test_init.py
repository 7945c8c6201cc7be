"""`testmesh init` and the demo shop: a new project passes at once, and no file of anybody's is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.interfaces.cli.conftest import Ran
from tests.interfaces.cli.test_terminal import PROGRAM, environ
from tests.support.tied import tied

Testmesh = Callable[..., Ran]


def test_a_new_project_passes_at_once(testmesh: Testmesh, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = testmesh("init", "my")
    assert made.code == 0
    assert "now: cd my && testmesh run" in made.out
    monkeypatch.chdir(folder / "my")
    ran = testmesh("run")
    assert (ran.code, ran.out.splitlines()[-1].split(" in ")[0]) == (0, "5 flows: 5 passed")
    assert testmesh("validate", "--strict", ".").code == 0
    assert testmesh("fmt", "--check", "flows").code == 0


def test_its_flows_point_to_a_schema_that_takes_them(testmesh: Testmesh, folder: Path) -> None:
    import jsonschema

    testmesh("init")
    flows = sorted((folder / "flows").glob("*.yaml"))
    assert len(flows) == 3
    for path in flows:
        head, _, text = path.read_text().partition("\n")
        place = head.removeprefix("# yaml-language-server: $schema=")
        schema = json.loads((path.parent / place).read_text())
        assert list(jsonschema.Draft202012Validator(schema).iter_errors(yaml.safe_load(text))) == []


def test_nothing_is_overwritten(testmesh: Testmesh, folder: Path) -> None:
    (folder / "testmesh.yaml").write_text("project: mine\n")
    ran = testmesh("init", "--force")
    assert ran.code == 2
    assert "testmesh.yaml in . would be lost" in ran.err
    assert (folder / "testmesh.yaml").read_text() == "project: mine\n"
    assert not (folder / "flows").exists()


def test_a_second_time_needs_force_and_renews_only_what_it_made(testmesh: Testmesh, folder: Path) -> None:
    testmesh("init")
    (folder / "flows" / "own.yaml").write_text("mine")
    (folder / "testmesh.yaml").write_text((folder / "testmesh.yaml").read_text() + "# changed\n")
    refused = testmesh("init")
    assert refused.code == 2
    assert "has a project already" in refused.err
    assert testmesh("init", "--force").code == 0
    assert "# changed" not in (folder / "testmesh.yaml").read_text()
    assert (folder / "flows" / "own.yaml").read_text() == "mine"


def test_gitignore_gains_lines_and_loses_none(testmesh: Testmesh, folder: Path) -> None:
    (folder / ".gitignore").write_text("mine\n.env")
    testmesh("init")
    assert (folder / ".gitignore").read_text().splitlines() == ["mine", ".env", "reports/", "*.tmrun"]
    testmesh("init", "--force")
    assert (folder / ".gitignore").read_text().count("reports/") == 1


def test_a_workflow_is_made_only_when_it_is_asked_for(testmesh: Testmesh, folder: Path) -> None:
    testmesh("init")
    assert not (folder / ".github").exists()
    assert testmesh("init", "--force", "--ci", "github").code == 0
    workflow = yaml.safe_load((folder / ".github" / "workflows" / "testmesh.yml").read_text())
    assert any("testmesh run" in str(step.get("run")) for step in workflow["jobs"]["flows"]["steps"])


def test_the_name_of_the_folder_may_be_anything(testmesh: Testmesh, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = 'a "b": # ${c}'
    assert testmesh("init", odd).code == 0
    monkeypatch.chdir(folder / odd)
    assert testmesh("run", "-k", "sell").code == 0


class TestDemoShop:
    def test_it_is_not_started_where_the_address_is_given(self, testmesh: Testmesh) -> None:
        testmesh("init")
        ran = testmesh("run", "-k", "sell", "--var", "shop_url=http://127.0.0.1:1")
        assert ran.code == 3
        assert "127.0.0.1:1" in ran.out

    def test_it_is_refused_for_remote_runs(self, testmesh: Testmesh) -> None:
        testmesh("init")
        ran = testmesh("run", "--remote")
        assert ran.code == 2
        assert "the demo shop" in ran.err

    def test_env_explains_where_its_address_comes_from(self, testmesh: Testmesh) -> None:
        testmesh("init")
        assert "given by the demo shop" in testmesh("env", "explain", "shop_url").out
        assert "given by environment stage" in testmesh("env", "explain", "shop_url", "-e", "stage").out

    def test_it_is_served_for_requests_by_hand(self, tmp_path: Path) -> None:
        with subprocess.Popen(
            tied(*PROGRAM, "demo", "--port", "0"),
            cwd=tmp_path,
            env=environ(PYTHONUNBUFFERED="1"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            url = line.split()[4].rstrip(";")
            with urllib.request.urlopen(f"{url}/products", timeout=10) as answer:
                assert len(json.load(answer)) == 3
            os.kill(process.pid, signal.SIGINT)
            _, error = process.communicate(timeout=20)
        assert (process.returncode, error) == (0, "")

    def test_a_taken_port_is_said(self, testmesh: Testmesh) -> None:
        import socket

        with socket.create_server(("127.0.0.1", 0)) as taken:
            ran = testmesh("demo", "--port", str(taken.getsockname()[1]))
        assert ran.code == 2
        assert "choose another --port" in ran.err
