"""A stop signal is seen however often it comes while it is waited for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
from interfaces.signals import StopSignal
stop = StopSignal()
print("ready", flush=True)
while not stop.wait(0.00001):
    pass
print("stopped", flush=True)
"""


def test_a_signal_in_any_moment_of_the_wait_ends_it() -> None:
    for _ in range(5):
        with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True, cwd=ROOT) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            child.terminate()
            out, _ = child.communicate(timeout=10)
            assert (out, child.returncode) == ("stopped\n", 0)
