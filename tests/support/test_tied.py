"""A tied process ends when the process that started it does, and is an ordinary child until then."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.tied import tied

ROOT = Path(__file__).parents[2]
PATIENCE = 20.0
PARENT = """
import subprocess, sys
from tests.support.tied import tied
held = int(sys.argv[1])
subprocess.Popen(tied(sys.executable, "-c", "import time; print('alive', flush=True); time.sleep(600)"),
                 pass_fds=[held], start_new_session=True)
sys.stdin.read()
"""


def test_it_ends_when_the_one_that_started_it_is_killed() -> None:
    ours, theirs = os.pipe()
    command = [sys.executable, "-c", PARENT, str(theirs)]
    with subprocess.Popen(command, cwd=ROOT, pass_fds=[theirs], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        os.close(theirs)
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"alive\n"
        parent.send_signal(signal.SIGKILL)
    readable, _, _ = select.select([ours], [], [], PATIENCE)
    assert readable, "it still holds its end of the pipe"
    assert os.read(ours, 1) == b""
    os.close(ours)


def test_it_has_the_process_id_and_the_exit_code_of_the_command() -> None:
    with subprocess.Popen(
        tied(sys.executable, "-c", "import os; print(os.getpid()); raise SystemExit(7)"), stdout=subprocess.PIPE, text=True
    ) as process:
        out, _ = process.communicate(timeout=PATIENCE)
    assert (int(out), process.returncode) == (process.pid, 7)


def test_it_takes_its_options_as_they_are() -> None:
    done = subprocess.run(tied("printf", "%s|", "-c", "a b", ""), capture_output=True, text=True, check=True, timeout=PATIENCE)
    assert done.stdout == "-c|a b||"
