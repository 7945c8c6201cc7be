"""The nemesis: each fault in its own rhythm, beside the others, until it is told to stop. A seed gives order and phases."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence

from tests.chaos.faults import Faults

Fault = Callable[[], str]


class Nemesis:
    """A thread a rhythm: one of its faults each period, in an order of its own, all of them before one comes again."""

    def __init__(self, faults: Faults, rhythms: Sequence[tuple[float, Sequence[Fault]]], seed: int) -> None:
        """`rhythms` are (seconds, faults)."""
        self._faults = faults
        self._stop = threading.Event()
        self.failed: list[str] = []
        """Faults that could not be proved."""
        self._threads = [
            threading.Thread(target=self._run, args=(period, chosen, random.Random(f"{seed}-{number}")), daemon=True)
            for number, (period, chosen) in enumerate(rhythms)
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> list[str]:
        """End; what is under way comes to its end. The faults that could not be proved."""
        self._stop.set()
        for thread in self._threads:
            thread.join(120)
        return self.failed

    def _run(self, period: float, chosen: Sequence[Fault], dice: random.Random) -> None:
        due, left = time.monotonic() + dice.random() * period, list[Fault]()
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            left = left or dice.sample(chosen, len(chosen))
            fault = left.pop()
            try:
                self._faults.inject(fault)
            except Exception as error:
                if not self._stop.is_set():
                    self.failed.append(f"{fault.__name__}: {type(error).__name__}: {error}")
            due = max(due + period, time.monotonic())


Rhythms = list[tuple[float, Sequence[Fault]]]


def gently(faults: Faults) -> Rhythms:
    """What is done beside a network that is bad already, or a restart that goes on all the time: some of everything."""
    return [
        (20.0, [faults.kill_worker]),
        (60.0, [faults.kill_projector, faults.kill_scheduler, faults.kill_api]),
        (60.0, [faults.empty_valkey, faults.wipe_valkey]),
        (90.0, [faults.crash_postgres, faults.restart_postgres]),
        (45.0, [faults.repeat_deliveries, faults.reorder_deliveries, faults.garbage]),
    ]


def as_promised(faults: Faults) -> Rhythms:
    """What the row R1 of the promises asks for, and every other fault beside."""
    others = [
        faults.freeze_projector,
        faults.freeze_worker_and_projector,
        faults.freeze_scheduler,
        faults.freeze_api,
        faults.cut_connections,
        faults.slow_connections,
        faults.hide_stores,
        faults.swallow_acknowledgement,
        faults.swallow_acceptance,
        faults.repeat_deliveries,
        faults.reorder_deliveries,
        faults.garbage,
    ]
    return [
        (2.0, [faults.kill_worker]),
        (15.0, [faults.freeze_worker]),
        (30.0, [faults.crash_postgres, faults.restart_postgres]),
        (20.0, [faults.empty_valkey, faults.wipe_valkey]),
        (13.0, [faults.kill_projector]),
        (13.0, [faults.kill_scheduler]),
        (13.0, [faults.kill_api]),
        (10.0, others),
        (25.0, [faults.jump_clock]),
        (60.0, [faults.restart_in_turn]),
        (30.0, [faults.fill_disk, faults.crash_postgres_on_full_disk]),
    ]
