"""Turns among the processes of a test run: together, or one alone and before those that come later."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.alone import Turns
from tests.support.tied import tied

ROOT = Path(__file__).parents[2]
PATIENCE = 20.0
TAKEN = """
import sys
from pathlib import Path
from tests.support.alone import Turns
with Turns(Path(sys.argv[1])).take(alone=True):
    print("taken", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Callable[[], Turns]]:
    """Makes the turns of one more process; locks of flock(2) belong to the opened file."""
    made: list[Turns] = []

    def make() -> Turns:
        made.append(Turns(tmp_path))
        return made[-1]

    yield make
    for turns in made:
        turns.close()


def shut(gate: Path) -> bool:
    """Whether somebody waits to be alone."""
    with gate.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def test_ordinary_tests_run_together(process: Callable[[], Turns]) -> None:
    with process().take(alone=False), process().take(alone=False):
        pass


def test_one_that_is_alone_waits_for_those_that_run_and_goes_before_those_that_come_later(
    process: Callable[[], Turns], tmp_path: Path
) -> None:
    order: list[str] = []
    running, alone, later = process(), process(), process()

    def run(turns: Turns, name: str, *, by_itself: bool) -> None:
        with turns.take(alone=by_itself):
            order.extend((f"{name} begins", f"{name} ends"))

    threads = [
        threading.Thread(target=run, args=(alone, "alone"), kwargs={"by_itself": True}),
        threading.Thread(target=run, args=(later, "later"), kwargs={"by_itself": False}),
    ]
    with running.take(alone=False):
        threads[0].start()
        until(lambda: shut(tmp_path / "gate"))
        threads[1].start()
        order.append("running ends")
    for thread in threads:
        thread.join(PATIENCE)
    assert order == ["running ends", "alone begins", "alone ends", "later begins", "later ends"]


def test_nobody_begins_while_one_is_alone(process: Callable[[], Turns]) -> None:
    order: list[str] = []
    alone, other = process(), process()

    def run() -> None:
        with other.take(alone=False):
            order.append("other")

    thread = threading.Thread(target=run)
    with alone.take(alone=True):
        thread.start()
        thread.join(0.2)
        order.append("alone")
    thread.join(PATIENCE)
    assert order == ["alone", "other"]


def test_a_process_that_is_killed_gives_up_its_turn(process: Callable[[], Turns], tmp_path: Path) -> None:
    command = tied(sys.executable, "-c", TAKEN, str(tmp_path))
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"taken\n"
        other.kill()
    with process().take(alone=False):
        pass
