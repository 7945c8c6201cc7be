"""What a line of steps came to: its verdict, the first failure in words, and its outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Protocol

from application.engine.bodies import BodyResult
from domain.definition import Step
from domain.outcome import StepOutcome, Verdict
from domain.values import dataclass

_ORDER: tuple[Verdict, ...] = ("passed", "passed_on_retry", "failed", "error", "timed_out", "cancelled")


class Ran(Protocol):
    """A step that was run, with what it knows."""

    @property
    def outputs(self) -> Mapping[str, Any]: ...


@dataclass(slots=True, eq=False, repr=False)
class Walked:
    """Grows step by step."""

    verdict: Verdict = "passed"
    message: str = ""
    outputs: dict[str, Any] = field(default_factory=dict)
    failed: tuple[Step, StepOutcome] | None = None
    """The first step that failed."""

    def add(self, step: Step, outcome: StepOutcome, ran: Ran) -> None:
        """One more step has ended."""
        self.verdict = worst(self.verdict, _counted(outcome))
        self.outputs.update(ran.outputs)
        if not outcome.ok:
            self.message = self.message or _why(step, outcome)
            self.failed = self.failed or (step, outcome)

    def join(self, after: Walked) -> None:
        """What came after it."""
        self.verdict = worst(self.verdict, after.verdict)
        self.message = self.message or after.message
        self.outputs.update(after.outputs)
        self.failed = self.failed or after.failed

    def as_body(self) -> BodyResult:
        """As the action that asked for it sees it."""
        if self.verdict in ("passed", "passed_on_retry"):
            return BodyResult("passed", outputs=self.outputs)
        return BodyResult("failed" if self.verdict == "failed" else "error", self.message, self.outputs)


def error_of(step: Step, outcome: StepOutcome) -> dict[str, Any]:
    """What steps that deal with a failure know of it as `error`: message, kind, and the id of the step."""
    error = outcome.error
    failed = next((check for made in outcome.tries for check in made.assertions if not check.passed), None)
    message = error.message if error else f"assertion failed: {failed.expression}" if failed else outcome.verdict
    return {"message": message, "kind": error.kind if error else "assertion", "step": step.id}


def flow_status(verdict: Verdict) -> str:
    """FLOW_STATUS, as teardown knows it."""
    return "passed" if verdict in ("passed", "passed_on_retry") else "failed"


def worst(one: Verdict, other: Verdict) -> Verdict:
    """The verdict that weighs more."""
    return max(one, other, key=_ORDER.index)


def _counted(outcome: StepOutcome) -> Verdict:
    if outcome.verdict in ("skipped", "tolerated"):
        return "passed"
    return outcome.verdict  # type: ignore[return-value]


def _why(step: Step, outcome: StepOutcome) -> str:
    if outcome.error is not None:
        return f"{step.id}: {outcome.error.message}"
    failed = next((check for made in outcome.tries[-1:] for check in made.assertions if not check.passed), None)
    return f"{step.id}: {failed.message or failed.expression}" if failed else f"{step.id}: {outcome.verdict}"
