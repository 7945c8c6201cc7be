"""What all faults share: the system, the list of what was done, and how long one waits for something to break."""

from __future__ import annotations

import contextlib
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg_pool import PoolTimeout

from domain.errors import Refusal
from interfaces.supervisor import Role
from tests.chaos.harness import System, until

LOOK_SECONDS = 2.0
"""How often one who waits for something to break looks whether anything is left to break."""


@dataclass(frozen=True, slots=True)
class Done:
    """A fault that happened: seconds that it took, name, proof."""

    seconds: float
    name: str
    proof: str


class NothingToBreak(Exception):
    """The fault needs work that is over, or a machine that lets it; it was not done. The text says which."""


class Breaking:
    """A system that is broken, and what was done to it. Faults are methods that return when they have happened, with their
    proof; a fault that cannot be proved raises AssertionError."""

    def __init__(self, system: System, seed: int = 1, told: Callable[[str], None] = lambda text: None) -> None:
        self.system = system
        self.done: list[Done] = []
        self.untried: Counter[str] = Counter()
        """Faults that were due and not done, with the reason, and how often."""
        self.touched: Counter[str] = Counter()
        """How many entries of the queue each fault of the queue has touched."""
        self.requesting: Callable[[], bool] = lambda: True
        """Whether clients still request something."""
        self.under_way: Callable[[], bool] = lambda: True
        """Whether there is enough under way for a fault to hit something."""
        self._random = random.Random(seed)
        self._told = told
        self._begun = time.monotonic()
        self._worker = threading.Lock()
        self._stores = threading.Lock()

    def inject(self, fault: Callable[[], str]) -> None:
        """Do it, and keep its proof; or keep why there was nothing to do."""
        begun = time.monotonic()
        try:
            proof = fault()
        except NothingToBreak as reason:
            self.untried[f"{fault.__name__} ({reason})"] += 1
            return
        taken = round(time.monotonic() - begun, 2)
        self.done.append(Done(taken, fault.__name__, proof))
        self._told(f"{begun - self._begun:7.1f} s  {fault.__name__}: {proof} ({taken} s)")

    def _until(self, holds: Callable[[], bool], what: str, seconds: float) -> None:
        """Wait for something to break. NothingToBreak once too little is under way; AssertionError when there was enough."""
        look = time.monotonic() + LOOK_SECONDS

        def holds_or_is_over() -> bool:
            nonlocal look
            if holds():
                return True
            if time.monotonic() > look:
                look = time.monotonic() + LOOK_SECONDS
                if not self.under_way():
                    raise NothingToBreak(f"too little was under way for {what}")
            return False

        until(holds_or_is_over, what, seconds)

    @property
    def _pool(self) -> Any:
        return self.system.platform.readers("executions").pool

    def _head(self) -> int:
        """The newest position, once PostgreSQL answers."""
        found: list[int] = []

        def look() -> bool:
            with contextlib.suppress(psycopg.Error, Refusal):
                found[:] = [self.system.platform.logs["executions"].head()]
            return bool(found)

        until(look, "PostgreSQL to answer", 60)
        return found[0]

    def _busy_worker(self) -> tuple[Role, int]:
        """A worker that holds leases now, and how many: a fault that hits an idle one proves nothing."""
        found: list[tuple[Role, int]] = []

        def look() -> bool:
            found[:] = [(role, held) for role in self.system.workers if (held := self._held(role))]
            return bool(found)

        self._until(look, "a worker to have work", 60)
        return self._random.choice(found)

    def _held(self, role: Role) -> int:
        """How many executions the present process of a role has claimed; its log says what it is called."""
        names = incarnations(self.system, role)
        process = role.process
        if not names or process is None or process.poll() is not None or state_of(process.pid) == "T":
            return 0
        try:
            with self._pool.connection(timeout=1.0) as connection:
                sql = "SELECT count(*) FROM executions.leases WHERE worker = %s"
                row = connection.execute(sql, (names[-1],)).fetchone()
        except (psycopg.Error, PoolTimeout):
            return 0
        return int(row[0]) if row else 0


def incarnations(system: System, role: Role) -> list[str]:
    """The names of the processes that a worker has been so far; its log says them, and those of its children, which do one
    execution at a time."""
    path = system.root / "logs" / f"{role.name}.log"
    return re.findall(r"worker (\w+) is ready for (?!1 )", path.read_text(errors="replace")) if path.exists() else []


def pid_of(role: Role) -> int:
    """The process id of a role that runs, once it does."""
    found: list[int] = []

    def look() -> bool:
        process = role.process
        found[:] = [process.pid] if process is not None and process.poll() is None else []
        return bool(found)

    until(look, f"{role.name} to run", 30)
    return found[0]


def state_of(pid: int) -> str:
    """As the kernel names it; X when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"
