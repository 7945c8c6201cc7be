"""Local runs: many small HTTP flows in one process, against a plain httpx script that does the same."""

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
STEP = """    - id: s{n}
      action: http_request
      config: {{method: GET, url: "{url}"}}
      assert: [status == 200, "body.name == 'teapot'"]
      output: {{id{n}: $.id}}
"""
PEER = """
import asyncio, sys, httpx

async def flow(client, url):
    for _ in range(10):
        answer = await client.get(url)
        body = answer.json()
        assert answer.status_code == 200 and body["name"] == "teapot"
        found = body["id"]

async def main(url, flows):
    slots = asyncio.Semaphore(8)
    async with httpx.AsyncClient() as client:
        async def one():
            async with slots:
                await flow(client, url)
        await asyncio.gather(*(one() for _ in range(flows)))

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


def _seconds(*arguments: str, cores: int = 1) -> float:
    """Wall time of a process on the first cores alone."""
    pinned = set(sorted(os.sched_getaffinity(0))[:cores])
    begun = time.perf_counter()
    subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        check=True,
        capture_output=True,
        preexec_fn=lambda: os.sched_setaffinity(0, pinned),
    )
    return time.perf_counter() - begun


def measure(quick: bool) -> Iterator[Row]:
    """Ratios of wall time."""
    count = 40 if quick else 200
    with tempfile.TemporaryDirectory() as folder, serving() as url:
        for number in range(count):
            steps = "".join(STEP.format(n=n, url=url) for n in range(10))
            (Path(folder) / f"f{number}.yaml").write_text(f"flow:\n  name: flow {number}\n  steps:\n{steps}")
        ours = ("-m", "interfaces.cli.main", "run", "-q", "-j", "8", folder)
        samples = in_turns(lambda: _seconds(*ours), lambda: _seconds("-c", PEER, url, str(count)), 1 if quick else 5)
        yield Row(f"{count} flows of 10 GET steps, -j 8", "a plain httpx script, 8 at a time", samples, at_most(0.7))
        samples = in_turns(lambda: _seconds(*ours, cores=2), lambda: _seconds("-c", PEER, url, str(count)), 1 if quick else 5)
        yield Row(
            f"{count} flows of 10 GET steps, -j 8, two cores", "a plain httpx script, 8 at a time", samples, at_most(0.45)
        )


BENCHMARK = Benchmark(
    "local_run",
    "Local runs",
    "Each step has two assertions and one extraction. Whole processes, start-up included, both pinned to one core; the"
    " server has the other. With two cores a run has two processes, and shares one core with the server.",
    measure,
)
