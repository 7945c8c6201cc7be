"""Bodies: the nested steps of a step, which its action runs once, again and again, or side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import field, replace
from typing import Any, Literal

from application.engine.errors import BodyFailed
from application.engine.lane import Lane
from application.engine.scope import Names
from domain.definition import Step
from domain.values import dataclass

BodyVerdict = Literal["passed", "failed", "error"]
BESIDE = "a step that ran beside it failed"


@dataclass(frozen=True, slots=True)
class Body:
    """One run of nested steps.

    `key` is the config key that holds them, `only` the number of the one that is meant; `at` tells this run from the others in
    the paths of its steps, such as `[3]` or `/left`. With `names`, the steps see these beside the names outside, and what they
    leave behind is known outside only when the action says so (`Bodies.learn`). Not `recorded`: only a failure leaves a trace.
    """

    key: str
    at: str = ""
    names: Mapping[str, Any] | None = None
    recorded: bool = True
    only: int | None = None


@dataclass(frozen=True, slots=True)
class BodyResult:
    """How nested steps ended. `outputs` are those that they declare, by name; `learned` all that later steps could name;
    `number` counts bodies that are run together, from 0."""

    verdict: BodyVerdict
    message: str = ""
    outputs: Mapping[str, Any] = field(default_factory=dict)
    learned: Mapping[str, Any] = field(default_factory=dict)
    number: int = 0

    @property
    def ok(self) -> bool:
        """Whether every step passed, was skipped or is tolerated."""
        return self.verdict == "passed"


Walk = Callable[[Sequence[Step], str, Names, Lane], Awaitable[BodyResult]]
"""Runs steps one after the other; their paths begin with the text."""


class Bodies:
    """The nested steps of one step, for its action."""

    def __init__(self, step: Step, path: str, names: Names, lane: Lane, walk: Walk) -> None:
        self._step = step
        self._path = path
        self._names = names
        self._lane = lane
        self._walk = walk
        self._runs = 0
        self.left: dict[str, Any] = {}
        """What bodies with names of their own left behind, in the last call of the action."""

    def begin(self) -> None:
        """The action is called (once more): the paths of its steps must differ from those of the call before."""
        self._runs += 1
        self.left = {}

    def names(self, key: str) -> tuple[str, ...]:
        """The branches below a config key, in the order of the document."""
        return tuple(name.removeprefix(f"{key}/") for name in self._step.bodies if name.startswith(f"{key}/"))

    def layout(self) -> dict[str, tuple[str, ...]]:
        """The ids of all nested steps, by config key, or by key and branch (`key/branch`)."""
        return {name: tuple(step.id for step in steps) for name, steps in self._step.bodies.items()}

    def ids(self, key: str) -> tuple[str, ...]:
        """The ids of the steps below a config key."""
        return tuple(step.id for step in self._step.bodies.get(key, ()))

    def has(self, key: str) -> bool:
        """Whether the step has nested steps below this config key."""
        return key in self._step.bodies

    async def run(self, body: Body, *, tolerant: bool = False) -> BodyResult:
        """Run it. With `tolerant`, failures of its steps are recorded as tolerated, and the result still tells them."""
        return await self._run(body, self._lane.child(recorded=body.recorded, tolerant=tolerant))

    async def run_all(self, bodies: Iterable[Body], *, at_once: int = 1, fail_fast: bool = True) -> list[BodyResult]:
        """Run all, so many at a time, the results in their order. With `fail_fast` the first that fails stops those under way
        and those to come; their results are left out. One at a time, each knows what those before it left behind."""
        if at_once <= 1:
            return await self._one_by_one(bodies, fail_fast)
        return await self._side_by_side(bodies, at_once, fail_fast)

    def learn(self, results: Iterable[BodyResult]) -> None:
        """Make known outside what bodies with names of their own left behind; the last wins."""
        for result in results:
            self._names.adopt(result.learned)
            self.left.update(result.learned)

    async def _one_by_one(self, bodies: Iterable[Body], fail_fast: bool) -> list[BodyResult]:
        results: list[BodyResult] = []
        for body in bodies:
            result = replace(await self.run(body), number=len(results))
            self.learn([result])
            results.append(result)
            if fail_fast and not result.ok:
                break
        return results

    async def _side_by_side(self, bodies: Iterable[Body], at_once: int, fail_fast: bool) -> list[BodyResult]:
        """A bounded number of tasks; the next body is made when a place is free."""
        results: dict[int, BodyResult] = {}
        running: dict[asyncio.Task[BodyResult], tuple[int, Lane]] = {}
        pending = enumerate(bodies)
        failed = False
        try:
            while True:
                while len(running) < at_once and not failed and (following := next(pending, None)) is not None:
                    lane = self._lane.child(recorded=following[1].recorded)
                    running[asyncio.create_task(self._run(following[1], lane))] = (following[0], lane)
                if not running:
                    break
                done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    number, _ = running.pop(task)
                    results[number] = replace(task.result(), number=number)
                    failed = failed or (fail_fast and not results[number].ok)
                if failed:
                    await _halt(running)
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        ordered = [results[number] for number in sorted(results)]
        self.learn(ordered)
        return ordered

    async def _run(self, body: Body, lane: Lane) -> BodyResult:
        names = self._names if body.names is None else self._names.child(**body.names)
        prefix = self._path if self._runs <= 1 else f"{self._path}~{self._runs}"
        async with aclosing(lane):
            steps = self._step.bodies[body.key]
            steps = steps if body.only is None else steps[body.only : body.only + 1]
            result = await self._walk(steps, f"{prefix}{body.at}", names, lane)
            if not result.ok:
                await lane.show()
            return result if body.names is None else replace(result, learned=names.learned)


async def _halt(running: dict[asyncio.Task[BodyResult], tuple[int, Lane]]) -> None:
    """Stop what still runs, and say why in its record."""
    for task, (_, lane) in running.items():
        lane.halt(BESIDE)
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    running.clear()


def failure_of(results: Sequence[BodyResult], what: Callable[[int], str], result: Mapping[str, Any]) -> BodyFailed | None:
    """The failure of an action whose bodies did not all pass: the first, named by `what` and its number."""
    bad = [one for one in results if not one.ok]
    if not bad:
        return None
    first = next((one for one in bad if one.verdict == "error"), bad[0])
    more = f" (and {len(bad) - 1} more of {len(results)} failed)" if len(bad) > 1 else ""
    verdict: Literal["failed", "error"] = "error" if first.verdict == "error" else "failed"
    return BodyFailed(verdict, f"{what(first.number)}{first.message}{more}", result=result)
