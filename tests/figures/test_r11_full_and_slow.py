"""R11: a full disk and a bad network lose nothing that was accepted."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest

from tests.chaos.afterwards import read_models_equal_a_rebuild, wait_for_the_end
from tests.chaos.checker import broken_promises, read_log
from tests.chaos.faults import Faults
from tests.chaos.harness import FLOW, System
from tests.chaos.nemesis import Nemesis, gently
from tests.chaos.trial import Trial, running
from tests.support.figures import Figure

pytestmark = [pytest.mark.row("R11"), pytest.mark.nightly]
REFUSALS, REFUSED, SEED = 30, 10, 11
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
    body = {"document": f"{FLOW}\n# {secrets.token_hex(60_000)}\n"}
    try:
        answer = http.post(system.path("/executions"), json=body)
    except httpx.TransportError as error:
        others.append(type(error).__name__)
        return 0, None
    assert answer.status_code in (202, 503), answer.text
    return answer.status_code, UUID(answer.json()["id"]) if answer.status_code == 202 else None


def test_without_a_free_connection_nothing_is_accepted_and_soon_after_there_is_one_everything_is(figure: Figure) -> None:
    with running(workers=1) as system, system.client(timeout=20.0) as http:
        url, accepted = system.settings.database_url, list[UUID]()
        for _ in range(20):
            accepted += _small_request(system, http)[1]
        with ExitStack() as hogs:
            taken = _every_connection(url, hogs)
            answers = [_small_request(system, http) for _ in range(REFUSED)]
        begun = time.monotonic()
        while not (answer := _small_request(system, http))[1]:
            assert time.monotonic() - begun < 120, "it does not go on"
        seconds = time.monotonic() - begun
        accepted += answer[1]
        wait_for_the_end(url, 120)
        log = read_log(url)
        figure(
            f"all {taken} connections taken for {sum(took for _, _, took in answers):.0f} s: {REFUSED} of {REFUSED} requests"
            f" refused with 503 after {max(took for _, _, took in answers):.1f} s at most; {len(accepted)} accepted before and"
            f" after, {len(accepted) - len(log)} lost; accepts {seconds:.1f} s after there were connections"
        )
        assert [status for status, _, _ in answers] == [503] * REFUSED
        assert set(log) == set(accepted)
        assert broken_promises(log, accepted) == []
        assert seconds <= 5.0
        assert read_models_equal_a_rebuild(system) > 0


def _small_request(system: System, http: httpx.Client) -> tuple[int, list[UUID], float]:
    """The status, the id if one was given, and the seconds that it took. Whoever is refused is told when to ask again."""
    begun = time.monotonic()
    answer = http.post(system.path("/executions"), json={"document": FLOW})
    assert answer.status_code in (202, 503), answer.text
    assert answer.status_code == 202 or int(answer.headers["Retry-After"]) >= 1
    return answer.status_code, [UUID(answer.json()["id"])] if answer.status_code == 202 else [], time.monotonic() - begun


def _every_connection(url: str, hogs: ExitStack) -> int:
    """Take what is free and cut off everybody else, until nobody has a connection but we; how many we have."""
    taken = list[psycopg.Connection[Any]]()
    others = "FROM pg_stat_activity WHERE backend_type = 'client backend' AND application_name <> 'hog'"
    end = time.monotonic() + 60
    while True:
        with suppress(psycopg.OperationalError):
            while True:
                one = psycopg.connect(url, autocommit=True, application_name="hog")
                taken.append(hogs.enter_context(one))
        row = taken[0].execute(f"SELECT count(pg_terminate_backend(pid)) {others}").fetchone()  # type: ignore[arg-type]
        if row == (0,):
            return len(taken)
        assert time.monotonic() < end, "others go on taking connections"


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
