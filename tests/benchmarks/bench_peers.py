"""The same small HTTP flows by us and by other tools, whole processes in turns. The tools are installed for this from PyPI and
npm; one that cannot be had is left out, and it is said."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.bench_local_run import ROOT, STEP
from tests.benchmarks.local_server import serving
from tests.benchmarks.ratios import Benchmark, Row, at_most, in_turns

STEPS = 10
_SILENT = {"STEPCI_DISABLE_ANALYTICS": "1", "DO_NOT_TRACK": "1"}
"""Nothing but the requests to the local server may leave these processes."""
TAVERN_STAGE = """  - name: s{n}
    request: {{method: GET, url: "{url}"}}
    response:
      status_code: 200
      json: {{name: teapot, id: 7, items: [1, 2, 3]}}
      save: {{json: {{id{n}: id}}}}
"""


def measure(quick: bool) -> Iterator[Row]:
    """Ratios of wall time, ours over theirs; both on the first core, the server on the other."""
    flows = 20 if quick else 200
    rounds = 1 if quick else 3
    with tempfile.TemporaryDirectory() as folder, serving() as url:
        home = Path(folder)
        ours = _ours(home / "ours", flows, url)
        for name, install in (("Tavern", _tavern), ("StepCI", _stepci), ("Newman", _newman)):
            try:
                theirs = install(home / name, flows, url)
            except (OSError, subprocess.CalledProcessError) as error:
                print(f"{name} is left out: {error}", file=sys.stderr)
                continue
            samples = in_turns(lambda: _seconds(ours, home), lambda argv=theirs: _seconds(argv, home), rounds)  # type: ignore[misc]
            yield Row(f"{flows} flows of {STEPS} GET steps, -j 8", name, samples, at_most(1.0))


def _seconds(argv: Sequence[str], folder: Path) -> float:
    begun = time.perf_counter()
    pin: Callable[[], None] = lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # noqa: E731
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", **_SILENT}
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, preexec_fn=pin, env=environ, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return time.perf_counter() - begun


def _ours(folder: Path, flows: int, url: str) -> list[str]:
    folder.mkdir()
    for number in range(flows):
        steps = "".join(STEP.format(n=n, url=url) for n in range(STEPS))
        (folder / f"f{number}.yaml").write_text(f"flow:\n  name: flow {number}\n  steps:\n{steps}")
    return [sys.executable, "-m", "interfaces.cli.main", "run", "-q", "-j", "8", str(folder)]


def _tavern(folder: Path, flows: int, url: str) -> list[str]:
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True, capture_output=True)
    subprocess.run(
        [str(folder / "bin/python"), "-m", "pip", "install", "-q", "tavern", "pytest<9"], check=True, capture_output=True
    )
    tests = folder / "tests"
    tests.mkdir()
    for number in range(flows):
        stages = "".join(TAVERN_STAGE.format(n=n, url=url) for n in range(STEPS))
        (tests / f"test_{number}.tavern.yaml").write_text(f"test_name: flow {number}\nstages:\n{stages}")
    return [str(folder / "bin/python"), "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tests)]


def _npm(folder: Path, package: str) -> None:
    if shutil.which("npm") is None:
        raise FileNotFoundError("npm is not on PATH")
    folder.mkdir()
    subprocess.run(
        ["npm", "install", "--silent", "--no-audit", "--no-fund", package], cwd=folder, check=True, capture_output=True
    )


def _stepci(folder: Path, flows: int, url: str) -> list[str]:
    _npm(folder, "stepci@2")
    step = {
        "name": "get",
        "http": {
            "url": url,
            "method": "GET",
            "check": {"status": 200, "jsonpath": {"$.name": "teapot"}},
            "captures": {"id": {"jsonpath": "$.id"}},
        },
    }
    tests = {f"t{number}": {"steps": [step] * STEPS} for number in range(flows)}
    body = {"version": "1.1", "name": "flows", "config": {"concurrency": 8}, "tests": tests}
    (folder / "workflow.yml").write_text(json.dumps(body))
    return ["node", str(folder / "node_modules/.bin/stepci"), "run", str(folder / "workflow.yml")]


def _newman(folder: Path, flows: int, url: str) -> list[str]:
    _npm(folder, "newman@6")
    script = [
        "pm.test('status', () => pm.response.to.have.status(200));",
        "pm.test('name', () => pm.expect(pm.response.json().name).to.eql('teapot'));",
        "pm.collectionVariables.set('id', pm.response.json().id);",
    ]
    request: dict[str, Any] = {"method": "GET", "url": url}
    item = {"name": "get", "request": request, "event": [{"listen": "test", "script": {"exec": script}}]}
    body = {
        "info": {"name": "flows", "schema": "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"},
        "item": [{"name": f"flow {number}", "item": [item] * STEPS} for number in range(flows)],
    }
    (folder / "collection.json").write_text(json.dumps(body))
    return ["node", str(folder / "node_modules/.bin/newman"), "run", str(folder / "collection.json"), "--silent"]


BENCHMARK = Benchmark(
    "peers",
    "Other tools",
    "The same requests, assertions and extractions by other tools, at the concurrency that each has (Newman has none). Whole"
    " processes on one core, start-up included; the server has the other.",
    measure,
)
