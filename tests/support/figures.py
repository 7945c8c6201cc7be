"""Figures of docs/reliability.md: tests marked `row("R2")` measure a promise; the end of the run shows what they measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

_TOLD = pytest.StashKey[list[tuple[str, str]]]()
_ROWS = pytest.StashKey[dict[str, str]]()
Figure = Callable[[str], None]


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Figure:
    """Says what was measured; printed at the end of the run, whether the promise holds or not."""
    row = str(request.node.get_closest_marker("row").args[0])

    def tell(text: str) -> None:
        print(f"{row}: {text}")
        request.config.stash[_TOLD].append((row, text))

    return tell


def begin(config: pytest.Config) -> None:
    """Nothing is measured yet."""
    config.stash[_TOLD] = []
    config.stash[_ROWS] = {}


def collect(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Remember which test measures which row."""
    for item in items:
        for mark in item.iter_markers("row"):
            config.stash[_ROWS][item.nodeid] = str(mark.args[0])


def show(config: pytest.Config, terminal: Any) -> None:
    """The rows in order: how many tests held, and what was measured."""
    rows, told = config.stash[_ROWS], config.stash[_TOLD]
    if not told:
        return
    counts = {
        outcome: Counter(rows[report.nodeid] for report in terminal.stats.get(outcome, ()) if report.nodeid in rows)
        for outcome in ("passed", "failed", "error", "skipped")
    }
    terminal.section("figures of docs/reliability.md")
    for row in sorted(set(rows.values()), key=lambda row: int(row[1:])):
        outcomes = ", ".join(f"{count[row]} {outcome}" for outcome, count in counts.items() if count[row])
        if outcomes:
            terminal.line(f"{row}: {outcomes}")
        for _, text in (one for one in told if one[0] == row):
            terminal.line(f"    {text}")
