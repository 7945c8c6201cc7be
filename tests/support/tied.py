"""Commands that end with the tests: a run that is killed leaves no process behind."""

from __future__ import annotations

import os
import sys

_LAUNCHER = """
import ctypes, os, signal, sys
libc = ctypes.CDLL(None)
if hasattr(libc, "prctl"):
    libc.prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the tests that wanted this process are gone")
os.execvp(sys.argv[2], sys.argv[2:])
"""
"""1 is PR_SET_PDEATHSIG (prctl(2)), which outlives exec. No preexec_fn: Python code between fork and exec can hang where
there are threads."""


def tied(*command: str) -> list[str]:
    """The command line that runs a command which the kernel kills (on Linux) when the thread that starts it is gone, for
    whatever reason: start it in a thread that outlives it. It keeps its process id, its signals and its exit code."""
    return [sys.executable, "-ISc", _LAUNCHER, str(os.getpid()), *command]
