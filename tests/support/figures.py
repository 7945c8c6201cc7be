"""Figures of docs/reliability.md: tests marked `row("R2")` measure a promise; the end of the run shows what they measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

_ROW, _FIGURE = "row", "figure"
"""Properties of a test's report, which come through from the other processes of a parallel run."""
_OUTCOMES = ("passed", "failed", "error", "skipped")
Figure = Callable[[str], None]


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Figure:
    """Says what was measured; printed at the end of the run, whether the promise holds or not."""
    row = str(request.node.get_closest_marker("row").args[0])

    def tell(text: str) -> None:
        print(f"{row}: {text}")
        request.node.user_properties.append((_FIGURE, (row, text)))

    return tell


def collect(items: list[pytest.Item]) -> None:
    """Remember which test measures which row."""
    for item in items:
        item.user_properties += [(_ROW, str(mark.args[0])) for mark in item.iter_markers("row")]


def show(terminal: Any) -> None:
    """The rows in order: how many tests held, and what was measured."""
    reports = [(outcome, report) for outcome in _OUTCOMES for report in terminal.stats.get(outcome, ())]
    told = [figure for _, report in reports if report.when == "call" for figure in _properties(report, _FIGURE)]
    if not told:
        return
    counts = Counter((row, outcome) for outcome, report in reports for row in _properties(report, _ROW))
    terminal.section("figures of docs/reliability.md")
    for row in sorted({row for row, _ in counts}, key=lambda row: int(row[1:])):
        terminal.line(
            f"{row}: {', '.join(f'{counts[row, outcome]} {outcome}' for outcome in _OUTCOMES if counts[row, outcome])}"
        )
        for _, text in (one for one in told if one[0] == row):
            terminal.line(f"    {text}")


def _properties(report: Any, name: str) -> list[Any]:
    """What a test has told under a name."""
    return [value for key, value in getattr(report, "user_properties", ()) if key == name]
