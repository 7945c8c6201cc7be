"""Start-up: whole processes of the command line against a Python that does nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.local_server import serving
from tests.benchmarks.ratios import Benchmark, Row, at_most, in_turns

ROOT = Path(__file__).resolve().parents[2]
LOG = "flow:\n  name: log\n  steps:\n    - {action: log, config: {message: hello}}\n"
HTTP = (
    "flow:\n  name: http\n  steps:\n    - {action: http_request, config: {method: GET, url: 'URL'}, assert: [status == 200]}\n"
)

_COMPILING = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""As in an installed system, modules are compiled once, by the round that warms up."""


def _seconds(*arguments: str) -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=ROOT, env=_COMPILING, check=True, capture_output=True)
    return time.perf_counter() - begun


def measure(quick: bool) -> Iterator[Row]:
    """Ratios of wall time."""
    program = ("-m", "interfaces.cli.main")
    with tempfile.TemporaryDirectory() as folder, serving() as url:
        log, http = Path(folder) / "log.yaml", Path(folder) / "http.yaml"
        log.write_text(LOG)
        http.write_text(HTTP.replace("URL", url))
        for what, arguments, goal in (
            ("testmesh --help", ("--help",), 4.5),
            ("testmesh validate of one file", ("validate", str(log)), 10.0),
            ("testmesh run of one log step", ("run", "-q", str(log)), 12.0),
            ("testmesh run of one HTTP step", ("run", "-q", str(http)), 40.0),
        ):
            samples = in_turns(lambda a=arguments: _seconds(*program, *a), lambda: _seconds("-c", "pass"), 3 if quick else 15)
            yield Row(what, "python -c pass", samples, at_most(goal))


BENCHMARK = Benchmark(
    "startup", "Start-up", "Whole processes, from their start to their end, files in the page cache.", measure
)
