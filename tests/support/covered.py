"""Measures which lines of the product this process runs: a plugin (`-p`), so that every process of a parallel run has it
before the first import of the product."""

from __future__ import annotations

from coverage import Coverage

measured = Coverage()
measured.start()


def pytest_unconfigure() -> None:
    """Write down what was run; `coverage combine` adds the processes up."""
    measured.stop()
    measured.save()
