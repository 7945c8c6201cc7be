"""The report of a run: a table on the terminal, and docs/performance.md."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable, Sequence
from importlib.metadata import version

from tests.benchmarks.ratios import Benchmark, Row

_HEAD = """# Performance

Written by `python -m tests.benchmarks --write`. Absolute figures drift from machine to machine and from hour to hour, so what
stands here are ratios: ours and the other are measured in turns (A B B A ...) in one run, and the median of the rounds' ratios
is given with its least and greatest. `n` is the number of rounds. A missed goal is said in plain words.
"""


def line(row: Row) -> str:
    """A row for the terminal."""
    low, high = row.spread
    goal = f"goal {row.goal} {'met' if row.is_met else 'MISSED'}" if row.goal else ""
    ratio = f"{number(row.value)}{row.unit}"
    return (
        f"  {ratio:>9}  [{number(low)} .. {number(high)}] n={len(row.samples):<4} {row.what} / {row.against}  {goal}".rstrip()
    )


def number(value: float) -> str:
    """Three figures, never an exponent."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def page(benchmarks: Iterable[Benchmark], postgres: str, quick: bool) -> str:
    """The Markdown of all rows, with the machine in general terms."""
    parts = [_HEAD, _machine(postgres, quick)]
    found = list(benchmarks)
    parts.append(_missed([row for benchmark in found for row in benchmark.rows]))
    for benchmark in found:
        parts.append(f"## {benchmark.title}\n\n{benchmark.how}\n\n{_table(benchmark.rows)}")
    return "\n".join(parts)


def _machine(postgres: str, quick: bool) -> str:
    size = "a quick run (few rounds)" if quick else "a full run"
    return (
        f"Measured on {os.cpu_count()} shared cores, Python {platform.python_version()}, PostgreSQL {postgres} with fsync on,"
        f" aiohttp {version('aiohttp')}, httpx {version('httpx')}, eventsourcing {version('eventsourcing')}; {size}.\n"
    )


def _missed(rows: Sequence[Row]) -> str:
    goals = [row for row in rows if row.goal]
    missed = [row for row in goals if not row.is_met]
    if not missed:
        return f"All {len(goals)} goals below are met.\n"
    told = [f"- {row.what}, against {row.against}: {_figure(row)}, the goal is {row.goal}{row.unit}." for row in missed]
    return f"{len(goals) - len(missed)} of {len(goals)} goals are met. Missed:\n\n" + "\n".join(told) + "\n"


def _figure(row: Row) -> str:
    return f"{number(row.value)}{' ' + row.unit if row.unit else ''}"


def _table(rows: Sequence[Row]) -> str:
    lines = ["| what | against | ratio | least - greatest | n | goal | met |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        low, high = row.spread
        met = "" if row.goal is None else "yes" if row.is_met else "**no**"
        goal = str(row.goal) if row.goal else ""
        spread = f"{number(low)} - {number(high)}"
        lines.append(f"| {row.what} | {row.against} | {_figure(row)} | {spread} | {len(row.samples)} | {goal} | {met} |")
    return "\n".join(lines) + "\n"


def release(text: str) -> str:
    """The version number in what a server says about itself."""
    found = re.match(r"[\d.]+", text)
    return found[0] if found else text
