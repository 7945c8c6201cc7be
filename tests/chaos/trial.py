"""A trial: a system, clients, schedules and a watcher; faults in between; and the judgement afterwards."""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

from tests.chaos.afterwards import (
    differs_from_the_keys,
    events_as_sealed,
    read_models_equal_a_rebuild,
    scheduled,
    unfinished,
    wait_for_the_end,
)
from tests.chaos.checker import Event, broken_promises, crowded, missed_or_doubled, of_topic, read_log, read_order
from tests.chaos.clients import Clients
from tests.chaos.disk import CannotMount, SmallDisk
from tests.chaos.faults import Faults
from tests.chaos.harness import System
from tests.chaos.suites import SuiteRuns, broken_suites, cases_of, read_suite_runs
from tests.chaos.ticking import Ticking, broken_ticks, read_decisions
from tests.chaos.watcher import WORKSPACE, Watcher, Watching

ENOUGH = 20
"""Executions that have not ended, of which faults can still hit some."""


@contextmanager
def small_disk(root: Path, told: Callable[[str], None]) -> Iterator[SmallDisk | None]:
    """A disk of its own for PostgreSQL below `root`; None, and words why, where the machine does not let us."""
    try:
        disk = SmallDisk(root / "postgres")
    except CannotMount as reason:
        told(f"PostgreSQL's disk will not be filled: this machine does not mount one ({reason})")
        yield None
        return
    try:
        yield disk
    finally:
        disk.unmount()
        shutil.rmtree(root, ignore_errors=True)  # it could not go while the disk was mounted in it


@contextmanager
def running(root: Path | None = None, **options: Any) -> Iterator[System]:
    """A system that has started, and is gone afterwards with its folder; `options` are those of `System`."""
    root = root or Path(tempfile.mkdtemp(prefix="tmc"))
    system = System(root, **options)
    try:
        system.start()
        yield system
    except BaseException:
        for path in sorted((root / "logs").glob("*.log")):
            print(f"--- the end of {path.name}", *path.read_text(errors="replace").splitlines()[-150:], sep="\n")
        raise
    finally:
        system.close()
        shutil.rmtree(root, ignore_errors=True)


@contextmanager
def large(root: Path, **options: Any) -> Iterator[System]:
    """As `running`, as the large run has it: three shards of the queue, and a worker that is asked to end hardly waits."""
    with running(root, concurrency=16, shards=3, TESTMESH_WORKER_DRAIN="0.2", **options) as system:
        yield system


