"""R10: without the queue requests are accepted all the same, and run when it is back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import datetime
from statistics import quantiles

import pytest

from interfaces.adapters.embedded import is_alive
from tests.chaos.afterwards import wait_for_the_end
from tests.chaos.checker import broken_promises, read_log
from tests.chaos.clients import Clients
from tests.chaos.harness import DATABASE, QUEUE, System, until
from tests.chaos.trial import running
from tests.support.figures import Figure

pytestmark = [pytest.mark.row("R10"), pytest.mark.nightly]
WITH, WITHOUT = 30.0, 60.0
"""The same load for so long with the queue, before and after so long without it. Seconds."""


def test_sixty_seconds_without_valkey_cost_time_and_nothing_else(figure: Figure) -> None:
    with running(workers=2, concurrency=16) as system:
        url, kept, pid = system.settings.database_url, system.kept[QUEUE], system.valkey.pid
        _load(system, 100, 5.0)
        before = _load(system, 110, WITH)
        kept.keep_down()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        until(lambda: not is_alive(pid), "Valkey to die")
        clients = _load(system, 120, WITHOUT)
        assert set(clients.answers) <= {"202", "again"}, clients.answers
        missing = list(clients.journal.read().values())
        told = _doctor(system)
        kept.down = False
        until(system.valkey.alive, "Valkey to come back", 30)
        returned = time.time()
        wait_for_the_end(url, 120)
        after = _load(system, 130, WITH)
        wait_for_the_end(url, 120)
        log = read_log(url)
        back = [_started(log[id]) - returned for id in missing]
        normal, without = before.times + after.times, clients.times
        accepted = [*missing, *before.journal.read().values(), *after.journal.read().values()]
        normal99, without99 = (quantiles(times, n=100)[98] for times in (normal, without))
        figure(
            f"{len(without):,} requests in {WITHOUT:.0f} s at a stretch without Valkey, all accepted; p99"
            f" {without99 * 1000:.0f} ms, with it {normal99 * 1000:.0f} ms ({without99 / normal99:.2f} times); the last started"
            f" {max(back):.1f} s after its return; doctor says: {told}"
        )
        assert broken_promises(log, accepted) == []
        assert without99 <= 1.2 * normal99
        assert max(back) <= 10.0
        assert told.startswith("problem")


def _load(system: System, seed: int, seconds: float) -> Clients:
    """Two clients, some ten requests a second."""
    clients = Clients(system, seed=seed, count=2)
    clients.start(1_000_000, pause=0.2)
    time.sleep(seconds)
    clients.stop()
    clients.join()
    return clients


def _started(events: list[tuple[int, str, dict[str, object]]]) -> float:
    return next(datetime.fromisoformat(str(f["timestamp"])).timestamp() for _, name, f in events if name == "attempt_started")


def _doctor(system: System) -> str:
    """The problem that doctor finds."""
    environ = {**os.environ, **system.urls, "TESTMESH_KEY_FILE": system.settings.key_file}
    argv = [sys.executable, "-m", "interfaces.cli.main", "doctor"]
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert DATABASE in environ
    return next((line for line in done.stdout.splitlines() if line.startswith("problem") and "redis" in line), done.stdout)
