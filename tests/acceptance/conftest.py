"""Running systems for the tests of this folder: one that many only use, and new ones. None runs on when nobody needs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support.program import Program, programs


@pytest.fixture
def new_program() -> Iterator[Callable[..., Program]]:
    """Makes a program on a new data folder, which ends with the test."""
    with programs() as make:
        yield make


@pytest.fixture(scope="package")
def program() -> Iterator[Program]:
    """A system that is up, with the test's own servers allowed."""
    with programs() as make:
        made = make("--allow", "127.0.0.1")
        made.up()
        yield made
