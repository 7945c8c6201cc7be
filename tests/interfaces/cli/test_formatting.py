"""`testmesh fmt`: writes, checks, shows, and never touches what it cannot read."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.interfaces.cli.conftest import Ran

Testmesh = Callable[..., Ran]
UGLY = "flow:\n    steps:\n    - config: {message: x}   # why\n      action: log\n    name: x\n"
PRETTY = "flow:\n  name: x\n  steps:\n    - action: log\n      config: {message: x}   # why\n"


@pytest.fixture(autouse=True)
def files(folder: Path) -> None:
    (folder / "ugly.yaml").write_text(UGLY)
    (folder / "pretty.yaml").write_text(PRETTY)


def test_files_are_formatted_in_place(testmesh: Testmesh, folder: Path) -> None:
    (folder / "ugly.yaml").chmod(0o640)
    ran = testmesh("fmt", ".")
    assert ran.code == 0
    assert "1 formatted, 1 left unchanged" in ran.err
    assert (folder / "ugly.yaml").read_text() == PRETTY
    assert (folder / "ugly.yaml").stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in folder.glob("*.yaml*")) == ["pretty.yaml", "ugly.yaml"]


def test_check_names_the_files_and_writes_nothing(testmesh: Testmesh, folder: Path) -> None:
    ran = testmesh("fmt", "--check", ".")
    assert (ran.code, ran.out) == (1, "ugly.yaml\n")
    assert (folder / "ugly.yaml").read_text() == UGLY
    assert testmesh("fmt", "--check", "pretty.yaml").code == 0


def test_diff_shows_what_would_change(testmesh: Testmesh, folder: Path) -> None:
    ran = testmesh("fmt", "--diff", ".")
    assert ran.code == 0
    assert "+  name: x" in ran.out
    assert (folder / "ugly.yaml").read_text() == UGLY
    assert testmesh("fmt", "--diff", "--check", ".").code == 1


def test_standard_input_goes_to_standard_output(testmesh: Testmesh, monkeypatch: pytest.MonkeyPatch) -> None:
    class Input:
        buffer: Any = io.BytesIO(UGLY.encode())

    monkeypatch.setattr(sys, "stdin", Input())
    assert testmesh("fmt", "-").out == PRETTY


def test_what_is_no_yaml_is_reported_and_the_others_are_formatted(testmesh: Testmesh, folder: Path) -> None:
    (folder / "broken.yaml").write_text("flow:\n  name: [\n")
    ran = testmesh("fmt", ".")
    assert ran.code == 2
    assert "broken.yaml:" in ran.out
    assert (folder / "broken.yaml").read_text() == "flow:\n  name: [\n"
    assert (folder / "ugly.yaml").read_text() == PRETTY
