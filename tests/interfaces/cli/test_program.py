"""The program itself: help without heavy imports, unknown verbs, version, validate, completion."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from interfaces.cli.main import VERBS
from tests.interfaces.cli.conftest import Ran

Testmesh = Callable[..., Ran]
HEAVY = ("sanic", "psycopg", "httpx", "aiohttp", "redis", "eventsourcing", "cryptography", "yaml")


def _imported(*arguments: str, cwd: Path | None = None) -> set[str]:
    """Top-level modules that a command line imports."""
    code = (
        "import sys\nfrom interfaces.cli.main import run\n"
        f"code = run({list(arguments)!r})\n"
        "print('\\n@', *sorted({name.split('.')[0] for name in sys.modules}))\nsys.exit(code)"
    )
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=cwd, env={"PYTHONPATH": str(root)}
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rsplit("@", 1)[1].split())


def test_help_imports_nothing_heavy() -> None:
    assert _imported("--help").isdisjoint(HEAVY)
    assert _imported().isdisjoint(HEAVY)
    assert _imported("version").isdisjoint(HEAVY)


def test_validate_and_local_runs_import_no_server(tmp_path: Path) -> None:
    (tmp_path / "f.yaml").write_text("flow:\n  name: x\n  steps:\n    - {action: log, config: {message: x}}\n")
    clients = {"sanic", "psycopg", "httpx", "aiohttp", "redis", "cryptography"}
    assert _imported("validate", "f.yaml", cwd=tmp_path).isdisjoint(clients)
    assert _imported("run", "f.yaml", cwd=tmp_path).isdisjoint(clients)


@pytest.mark.parametrize("verb", list(VERBS))
def test_every_verb_has_help_and_its_line_in_the_table_is_true(verb: str, testmesh: Testmesh) -> None:
    ran = testmesh(verb, "--help")
    assert ran.code == 0
    assert "Usage: testmesh" in ran.out
    module, name = VERBS[verb][0].split(":")
    assert isinstance(getattr(importlib.import_module(f"interfaces.cli.{module}"), name), click.Command)


def test_an_unknown_verb_gets_the_nearest_one(testmesh: Testmesh) -> None:
    ran = testmesh("validat")
    assert ran.code == 2
    assert "did you mean `testmesh validate`?" in ran.err


def test_validate_shows_every_problem_of_every_file(testmesh: Testmesh, folder: Path) -> None:
    (folder / "a.yaml").write_text("flow:\n  nam: x\n  steps:\n    - {action: lgo}\n")
    (folder / "b.yaml").write_text("flow:\n  name: x\n  steps:\n    - {action: log, config: {message: x}}\n")
    ran = testmesh("validate", ".")
    assert ran.code == 2
    assert ran.out.count("error:") >= 2
    assert "did you mean" in ran.out
    assert "2 flow files" in ran.err
    assert testmesh("validate", "b.yaml").code == 0
    assert '"line":2' in testmesh("validate", "a.yaml", "--format", "json").out


def test_the_version_is_asked_for_in_either_way(testmesh: Testmesh) -> None:
    asked = testmesh("--version")
    assert asked.code == 0
    assert re.fullmatch(r"testmesh \d+\.\S+ \(Python 3\.\S+\)\n", asked.out)
    assert testmesh("version").out == asked.out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_call_the_program(testmesh: Testmesh, shell: str) -> None:
    ran = testmesh("completion", shell)
    assert ran.code == 0
    assert "_TESTMESH_COMPLETE" in ran.out
