"""The port through which a running attempt reports what happens; the recorder behind it appends events."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Protocol

from domain.definition import Phase, Step
from domain.outcome import StepOutcome

Pending = Coroutine[Any, Any, None] | None
"""What is left to do of a report: to be awaited to its end, also when the step is cancelled meanwhile. None: it is recorded."""


class Progress(Protocol):
    """What the engine reports, in order. Every report may have to wait until an earlier one is durable."""

    def step_started(
        self, step: Step, path: str, phase: Phase, number: int, name: str, state: Mapping[str, Any], *, durable: bool
    ) -> Pending:
        """A step begins; with `durable`, it is done only when this and all before it are committed. `state` is what teardown of
        a call that it begins would need on another worker."""
        ...

    def step_finished(
        self, path: str, phase: Phase, outcome: StepOutcome, state: Mapping[str, Any], logs: Sequence[Mapping[str, Any]]
    ) -> Pending:
        """A step ended. `state` is what teardown on another worker would need of it."""
        ...

    def crowded(self) -> bool:
        """Whether so much is recorded already that loops should record only what fails."""
        ...

    async def teardown_started(self) -> None:
        """Teardown begins."""
        ...

    async def teardown_finished(self, verdict: str) -> None:
        """Teardown ended with its own verdict."""
        ...


async def whole(report: Coroutine[Any, Any, None]) -> None:
    """Finish a report although the task is cancelled meanwhile, then let the cancellation go on."""
    task = asyncio.ensure_future(report)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise
