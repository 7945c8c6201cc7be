"""The port of whoever looks at an attempt step by step, a debugger: asked before each step and after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from domain.definition import FlowDefinition, Phase, Step
from domain.outcome import StepOutcome
from domain.values import dataclass

if TYPE_CHECKING:
    from application.engine.step_runner import StepRunner


@dataclass(frozen=True, slots=True)
class Halt:
    """Where an attempt stands: the step, its path and phase, the flow that holds it (a called one has a `depth` over 0), and
    the runner, which knows its config, names, result and outputs."""

    step: Step
    path: str
    phase: Phase
    definition: FlowDefinition
    depth: int
    runner: StepRunner


class Observer(Protocol):
    """Looks at each step. While there is one, time limits that a person at a prompt would break do not count: those of flows,
    of teardown, and of steps that hold others."""

    async def before(self, halt: Halt) -> bool:
        """The step is about to run; False skips it."""
        ...

    async def after(self, halt: Halt, outcome: StepOutcome) -> bool:
        """The step has run, and nothing of it is recorded yet; True runs it once more, and only that is recorded."""
        ...
