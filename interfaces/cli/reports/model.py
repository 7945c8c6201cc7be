"""What a run did, collected from its events: the one source of the live view, the failure output and every report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(slots=True, eq=False, repr=False)
class Step:
    """One step of one attempt."""

    path: str
    phase: str
    number: int
    name: str
    action: str
    attempt: int
    verdict: str = "running"
    duration_ms: float = 0.0
    outcome: Mapping[str, Any] = field(default_factory=dict)
    logs: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def bad(self) -> bool:
        """Whether it did not hold (tolerated failures included)."""
        return self.verdict in ("failed", "error", "tolerated", "timed_out", "cancelled")

    @property
    def where(self) -> str:
        """The steps around it, and its name."""
        outside, _, _ = self.path.rpartition("/")
        return " > ".join([*outside.split("/"), self.name]) if outside else self.name

    @property
    def stopped_beside(self) -> bool:
        """Whether it was stopped because a step beside it failed."""
        return self.verdict == "cancelled" and str(self.outcome.get("reason")).startswith("a step that ran beside")

    @property
    def error(self) -> Mapping[str, Any] | None:
        """Why it could not do its work."""
        found: Mapping[str, Any] | None = self.outcome.get("error")
        return found

    @property
    def failed_assertions(self) -> list[Mapping[str, Any]]:
        """Of its last try."""
        tries = self.outcome.get("tries") or []
        return [check for made in tries[-1:] for check in made["assertions"] if not check["passed"]]


@dataclass(slots=True, eq=False, repr=False)
class Execution:
    """One execution of a flow."""

    id: str
    name: str = ""
    file: str = ""
    seed: str = ""
    attempt: int = 1
    verdict: str | None = None
    status: str = "queued"
    cause: str = ""
    message: str = ""
    requested_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    outputs: Mapping[str, Any] = field(default_factory=dict)
    teardown: str | None = None
    steps: list[Step] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """From the first attempt's start to the end (or so far)."""
        if self.started_at is None:
            return 0.0
        return ((self.finished_at or datetime.now(self.started_at.tzinfo)) - self.started_at).total_seconds()

    @property
    def last_steps(self) -> list[Step]:
        """Steps of the last attempt."""
        return [step for step in self.steps if step.attempt == self.attempt]

    @property
    def failures(self) -> list[Step]:
        """Bad steps of the last attempt that have something to tell: not those that only say that a step inside them failed,
        nor those that were stopped because of what ran beside them."""
        bad = [step for step in self.last_steps if step.bad]
        inner = [step.path for step in bad if step.verdict != "cancelled"]
        return [step for step in bad if not _only_holds(step, inner) and not (step.stopped_beside and len(inner) > 0)]

    @property
    def tolerated(self) -> int:
        """Failures that the flow allows."""
        return sum(step.verdict == "tolerated" for step in self.last_steps)


class Collector:
    """Takes events in order, each execution's own; an event that came before is ignored."""

    def __init__(self) -> None:
        self.executions: dict[str, Execution] = {}

    def add(self, event: Mapping[str, Any]) -> Execution:
        """Take one event; the execution that it changed."""
        execution = self.executions.get(event["execution"])
        if execution is None:
            execution = self.executions[event["execution"]] = Execution(event["execution"])
        if execution.events and execution.events[-1]["version"] >= event["version"]:
            return execution
        execution.events.append(dict(event))
        apply = getattr(self, "_" + event["topic"].split(".", 1)[1], None)
        if apply is not None:
            apply(execution, event["event"], event["at"])
        return execution

    def _requested(self, execution: Execution, data: Mapping[str, Any], at: str) -> None:
        execution.name, execution.file, execution.seed = data["flow_name"], data["file"], data["seed"]
        execution.requested_at = datetime.fromisoformat(at)

    def _attempt_started(self, execution: Execution, data: Mapping[str, Any], at: str) -> None:
        execution.status, execution.attempt = "running", data["attempt"]
        execution.started_at = execution.started_at or datetime.fromisoformat(at)

    def _step_started(self, execution: Execution, data: Mapping[str, Any], at: str) -> None:
        execution.steps.append(Step(data["path"], data["phase"], data["number"], data["name"], data["action"], data["attempt"]))

    def _log_written(self, execution: Execution, data: Mapping[str, Any], at: str) -> None:
        step = _step(execution, data)
        if step is not None:
            step.logs.extend(data["lines"])

    def _step_finished(self, execution: Execution, data: Mapping[str, Any], at: str) -> None:
        step = _step(execution, data)
        if step is not None:
            step.outcome = data["outcome"]
            step.verdict, step.duration_ms = step.outcome["verdict"], step.outcome["duration_ms"]

    def _teardown_finished(self, execution: Execution, data: Mapping[str, Any], at: str) -> None:
        execution.teardown = data["verdict"]

    def _attempt_abandoned(self, execution: Execution, data: Mapping[str, Any], at: str) -> None:
        execution.status = "owes teardown"
        for step in execution.steps:
            if step.verdict == "running":
                step.verdict = "lost"

    def _requeued(self, execution: Execution, data: Mapping[str, Any], at: str) -> None:
        execution.status, execution.attempt = "queued", data["attempt"]

    def _finished(self, execution: Execution, data: Mapping[str, Any], at: str) -> None:
        execution.status, execution.finished_at = "finished", datetime.fromisoformat(at)
        execution.verdict, execution.cause, execution.message = data["verdict"], data["cause"], data["message"]
        execution.outputs = data["outputs"]


def _only_holds(step: Step, bad: Sequence[str]) -> bool:
    if (step.error or {}).get("kind") != "nested":
        return False
    return any(path.startswith((f"{step.path}/", f"{step.path}[", f"{step.path}~")) for path in bad)


def _step(execution: Execution, data: Mapping[str, Any]) -> Step | None:
    """The step under way at that path."""
    for step in reversed(execution.steps):
        if step.path == data["path"] and step.attempt == data["attempt"]:
            return step
    return None
