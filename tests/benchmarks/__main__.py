"""Runs benchmarks: `python -m tests.benchmarks [names...] [--quick] [--write]`; all of them without names."""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from pathlib import Path

from tests.benchmarks.ratios import Benchmark
from tests.benchmarks.report import line, page
from tests.benchmarks.servers import postgres_release

NAMES = ("append", "projection", "dispatch", "local_run", "peers", "startup", "masking")
PAGE = Path(__file__).resolve().parents[2] / "docs" / "performance.md"


def main() -> int:
    """Measure, print, and with --write keep the page. 0 even when a goal is missed: these are no tests."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    parser.add_argument("names", nargs="*", help=f"of {', '.join(NAMES)}; all by default")
    parser.add_argument("--quick", action="store_true", help="few rounds, under a minute")
    parser.add_argument("--write", action="store_true", help="write docs/performance.md (all benchmarks only)")
    options = parser.parse_args()
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    if options.write and options.names:
        parser.error("--write needs all benchmarks: the page is one run")
    begun = time.monotonic()
    measured = [_measured(name, options.quick) for name in options.names or NAMES]
    print(f"{time.monotonic() - begun:.0f} s in all")
    if options.write:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(page(measured, postgres_release(), options.quick))
        print("docs/performance.md is written")
    return 0


def _measured(name: str, quick: bool) -> Benchmark:
    benchmark: Benchmark = importlib.import_module(f"tests.benchmarks.bench_{name}").BENCHMARK
    print(f"{benchmark.title} ({name})")
    for row in benchmark.measure(quick):
        benchmark.rows.append(row)
        print(line(row), flush=True)
    return benchmark


if __name__ == "__main__":
    sys.exit(main())
