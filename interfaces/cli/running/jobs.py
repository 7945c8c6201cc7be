"""The jobs of a run: a flow, or one row of its data, each; given out in order as needs and groups allow."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any

from domain.queueing import Group, groups_of
from domain.values import dataclass
from interfaces.cli.planning.plan import Planned

JOBS_A_PROCESS = 10
"""With fewer executions than this for each, further processes would cost more than they bring."""


def number_of_processes(jobs: int, total: int) -> int:
    """How many processes a run of so many executions, `jobs` at once, is worth: at most one a core."""
    if not sys.platform.startswith("linux") or threading.active_count() > 1:
        return 1
    return max(1, min(jobs, len(os.sched_getaffinity(0)), total // JOBS_A_PROCESS))


@dataclass(frozen=True, slots=True)
class Job:
    """One execution to be. `case` names the row, and the round where a run is repeated; empty for a plain flow."""

    flow: Planned
    case: str = ""
    variables: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class _Flow:
    """A flow on its way: what is still to be given out, and what came back."""

    planned: Planned
    jobs: Iterator[Job]
    bound: bool = False
    """Whether one taker gets all its jobs, because what they accept is kept by file."""
    home: int | None = None
    """That taker."""
    running: int = 0
    given_out: bool = False
    passed: bool = True
    skipped: str = ""
    outputs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        """Whether nothing of it is left."""
        return bool(self.skipped) or (self.given_out and not self.running)


class Jobs:
    """Gives out jobs to any number of takers. A flow waits for those that it needs, and for a place in its groups; when one
    that it needs did not pass, it is skipped. The run requests all its flows at once, so whatever a group says about being
    full, they wait."""

    def __init__(self, flows: Sequence[Planned], *, rounds: int = 1, share: tuple[int, int] = (1, 1)) -> None:
        """`share` (i, n) gives out every n-th job, beginning with the i-th; flows that others need are always given out."""
        self._needed = {name for flow in flows for name in flow.needs}
        self._count = 0
        self._share = share
        self._total = self._counted(flows, rounds)
        self._flows = {flow.file: _Flow(flow, self._jobs_of(flow, rounds), _keeps_by_file(flow)) for flow in flows}
        self._waiting = list(self._flows.values())
        self._held: dict[str, list[int]] = {}
        """By group: how many each of those that run allows."""
        self._left: set[int] = set()
        self._changed = asyncio.Condition()

    @property
    def total(self) -> int:
        """How many jobs there are in all."""
        return self._total

    @property
    def skipped(self) -> list[tuple[Planned, str]]:
        """Flows that were not begun, and why."""
        return [(flow.planned, flow.skipped) for flow in self._flows.values() if flow.skipped]

    async def next(self, taker: int = 0) -> Job | None:
        """The next job that may begin with this taker, waited for; None when there is none left."""
        async with self._changed:
            while True:
                if taker in self._left:
                    return None
                before = len(self._waiting)
                job = self._choose(taker)
                if len(self._waiting) < before:
                    self._changed.notify_all()
                if job is not None or not self._waiting:
                    return job
                await self._changed.wait()

    async def leave(self, taker: int) -> None:
        """This taker takes no more: others get what was bound to it."""
        async with self._changed:
            self._left.add(taker)
            for flow in self._flows.values():
                flow.home = None if flow.home == taker else flow.home
            self._changed.notify_all()

    async def done(self, job: Job, *, passed: bool, outputs: Mapping[str, Any]) -> None:
        """A job has ended."""
        async with self._changed:
            flow = self._flows[job.flow.file]
            flow.running -= 1
            flow.passed = flow.passed and passed
            flow.outputs = outputs
            for group in groups_of(job.flow.definition):
                self._held[group.name].remove(group.max)
            self._changed.notify_all()

    def stop(self, why: str) -> None:
        """Give out nothing more."""
        for flow in self._waiting:
            if not flow.running and not flow.given_out:
                flow.skipped = why
        self._waiting.clear()

    def needed_outputs(self, flow: Planned) -> dict[str, Any]:
        """The outputs of the flows that this one needs, under their ids and names."""
        found: dict[str, Any] = {}
        for file in flow.needs:
            needed = self._flows[file]
            definition = needed.planned.definition
            for name in (definition.name, definition.id, *(n for n in flow.definition.needs if n in file)):
                if name:
                    found[name] = dict(needed.outputs)
        return found

    def _choose(self, taker: int) -> Job | None:
        for flow in list(self._waiting):
            if self._blocked(flow) or (flow.bound and flow.home not in (None, taker)):
                continue
            job = next(flow.jobs, None)
            if job is None:
                flow.given_out = True
                self._waiting.remove(flow)
                continue
            flow.running += 1
            flow.home = taker
            for group in groups_of(flow.planned.definition):
                self._held.setdefault(group.name, []).append(group.max)
            return job
        return None

    def _blocked(self, flow: _Flow) -> bool:
        """Whether it has to wait; one whose need did not pass is skipped, and waits no more."""
        for file in flow.planned.needs:
            needed = self._flows[file]
            if needed.skipped or (needed.over and not needed.passed):
                flow.skipped = f"it needs {needed.planned.definition.name}, which did not pass"
                self._waiting.remove(flow)
                return True
            if not needed.over:
                return True
        return any(self._full(group) for group in groups_of(flow.planned.definition))

    def _full(self, group: Group) -> bool:
        held = self._held.get(group.name, [])
        return len(held) >= min([group.max, *held])

    def _counted(self, flows: Sequence[Planned], rounds: int) -> int:
        part, parts = self._share
        total = seen = 0
        for flow in flows:
            rows = 1 if flow.cases is None else flow.cases.count() if flow.only is None else len(flow.only)
            size = rounds * rows
            total += size if flow.file in self._needed else (seen + size - part) // parts - (seen - part) // parts
            seen += size
        return total

    def _jobs_of(self, flow: Planned, rounds: int) -> Iterator[Job]:
        part, parts = self._share
        for number in range(rounds):
            for job in jobs_of(flow, number):
                self._count += 1
                if flow.file in self._needed or self._count % parts == part % parts:
                    yield job


def _keeps_by_file(flow: Planned) -> bool:
    """Whether several jobs of the flow may accept snapshots, which lie in one file."""
    return "snapshot" in flow.text or "run_flow" in flow.text


def jobs_of(flow: Planned, number: int = 0) -> Iterator[Job]:
    """The jobs of one flow in round `number`, from 0.

    A row's values stand above the flow's variables, and below those that the command line gives.
    """
    again = f"#{number + 1}" if number else ""
    if flow.cases is None:
        yield Job(flow, again, flow.variables)
        return
    for case in flow.cases:
        if flow.only is not None and case.key not in flow.only:
            continue
        row = {name: value for name, value in case.values.items() if name not in flow.given}
        yield Job(flow, f"{case.key}{again}", {**flow.variables, **row, "row": dict(case.values)})
