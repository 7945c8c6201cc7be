"""The port through which a running attempt reports what happens; the recorder behind it appends events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from domain.definition import Phase, Step
from domain.outcome import StepOutcome


class Progress(Protocol):
    """What the engine reports, in order. Every method may wait until an earlier report is durable."""

    async def step_started(self, step: Step, path: str, phase: Phase, number: int, name: str, *, durable: bool) -> None:
        """A step begins; with `durable`, return only when this and all before it are committed."""
        ...

    async def step_finished(
        self, path: str, phase: Phase, outcome: StepOutcome, state: Mapping[str, Any], logs: Sequence[Mapping[str, Any]]
    ) -> None:
        """A step ended. `state` is what teardown on another worker would need of it."""
        ...

    async def teardown_started(self) -> None:
        """Teardown begins."""
        ...

    async def teardown_finished(self, verdict: str) -> None:
        """Teardown ended with its own verdict."""
        ...
