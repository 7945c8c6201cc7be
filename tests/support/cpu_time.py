"""Bounds on the work that something costs, whatever else the machine does meanwhile."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """AssertionError when the block takes more than so many seconds of CPU time in this thread.

    The tracer of coverage does not look meanwhile: it makes a tight loop ten times slower, and what is measured is what users
    wait for. Not for what waits: sleeping costs nothing here."""
    tracer = sys.gettrace()
    sys.settrace(None)
    begun = time.thread_time()
    try:
        yield
        spent = time.thread_time() - begun
    finally:
        sys.settrace(tracer)
    assert spent < seconds, f"{spent:.2f} s of CPU time"
