"""Every limit is a setting: of the environment, and of the server's file."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from domain.errors import Invalid
from domain.limits import MIB, Limits
from interfaces.limit_settings import PREFIX, as_environment, read_limits
from interfaces.settings import load


def test_nothing_is_set_by_default_and_every_limit_can_be() -> None:
    assert read_limits({"TESTMESH_VAR_LIMIT": "1"}) == {}
    for one in fields(Limits):
        default = getattr(Limits(), one.name)
        assert read_limits({f"{PREFIX}{one.name.upper()}": str(default)}) == {one.name: default}


def test_sizes_and_times_have_units() -> None:
    environ = {
        "TESTMESH_LIMIT_RESPONSE_READ_BYTES": "128MiB",
        "TESTMESH_LIMIT_EXCERPT_BYTES": "8 kib",
        "TESTMESH_LIMIT_RUN_SECONDS": "1h30m",
        "TESTMESH_LIMIT_STEPS": "1_000",
    }
    assert read_limits(environ) == {
        "response_read_bytes": 128 * MIB,
        "excerpt_bytes": 8192,
        "run_seconds": 5400.0,
        "steps": 1000,
    }


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("STEP", "1", "TESTMESH_LIMIT_STEP is not a limit"),
        ("STEPS", "many", "TESTMESH_LIMIT_STEPS cannot be 'many'"),
        ("STEPS", "5KiB", "TESTMESH_LIMIT_STEPS cannot be '5KiB'"),
        ("STEPS", "0", "TESTMESH_LIMIT_STEPS must be from 1 to 500,000"),
        ("JSON_DEPTH", "257", "TESTMESH_LIMIT_JSON_DEPTH must be from 1 to 256"),
        ("SECRET_MIN_CHARS", "3", "TESTMESH_LIMIT_SECRET_MIN_CHARS must be from 4"),
        ("RUN_SECONDS", "soon", "TESTMESH_LIMIT_RUN_SECONDS cannot be 'soon'"),
    ],
)
def test_what_cannot_be_is_refused(name: str, value: str, says: str) -> None:
    with pytest.raises(Invalid, match=says.replace("(", r"\(")):
        read_limits({f"{PREFIX}{name}": value})


def test_the_environment_wins_over_the_file_and_roles_get_both(tmp_path: Path) -> None:
    file = tmp_path / "testmesh.toml"
    file.write_text('[limits]\nresponse_read_bytes = "2MiB"\nsteps = 7\nrun_seconds = "90s"\n')
    settings, warnings = load({"TESTMESH_LIMIT_STEPS": "9"}, file)
    assert settings.limits == {"response_read_bytes": 2 * MIB, "steps": 9, "run_seconds": 90.0}
    assert read_limits(as_environment(settings.limits)) == settings.limits
    assert warnings == []


@pytest.mark.parametrize("line", ["stps = 7", "steps = 1.5", "steps = true", "steps = [1]"])
def test_a_wrong_line_of_the_file_is_refused(tmp_path: Path, line: str) -> None:
    file = tmp_path / "testmesh.toml"
    file.write_text(f"[limits]\n{line}\n")
    with pytest.raises(Invalid, match=r"\[limits\]"):
        load({}, file)


def test_the_program_keeps_to_them(tmp_path: Path) -> None:
    flow = tmp_path / "f.yaml"
    flow.write_text("flow:\n  name: f\n  steps:\n" + "    - {action: log, config: {message: a}}\n" * 3)

    def validated(**environ: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "interfaces.cli.main", "validate", str(flow)]
        return subprocess.run(command, env={**os.environ, **environ}, capture_output=True, text=True, check=False)

    assert validated().returncode == 0
    refused = validated(TESTMESH_LIMIT_STEPS="2")
    assert refused.returncode == 2
    assert "The flow has 3 steps; at most 2 are allowed" in refused.stdout
    assert "did you mean TESTMESH_LIMIT_STEPS?" in validated(TESTMESH_LIMIT_STEP="2").stderr


def test_a_flow_that_does_not_say_ends_when_the_limit_says(tmp_path: Path) -> None:
    flow = tmp_path / "f.yaml"
    flow.write_text("flow: {name: f, steps: [{action: delay, config: {duration: 20s}}]}")
    command = [sys.executable, "-m", "interfaces.cli.main", "run", "-q", str(flow)]
    environ = {**os.environ, "TESTMESH_LIMIT_RUN_SECONDS": "1s"}
    ran = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=15)
    assert "the flow did not finish within 1 s" in ran.stdout
