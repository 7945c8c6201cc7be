"""R11: a full disk and a bad network lose nothing that was accepted."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.chaos.afterwards import read_models_equal_a_rebuild, wait_for_the_end
from tests.chaos.checker import broken_promises, read_log
from tests.chaos.faults import Faults
from tests.chaos.harness import FLOW, System
from tests.chaos.nemesis import Nemesis, gently
from tests.chaos.trial import Trial, running
from tests.support.figures import Figure

pytestmark = [pytest.mark.row("R11"), pytest.mark.nightly]
REFUSALS, SEED = 30, 11
EXECUTIONS = int(os.environ.get("TESTMESH_TEST_EXECUTIONS", "1000"))


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A folder whose `postgres` is on a file system of 64 MiB."""
    root = Path(tempfile.mkdtemp(prefix="tmc"))
    disk = root / "postgres"
    disk.mkdir(mode=0o700)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m,mode=0700", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.decode().strip()}")
    yield root
    subprocess.run(["umount", "-l", str(disk)], check=True)
    shutil.rmtree(root, ignore_errors=True)


def test_a_disk_that_is_full_refuses_and_goes_on_by_itself_when_there_is_room(small_disk: Path, figure: Figure) -> None:
    with running(small_disk, workers=1) as system, system.client(timeout=20.0) as http:
        accepted, refused, others = [], 0, list[str]()
        while refused < REFUSALS:
            status, id = _request(system, http, others)
            accepted += [id] if status == 202 else []
            refused += status == 503
        free = os.statvfs(small_disk / "postgres").f_bavail * 4096
        subprocess.run(["mount", "-o", "remount,size=512m", str(small_disk / "postgres")], check=True)
        begun = time.monotonic()
        while (answer := _request(system, http, others))[0] != 202:
            assert time.monotonic() - begun < 120, "it does not go on"
            time.sleep(0.1)
        seconds = time.monotonic() - begun
        accepted.append(answer[1])
        wait_for_the_end(system.settings.database_url, 120)
        log = read_log(system.settings.database_url)
        figure(
            f"64 MiB filled up ({free:,} bytes left): {refused} refused with 503 ({len(others)} had no answer),"
            f" {len(accepted)} accepted, {len([id for id in accepted if id not in log])} of them lost; accepts"
            f" {seconds:.1f} s after there was room"
        )
        assert broken_promises(log, accepted) == []
        assert read_models_equal_a_rebuild(system) > 0


def _request(system: System, http: httpx.Client, others: list[str]) -> tuple[int, object]:
    """The status and the id; 0 for a connection that broke. What is asked for takes room that nothing compresses."""
    from uuid import UUID

    body = {"document": f"{FLOW}\n# {secrets.token_hex(60_000)}\n"}
    try:
        answer = http.post(system.path("/executions"), json=body)
    except httpx.TransportError as error:
        others.append(type(error).__name__)
        return 0, None
    assert answer.status_code in (202, 503), answer.text
    return answer.status_code, UUID(answer.json()["id"]) if answer.status_code == 202 else None


def test_a_network_with_late_and_broken_connections_loses_nothing_while_all_else_breaks_too(figure: Figure) -> None:
    with running(workers=4, seed=SEED, lease=15.0, heartbeat=5.0, concurrency=64, shards=3) as system:
        for proxy in system.proxies.values():
            proxy.delay, proxy.jitter, proxy.resets = 0.2, 0.1, 0.01
        faults, trial, begun = Faults(system, SEED), Trial(system, SEED), time.monotonic()
        nemesis = Nemesis(faults, gently(faults), SEED)
        trial.tells(faults)
        trial.start(EXECUTIONS)
        nemesis.start()
        while trial.under_way():
            time.sleep(0.5)
        unproved, wrong = nemesis.stop(), trial.judged(1800)
        proxies = system.proxies.values()
        figure(
            f"200 ms +- 100 ms and 1 % resets between the workers and both stores, {time.monotonic() - begun:.0f} s,"
            f" {sum(p.delayed for p in proxies):,} pieces late, {sum(p.broken for p in proxies):,} connections broken; "
            + "; ".join(line.strip() for line in trial.told(faults))
        )
        assert (wrong, unproved) == ([], [])
        assert len(trial.clients.journal.read()) == EXECUTIONS
