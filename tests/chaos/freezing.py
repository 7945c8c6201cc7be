"""Rounds in which a busy worker is frozen past its lease, replaced, and goes on; only what is proved is counted."""

from __future__ import annotations

import os
import random
import re
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any
from uuid import UUID

import orjson
import psycopg

from interfaces.supervisor import Role
from tests.chaos.faults import incarnations, pid_of, state_of
from tests.chaos.harness import System, until

FROZEN_SECONDS = 8.0
"""Less than the ten after which a worker whose loop stands still ends itself: it is to try what it may no longer do."""
HELD_SECONDS = 6.0
"""A freeze goes on for up to so long though all is taken over. After five the heartbeat waits until the loop has moved, so that
the old attempts write before they are told; after less either may be first."""
ON_ITS_WAY_SECONDS = 0.5
"""A commit that was on its way to the database when its worker was frozen arrives all the same."""
TELL_SECONDS = 15.0
"""How long an attempt may take, after its worker goes on, to notice that it was replaced."""
_SAID = re.compile(r"WARNING testmesh\.attempts: execution ([0-9a-f-]{36}): (.*)")
_TOLD = "has lost its lease"
"""What an attempt says whose worker's heartbeat noticed first; else its append was refused."""


@dataclass(frozen=True, slots=True)
class Held:
    """An attempt, and the worker that held its lease when it was frozen."""

    execution: UUID
    attempt: int
    worker: str


class Freezing:
    """The rounds, and what they have proved."""

    def __init__(self, system: System, seed: int) -> None:
        self._system = system
        self._dice = random.Random(seed)
        self._watch = psycopg.connect(system.settings.database_url, autocommit=True)
        self.fenced: dict[Held, str] = {}
        """Held when frozen, taken over by another before its worker went on, and what the old attempt said then."""
        self.never: list[Held] = []
        """Taken over as well, but the old attempt said nothing although its worker lives."""
        self.seconds: list[float] = []
        """How long each freeze took that is counted."""
        self.unproved = 0
        """Rounds after which the frozen worker was not there any more."""
        self.not_taken_over = 0
        """Attempts that nobody had taken over when their worker went on; they are not counted."""

    def __enter__(self) -> Freezing:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._watch.close()

    def told(self) -> str:
        """In words."""
        told = sum(_TOLD in text for text in self.fenced.values())
        return (
            f"{len(self.fenced):,} attempts frozen for {min(self.seconds):.1f} to {max(self.seconds):.1f} s in"
            f" {len(self.seconds)} rounds, taken over, resumed ({self.unproved} rounds are not counted, nor"
            f" {self.not_taken_over} attempts that nobody had taken over by then): {len(self.fenced) - told:,} ended by a"
            f" refused append, {told:,} by the heartbeat, {len(self.never)} did not notice"
        )

    def round(self, at_least: int) -> None:
        """Freeze the worker that holds the most attempts, which have to be so many; returns when it has noticed."""
        role, worker = self._busiest(at_least)
        time.sleep(self._dice.uniform(0.0, 0.5))  # not always at the same place of a step
        pid, log = pid_of(role), self._system.root / "logs" / f"{role.name}.log"
        os.kill(pid, signal.SIGSTOP)
        begun = time.monotonic()
        try:
            until(lambda: state_of(pid) == "T", "the worker to stand still")
            replaced = self._replaced(worker, begun)
        finally:
            still, size = state_of(pid) == "T", log.stat().st_size
            os.kill(pid, signal.SIGCONT)
        self._judge(replaced, log, size, pid if still else 0, time.monotonic() - begun)

    def leases(self) -> list[UUID]:
        """What is still leased to workers that were frozen."""
        names = [held.worker for held in self.fenced]
        sql = "SELECT execution FROM executions.leases WHERE worker = ANY(%s)"
        return [row[0] for row in self._watch.execute(sql, (names,)).fetchall()]

    def _busiest(self, at_least: int) -> tuple[Role, str]:
        found: list[tuple[int, int, str]] = []

        def look() -> bool:
            names = [(incarnations(self._system, role) or [""])[-1] for role in self._system.workers]
            found[:] = [(len(self._held(name)), number, name) for number, name in enumerate(names)]
            return max(found)[0] >= at_least

        until(look, f"a worker to hold {at_least} attempts", 60)
        _, number, name = max(found)
        return self._system.workers[number], name

    def _held(self, worker: str) -> list[Held]:
        sql = "SELECT execution, attempt FROM executions.leases WHERE worker = %s AND kind = 'attempt'"
        return [Held(id, attempt, worker) for id, attempt in self._watch.execute(sql, (worker,)).fetchall()]

    def _replaced(self, worker: str, begun: float) -> list[Held]:
        """Those of the frozen worker's attempts that another has taken over; that is waited for as long as a worker may stand
        still without ending itself."""
        time.sleep(ON_ITS_WAY_SECONDS)
        held = self._held(worker)
        until(lambda: not self._held(worker), "the attempts to be taken from it", 60)
        taken: list[Held] = []

        def all_taken() -> bool:
            taken[:] = self._taken_over(held)
            return len(taken) == len(held) or time.monotonic() - begun > FROZEN_SECONDS

        until(all_taken, "another to take them over", 60)
        time.sleep(max(0.0, begun + self._dice.uniform(0.0, HELD_SECONDS) - time.monotonic()))
        self.not_taken_over += len(held) - len(taken)
        return taken

    def _taken_over(self, held: list[Held]) -> list[Held]:
        """Of these, as the event log has it: begun by the worker, taken from it for its silence, and then begun by another."""
        sql = (
            "SELECT originator_id, topic, state FROM executions.events WHERE originator_id = ANY(%s) AND topic = ANY(%s)"
            " ORDER BY originator_id, originator_version"
        )
        topics = [f"execution.{name}" for name in ("attempt_started", "attempt_abandoned", "teardown_started")]
        events: dict[UUID, list[tuple[str, dict[str, Any]]]] = {}
        for id, topic, state in self._watch.execute(sql, ([one.execution for one in held], topics)).fetchall():
            events.setdefault(id, []).append((topic.removeprefix("execution."), orjson.loads(bytes(state))))
        return [one for one in held if _is_taken_over(one, events.get(one.execution, []))]

    def _judge(self, replaced: list[Held], log: Path, size: int, pid: int, seconds: float) -> None:
        """Wait for what the old attempts say, which stands in the log of their worker behind `size`."""
        said: dict[UUID, str] = {}

        def all_said() -> bool:
            with log.open("rb") as file:
                file.seek(size)
                text = file.read().decode(errors="replace")
            said.update((UUID(id), words) for id, words in _SAID.findall(text))
            return said.keys() >= {held.execution for held in replaced} or state_of(pid) in "ZX"

        try:
            until(all_said, "the old attempts to notice", TELL_SECONDS)
        except AssertionError:
            self.never += [held for held in replaced if held.execution not in said]
        if state_of(pid) in "ZX":
            self.unproved += 1
            return
        self.seconds.append(seconds)
        self.fenced.update((held, said[held.execution]) for held in replaced if held.execution in said)


def _is_taken_over(held: Held, events: list[tuple[str, dict[str, Any]]]) -> bool:
    begun = lost = False
    for name, fields in events:
        if name == "attempt_started" and (fields["attempt"], fields["worker"]) == (held.attempt, held.worker):
            begun = True
        elif name == "attempt_abandoned" and fields["attempt"] == held.attempt:
            lost = begun and fields["why"] == "worker_lost"
        elif lost and fields.get("worker") not in (None, held.worker):
            return True
    return False
