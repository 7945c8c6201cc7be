"""Steps that run a single time for all flows of a run: the first that comes runs it, the others share what it came to."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import field, replace
from typing import Any, Protocol

from domain.outcome import StepOutcome
from domain.values import dataclass


@dataclass(frozen=True, slots=True)
class Shared:
    """What a step came to, and in which flow it ran."""

    outcome: StepOutcome
    result: Mapping[str, Any]
    outputs: dict[str, Any]
    flow: str

    def again(self) -> StepOutcome:
        """The outcome for a flow that shares it."""
        return replace(self.outcome, duration_ms=0.0, tries=self.outcome.tries[-1:], reason=f"once: it ran in {self.flow}")


class OnceRuns(Protocol):
    """Knows which of these steps have run, here or in other processes of the run."""

    async def claim(self, name: str) -> Shared | None:
        """What the step came to; None when the caller has to run it, and then to tell `finish` or `give_up`."""
        ...

    def finish(self, name: str, shared: Shared) -> None:
        """Share it with all that wait and will come."""
        ...

    def give_up(self, name: str) -> None:
        """It did not come to its end here."""
        ...


@dataclass(slots=True)
class Once:
    """By name. A step that was cut off before its end counts as not run: the next flow runs it."""

    _runs: dict[str, asyncio.Future[Shared | None]] = field(default_factory=dict)

    async def claim(self, name: str) -> Shared | None:
        """What the step came to; None when the caller has to run it, and then to tell `finish` or `give_up`."""
        while (running := self._runs.get(name)) is not None:
            shared = await asyncio.shield(running)
            if shared is not None:
                return shared
        self._runs[name] = asyncio.get_running_loop().create_future()
        return None

    def finish(self, name: str, shared: Shared) -> None:
        """Share it with all that wait and will come."""
        self._runs[name].set_result(shared)

    def give_up(self, name: str) -> None:
        """It did not come to its end here."""
        self._runs.pop(name).set_result(None)


class Runs(Protocol):
    """A step that can run here, or take over what it came to elsewhere."""

    result: Mapping[str, Any]
    outputs: dict[str, Any]

    async def run(self) -> StepOutcome:
        """Its outcome."""
        ...

    def adopt(self, result: Mapping[str, Any], outputs: dict[str, Any]) -> None:
        """Take over what it came to in another flow."""
        ...


async def run_once(name: str, step: Runs, once: OnceRuns, flow: str) -> StepOutcome:
    """The outcome of a step of the flow of this name, or that of the flow that ran it."""
    shared = await once.claim(name)
    if shared is not None:
        step.adopt(shared.result, shared.outputs)
        return shared.again()
    try:
        outcome = await step.run()
    except BaseException:
        once.give_up(name)
        raise
    once.finish(name, Shared(outcome, step.result, step.outputs, flow))
    return outcome
