"""The program run in this process, in an empty folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from interfaces.cli.main import run


@dataclass(frozen=True)
class Ran:
    """What a command line left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder, without settings or credentials from outside."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("NO_COLOR", "1")
    for name in ("TESTMESH_URL", "TESTMESH_API_KEY", "TESTMESH_API_KEY_FILE", "TESTMESH_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def testmesh(folder: Path, capfd: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """Runs a command line."""

    def call(*arguments: str) -> Ran:
        capfd.readouterr()
        code = run(arguments)
        out, err = capfd.readouterr()
        return Ran(code, out, err)

    return call
