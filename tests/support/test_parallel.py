"""A parallel run of pytest with our plugins: who is alone is alone, and figures come through from every process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.tied import tied

ROOT = Path(__file__).parents[2]
CONFTEST = """
import pytest
from tests.support import figures
from tests.support.figures import figure
from tests.support.parallel import Parallel, alone_last

def pytest_configure(config):
    config.pluginmanager.register(Parallel(config))
    for line in ("alone", "row(name)"):
        config.addinivalue_line("markers", line)

def pytest_collection_modifyitems(items):
    figures.collect(items)
    alone_last(items)

def pytest_terminal_summary(terminalreporter):
    figures.show(terminalreporter)
"""
TESTS = """
import os, time
from pathlib import Path
import pytest

LOG = Path(__file__).parent / "log"

def tell(word):
    with LOG.open("a") as log:
        log.write(f"{word} {os.getpid()}\\n")

@pytest.mark.parametrize("number", range(20))
def test_ordinary(number):
    tell("begins")
    time.sleep(0.01)
    tell("ends")

@pytest.mark.alone
@pytest.mark.row("R7")
@pytest.mark.parametrize("number", range(3))
def test_alone(number, figure):
    tell("alone")
    figure(f"measured {number}")
    time.sleep(0.05)
    tell("over")

@pytest.mark.row("R2")
def test_missed(figure):
    figure("too slow")
    assert False
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[list[str]]]:
    """What a run of two processes shows, and what its tests wrote down: words and process ids in the order of time."""
    folder = tmp_path_factory.mktemp("parallel")
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib --strict-markers\n")
    (folder / "conftest.py").write_text(CONFTEST)
    for name in ("test_a.py", "test_b.py"):
        (folder / name).write_text(TESTS)
    command = tied(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-n", "2", "--dist", "loadfile", str(folder))
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout, [line.split() for line in (folder / "log").read_text().splitlines()]


def test_a_test_that_is_alone_overlaps_with_no_other(ran: tuple[str, list[list[str]]]) -> None:
    _, log = ran
    running: dict[str, str] = {}
    assert len({process for _, process in log}) == 2
    for word, process in log:
        if word in ("ends", "over"):
            del running[process]
            continue
        assert "alone" not in (word, *running.values()) or not running, log
        running[process] = word
    assert [word for word, _ in log].count("alone") == 6


def test_the_figures_of_all_processes_are_shown_once(ran: tuple[str, list[list[str]]]) -> None:
    shown = ran[0].partition("figures of docs/reliability.md")[2].splitlines()[1:]
    assert shown[:3] == ["R2: 2 failed", "    too slow", "    too slow"]
    assert shown[3] == "R7: 6 passed"
    assert sorted(shown[4:10]) == sorted(f"    measured {number}" for number in range(3) for _ in "ab")
