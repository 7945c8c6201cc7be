"""One running system for the tests of this folder that only use it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.program import Program


@pytest.fixture(scope="session")
def new_program() -> Iterator[Callable[..., Program]]:
    """Makes a program on a new data folder; all of them are stopped at the end."""
    made: list[Program] = []

    def make(*options: str) -> Program:
        folder = Path(tempfile.mkdtemp(prefix="tma"))
        folder.chmod(0o711)
        made.append(Program(folder, *options))
        return made[-1]

    yield make
    for program in made:
        program.stop()
        shutil.rmtree(program.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def program(new_program: Callable[..., Program]) -> Program:
    """A system that is up, with the test's own servers allowed."""
    made = new_program("--allow", "127.0.0.1")
    made.up()
    return made