class Trial:
    """What goes on in a system while it is broken, and what must hold when it is over."""

    def __init__(self, system: System, seed: int, *, clients: int = 4) -> None:
        self.system = system
        self.clients = Clients(system, seed=seed, count=clients)
        self.ticking = Ticking(system)
        self.suites = SuiteRuns(system)
        self._seed = seed
        self.watching: list[Watching] = []
        """One of the workspace, two of suite runs, two of one execution after another."""
        self.log: dict[UUID, list[Event]] = {}
        self.ticks = 0
        self.compared = 0
        self.sealed = 0
        self.grouped = 0
        """How many executions were in a concurrency group."""

    def start(self, total: int, *, pause: float = 0.0, suites: int = 2, rows: int = 10) -> None:
        """Schedules tick, somebody watches, suite runs and `total` executions are requested."""
        self.ticking.start()
        self.suites.start(suites, rows)
        self._watch()
        self.clients.start(total, pause=pause)

    def tells(self, faults: Faults) -> None:
        """Let the faults know what is left to break."""
        faults.requesting, faults.under_way = lambda: self.clients.working, self.under_way

    def under_way(self) -> bool:
        """Whether there is still enough to break; a PostgreSQL that is away counts as if there were."""
        if self.clients.working:
            return True
        try:
            return unfinished(self.system.settings.database_url) > ENOUGH
        except psycopg.Error:
            return True

    def _watch(self) -> None:
        """Watch from here on: everything, the first and the last suite run, executions as they are accepted and any of them."""
        first, last = self.suites.requested[0], self.suites.requested[-1]
        dice = random.Random(self._seed)
        plans: list[tuple[int, Iterator[str | None]]] = [
            (2000, iter([WORKSPACE])),
            (40, iter([f"suite_run:{first}"])),
            (40, iter([f"suite_run:{last}"])),
            (4, _executions(lambda: self.clients.accepted[-1:])),
            (4, _executions(lambda: self.clients.accepted[:1] and [dice.choice(self.clients.accepted)])),
        ]
        for number, (events, topics) in enumerate(plans):
            self.watching.append(Watching(self._watchers(self._seed + number, events), topics))
            self.watching[-1].start()

    def _watchers(self, seed: int, events: int) -> Callable[[str], Watcher]:
        system = self.system
        return lambda topic: Watcher(system.api_url, system.key, seed, topic=topic, events=events)

    def judged(self, seconds: float = 180.0) -> list[str]:
        """Let everything end that was begun; each sentence is a promise that does not hold."""
        self.clients.join()
        self.ticking.stop()
        url = self.system.settings.database_url
        self._wait_for_suites(seconds)
        wait_for_the_end(url, seconds)
        self.log = read_log(url)
        answered = self.clients.journal.read()
        wrong = broken_promises(self.log, answered.values())
        order = read_order(url)
        self.grouped = sum(bool(fields.get("groups")) for _, name, fields in order if name == "requested")
        wrong += crowded(order)
        runs = read_suite_runs(url)
        cases = cases_of(runs)
        wrong += differs_from_the_keys(self.log, self.system.workspace, answered, set().union(*cases.values()))
        wrong += broken_suites(runs, self.log)
        decisions = read_decisions(url)
        self.ticks = sum(name == "tick_considered" for events in decisions.values() for name, _ in events)
        wrong += broken_ticks(decisions, self.ticking.periods, scheduled(self.log))
        self.compared = read_models_equal_a_rebuild(self.system)
        self.sealed = events_as_sealed(self.system)
        return wrong + self._wrongly_seen(read_log(url, "%"), cases)

    def _wrongly_seen(self, log: dict[UUID, list[Event]], cases: dict[UUID, set[UUID]]) -> list[str]:
        """What watchers missed, saw twice, out of order, or without having asked for it."""
        wrong, head = list[str](), self.system.platform.logs["executions"].head()
        for watching in self.watching:
            watching.finish(head)
            for watcher in watching.watchers:
                missed = missed_or_doubled(of_topic(log, watcher.topic, cases), watcher.seen)
                wrong += [f"watcher of {watcher.topic}: {text}" for text in missed]
        return wrong

    def payloads(self) -> int:
        """How many the executions' log keeps."""
        with psycopg.connect(self.system.settings.database_url) as connection:
            row = connection.execute("SELECT count(*) FROM executions.payloads").fetchone()
        return int(row[0]) if row else 0

    @property
    def given_back(self) -> int:
        """How many attempts workers gave back when they were asked to end."""
        return sum(fields.get("why") == "drain" for events in self.log.values() for _, _, fields in events)

    @property
    def large(self) -> int:
        """How many executions have a step whose answer was kept as a payload."""
        return sum(any(fields.get("payload") for _, _, fields in events) for events in self.log.values())

    def _wait_for_suites(self, seconds: float) -> None:
        """Until every suite run has its verdict."""
        end = time.monotonic() + seconds
        while left := self.suites.open():
            assert time.monotonic() < end, f"{left} suite runs have not ended"
            time.sleep(0.5)

    def told(self, faults: Faults) -> list[str]:
        """What was done and what was counted, a line each."""
        names = Counter(name for events in self.log.values() for _, name, _ in events)
        verdicts = Counter(events[-1][2].get("verdict") for events in self.log.values())
        attempts = Counter(max(f.get("attempt", 1) for _, _, f in events) for events in self.log.values())
        lines = [f"  {count:4} {name}" for name, count in sorted(Counter(done.name for done in faults.done).items())]
        return [
            f"{len(faults.done)} faults:",
            *lines,
            *(f"  {count:4} not tried: {why}" for why, count in sorted(faults.untried.items())),
            f"entries of the queue: {dict(faults.touched)}, over {self.system.shards} shards",
            f"{self.payloads()} payloads, {self.large} executions with an answer that is too large for an event",
            f"{len(self.clients.journal.read())} accepted over HTTP {dict(self.clients.answers)}",
            f"{len(self.log)} recorded, {names['finished']} ended {dict(verdicts)}, by their last attempt {dict(attempts)}",
            f"{len(self.suites.requested)} suite runs, each with its verdict",
            f"{self.grouped} in groups of two places, never more than two of one under way",
            f"{names['attempt_abandoned']} attempts or teardowns were lost, {names['teardown_given_up']} teardowns given up",
            f"{self.given_back} attempts given back by workers that were asked to end, none of which counted"
            if self.given_back
            else "no attempt was given back",
            f"{self.ticks} decisions about ticks, {len(scheduled(self.log))} executions by schedules",
            *(_told_by(watching) for watching in self.watching),
            f"{self.compared} read models equal a rebuild; {dead_letters(self.system)} dead letters",
            f"{self.sealed} events of all logs are as they were sealed",
        ]


def _executions(choose: Callable[[], list[str]]) -> Iterator[str | None]:
    """One execution after the other as `choose` gives them; None while there is none, or still the same."""
    before = ""
    while True:
        found = choose()
        yield f"execution:{found[0]}" if found and found[0] != before else None
        before = found[0] if found else ""


def _told_by(watching: Watching) -> str:
    watchers = watching.watchers
    of = watchers[0].topic.partition(":")[0] if watchers else "nothing"
    seen = sum(len(watcher.seen) for watcher in watchers)
    return f"a watcher of {len(watchers)} {of}: {seen} events by {watching.connections} connections"


def dead_letters(system: System) -> int:
    """How many entries of the queue could not be run."""
    with psycopg.connect(system.settings.database_url) as connection:
        row = connection.execute("SELECT count(*) FROM executions.dead_letters").fetchone()
    return int(row[0]) if row else 0
