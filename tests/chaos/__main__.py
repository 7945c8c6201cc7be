"""The large chaos run: python -m tests.chaos --executions N --seed S --minutes N; prints what was done and what was found."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.faults import Faults
from tests.chaos.harness import System
from tests.chaos.nemesis import Nemesis, as_promised
from tests.chaos.trial import Trial, large, small_disk


def main() -> int:
    """0 when every promise held."""
    parser = argparse.ArgumentParser(prog="ops/chaos", description="Break everything for some minutes, then count.")
    parser.add_argument("--minutes", type=float, default=0.0, help="at least so long")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--executions", type=int, default=1000, help="so many are requested, and more while it lasts")
    parser.add_argument("--workers", type=int, default=4)
    wanted = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # what was started and mounted ends too
    root = Path(tempfile.mkdtemp(prefix="tmc"))
    with (
        small_disk(root, lambda text: print(text, flush=True)) as disk,
        large(root, workers=wanted.workers, seed=wanted.seed, disk=disk) as system,
    ):
        return _run(system, wanted)


def _run(system: System, wanted: argparse.Namespace) -> int:
    begun, load = time.monotonic(), os.getloadavg()[0]
    faults = Faults(system, wanted.seed, told=lambda text: print(text, flush=True))
    nemesis = Nemesis(faults, as_promised(faults), wanted.seed)
    trial = Trial(system, wanted.seed, clients=6)
    trial.tells(faults)
    trial.start(wanted.executions, suites=max(2, wanted.executions // 500), rows=20)
    nemesis.start()
    while time.monotonic() - begun < wanted.minutes * 60 or trial.under_way():
        system.check()
        time.sleep(1.0)
    unproved = nemesis.stop()
    lasted = time.monotonic() - begun
    wrong = trial.judged(300)
    print(f"seed {wanted.seed}, faults for {lasted:.0f} s, load of the machine before it {load:.1f}")
    print("\n".join(trial.told(faults)))
    print("faults that could not be proved: " + ("; ".join(unproved) or "none"))
    print("broken promises: " + ("none" if not wrong else ""))
    for text in wrong:
        print(f"  {text}")
    return 1 if wrong or unproved else 0


if __name__ == "__main__":
    sys.exit(main())
