"""The large chaos run: python -m tests.chaos --minutes N --seed S --executions N; prints what was done and what was found."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from projections.execution_list import ExecutionList
from tests.chaos.afterwards import read_models_equal_a_rebuild, wait_for_the_end
from tests.chaos.checker import broken_promises, crowded, missed_or_doubled, read_log, read_order
from tests.chaos.harness import System
from tests.chaos.watcher import Watcher


def main() -> int:
    """0 when every promise held."""
    parser = argparse.ArgumentParser(prog="ops/chaos", description="Break everything for some minutes, then count.")
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--executions", type=int, default=1000, help="at least so many")
    wanted = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="tmc"))
    system = System(root, seed=wanted.seed)
    system.start()
    try:
        return _run(system, wanted.minutes * 60, wanted.seed, wanted.executions)
    finally:
        system.close()
        shutil.rmtree(root, ignore_errors=True)


def _run(system: System, seconds: float, seed: int, executions: int) -> int:
    begun, enough = time.monotonic(), threading.Event()
    options = {"pause": 0.03, "enough": enough}
    requesting = threading.Thread(target=system.request, args=(executions,), kwargs=options, daemon=True)
    requesting.start()
    watcher = Watcher(system.settings.database_url, seed)
    watcher.start()
    time.sleep(1.5)
    faults = [
        *[system.kill_worker] * 4,
        *[system.empty_valkey, system.restart_postgres, system.freeze_worker, system.freeze_projector, system.kill_projector],
        *[system.cut_connections, system.slow_connections, system.hide_stores],
        *[system.swallow_acknowledgement, system.repeat_deliveries],
    ]
    while time.monotonic() - begun < seconds:
        for fault in system.random.sample(faults, len(faults)):
            system.inject(fault)
            taken, name, proof = system.journal.faults[-1]
            print(f"{time.monotonic() - begun:7.1f} s  {name}: {proof} ({taken} s)", flush=True)
            time.sleep(0.5)
            if time.monotonic() - begun > seconds:
                break
    enough.set()
    requesting.join()
    pool = system.platform.readers("executions").pool
    wait_for_the_end(ExecutionList(pool), len(system.journal.accepted), 180)
    return _told(system, watcher, seed, time.monotonic() - begun)


def _told(system: System, watcher: Watcher, seed: int, seconds: float) -> int:
    recorded = read_log(system.settings.database_url)
    accepted = system.journal.read()
    wrong = broken_promises(recorded, accepted) + crowded(read_order(system.settings.database_url))
    names = Counter(name for events in recorded.values() for _, name, _ in events)
    read_models_equal_a_rebuild(system)
    watcher.finish()
    wrong += missed_or_doubled(recorded, watcher.seen)
    print(f"seed {seed}, {seconds:.0f} s, {len(system.journal.faults)} faults:")
    for name, count in sorted(Counter(name for _, name, _ in system.journal.faults).items()):
        print(f"  {count:4} {name}")
    print(f"{len(accepted)} accepted, {system.journal.refused} refused, {len(recorded)} recorded, {names['finished']} ended")
    print(f"{names['attempt_abandoned']} attempts or teardowns were lost, {names['teardown_given_up']} teardowns given up")
    print(f"the watcher saw {len(watcher.seen)} events by {watcher.connections} connections")
    print("read models equal a rebuild; broken promises: " + ("none" if not wrong else ""))
    for text in wrong:
        print(f"  {text}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
