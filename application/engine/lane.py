"""A lane: where a line of steps reports to, and how it is told that it is stopped by what runs beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from application.engine.progress import Pending, Progress
from domain.definition import Phase, Step
from domain.outcome import StepOutcome


class Lane:
    """The progress of one line of steps. Lines within lines know those outside."""

    def __init__(self, progress: Progress, outer: Lane | None = None, *, tolerant: bool = False) -> None:
        self.progress = progress
        self._outer = outer
        self._tolerant = tolerant
        self._halted = ""

    def child(self, *, recorded: bool = True, tolerant: bool = False) -> Lane:
        """A line within this one; not `recorded` unless it fails, for want of room."""
        progress = self.progress if recorded and not self.progress.crowded() else Held(self.progress)
        return Lane(progress, self, tolerant=tolerant)

    @property
    def tolerant(self) -> bool:
        """Whether failures are expected here, and tried again by the step outside."""
        return self._tolerant or (self._outer is not None and self._outer.tolerant)

    @property
    def halted(self) -> str:
        """Why it was stopped by what runs beside it; empty when it was not."""
        return self._halted or (self._outer.halted if self._outer is not None else "")

    def halt(self, why: str) -> None:
        """Note why it is stopped; whoever calls cancels the task as well."""
        self._halted = why

    async def show(self) -> None:
        """Report now what was held back."""
        if isinstance(self.progress, Held):
            await self.progress.release()

    async def aclose(self) -> None:
        """Forget what was held back."""
        if isinstance(self.progress, Held):
            self.progress.forget()


class Held:
    """Reports that are kept back until it is known whether anybody will want them."""

    def __init__(self, behind: Progress) -> None:
        self._behind = behind
        self._reports: list[Callable[[], Pending]] = []

    def crowded(self) -> bool:
        """Nothing is recorded here, so there is always room."""
        return False

    def step_started(
        self, step: Step, path: str, phase: Phase, number: int, name: str, state: Mapping[str, Any], *, durable: bool
    ) -> Pending:
        """Keep it; a step whose start must be durable is recorded at once, with all before it."""
        self._reports.append(lambda: self._behind.step_started(step, path, phase, number, name, state, durable=durable))
        return self.release() if durable else None

    def step_finished(
        self, path: str, phase: Phase, outcome: StepOutcome, state: Mapping[str, Any], logs: Sequence[Mapping[str, Any]]
    ) -> Pending:
        """Keep it; what teardown will need is recorded at once, with all before it."""
        self._reports.append(lambda: self._behind.step_finished(path, phase, outcome, state, logs))
        return self.release() if state else None

    async def teardown_started(self) -> None:
        """Not of nested steps."""

    async def teardown_finished(self, verdict: str) -> None:
        """Not of nested steps."""

    async def release(self) -> None:
        """Report everything that was kept, in order."""
        while self._reports:
            pending = self._reports.pop(0)()
            if pending is not None:
                await pending

    def forget(self) -> None:
        """Drop everything that was kept."""
        self._reports.clear()
