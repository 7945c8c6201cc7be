"""What a run did, collected from its events: the one source of the live view, the failure output and every report."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from datetime import datetime
from typing import IO, Any

import orjson

from domain.values import dataclass

KEPT = 500
"""Executions that stay in memory after their end."""
PASSED = ("passed", "passed_on_retry")


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
    begun: str = ""
    """When it was begun, ISO 8601."""
    shortened: bool = False
    """Whether the record holds only an excerpt of a result that was too big for an event."""

    @property
    def started_at(self) -> datetime | None:
        """When it was begun."""
        return datetime.fromisoformat(self.begun) if self.begun else None

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
    case: str = ""
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
    def title(self) -> str:
        """The flow's name, with the key of the row that it ran for."""
        return f"{self.name} [{self.case}]" if self.case else self.name

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
    """Takes events in order, each execution's own; an event that came before is ignored. Executions that have ended are put
    where they take no memory, once there are many."""

    def __init__(self) -> None:
        self.executions: dict[str, Execution] = {}
        """Those that have not ended yet."""
        self.collected = Collected()
        self._repeats: set[str] = set()

    def add(self, event: Mapping[str, Any]) -> Execution:
        """Take one event; the execution that it changed."""
        id = event["execution"]
        execution = self.executions.get(id) or self.collected.find(id)
        if execution is None:
            execution = self.executions[id] = Execution(id)
        if execution.events and execution.events[-1]["version"] >= event["version"]:
            return execution
        execution.events.append(dict(event))
        Fold.take(execution, event)
        if execution.verdict is not None and id in self.executions:
            if id in self._repeats and execution.verdict == "passed":
                execution.verdict = "passed_on_retry"
            self.collected.add(self.executions.pop(id))
        return execution

    def retried(self, old: str, new: str) -> None:
        """An execution that did not pass is repeated by another: it counts no more, and a pass is one on retry."""
        self.collected.supersede(old, new)
        self._repeats.add(new)

    def finish(self) -> Collected:
        """All executions, those that have not ended included."""
        for execution in self.executions.values():
            self.collected.add(execution)
        self.executions = {}
        return self.collected


class Collected(Sequence["Execution"]):
    """Executions in the order in which they ended. Beyond KEPT they lie in a file, and each look brings them back anew."""

    def __init__(self) -> None:
        self._kept: dict[str, Execution] = {}
        self._places: dict[str, int] = {}
        self._file: IO[bytes] | None = None
        self._order: list[str] = []
        self._superseded: dict[str, str] = {}
        self._ends: dict[str, tuple[str | None, str, str]] = {}
        self.begun: datetime | None = None
        self.ended: datetime | None = None
        self.skipped: Sequence[tuple[str, str]] = ()
        """Names of flows that were never begun, and why."""

    def add(self, execution: Execution) -> None:
        """One more."""
        self._order.append(execution.id)
        self._ends[execution.id] = (execution.verdict, execution.file, execution.case)
        self._note(execution)
        if len(self._kept) < KEPT:
            self._kept[execution.id] = execution
            return
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - it ends with this object
        self._places[execution.id] = self._file.seek(0, os.SEEK_END)
        body = orjson.dumps({"verdict": execution.verdict, "events": execution.events}, option=orjson.OPT_NON_STR_KEYS)
        self._file.write(body + b"\n")

    def find(self, id: str) -> Execution | None:
        """An execution that has ended."""
        if id in self._kept:
            return self._kept[id]
        return self._brought_back(id) if id in self._places else None

    def supersede(self, id: str, by: str) -> None:
        """This one was repeated by another: it counts no more."""
        self._superseded[id] = by

    @property
    def repeated(self) -> Mapping[str, str]:
        """Ids of executions that count no more, each with the id of its repetition."""
        return self._superseded

    def superseded(self) -> Iterator[Execution]:
        """Executions that were repeated by others."""
        for id in self._superseded:
            found = self.find(id)
            if found is not None:
                yield found

    def everything(self) -> Iterator[Execution]:
        """All, also those that count no more, in the order in which they ended."""
        for id in self._order:
            found = self.find(id)
            if found is not None:
                yield found

    def close(self) -> None:
        """Let go of what lies in a file; what was brought back already stays."""
        if self._file is not None:
            self._file.close()

    def ends(self) -> Iterator[tuple[str, str | None, str, str]]:
        """Id, verdict, file and case of each that counts, without bringing any back."""
        return ((id, *self._ends[id]) for id in self._order if id not in self._superseded)

    def bad(self) -> Iterator[Execution]:
        """Those that count and did not pass."""
        for id, verdict, _, _ in self.ends():
            if verdict not in PASSED:
                found = self.find(id)
                if found is not None:
                    yield found

    def __len__(self) -> int:
        return len(self._order) - len(self._superseded.keys() & self._ends.keys())

    def __iter__(self) -> Iterator[Execution]:
        for id, *_ in self.ends():
            found = self.find(id)
            if found is not None:
                yield found

    def __getitem__(self, index: Any) -> Any:
        ids = [id for id, *_ in self.ends()][index]
        return [self.find(id) for id in ids] if isinstance(ids, list) else self.find(ids)

    def _note(self, execution: Execution) -> None:
        begun, ended = execution.requested_at, execution.finished_at
        if begun is not None and (self.begun is None or begun < self.begun):
            self.begun = begun
        if ended is not None and (self.ended is None or ended > self.ended):
            self.ended = ended

    def _brought_back(self, id: str) -> Execution:
        assert self._file is not None
        self._file.seek(self._places[id])
        stored = orjson.loads(self._file.readline())
        execution = Execution(id, events=stored["events"])
        for event in stored["events"]:
            Fold.take(execution, event)
        execution.verdict = stored["verdict"]
        return execution


class Fold:
    """What each event changes in an execution."""

    @classmethod
    def take(cls, execution: Execution, event: Mapping[str, Any]) -> None:
        """Apply one event; those that nothing is known about change nothing."""
        apply = getattr(cls, "_" + event["topic"].split(".", 1)[1], None)
        if apply is not None:
            apply(execution, event["event"], event["at"])

    @staticmethod
    def _requested(execution: Execution, data: Mapping[str, Any], at: str) -> None:
        execution.name, execution.file, execution.seed = data["flow_name"], data["file"], data["seed"]
        execution.case = data.get("case", "")
        execution.requested_at = datetime.fromisoformat(at)

    @staticmethod
    def _attempt_started(execution: Execution, data: Mapping[str, Any], at: str) -> None:
        execution.status, execution.attempt = "running", data["attempt"]
        execution.started_at = execution.started_at or datetime.fromisoformat(at)

    @staticmethod
    def _step_started(execution: Execution, data: Mapping[str, Any], at: str) -> None:
        step = Step(data["path"], data["phase"], data["number"], data["name"], data["action"], data["attempt"], begun=at)
        execution.steps.append(step)

    @staticmethod
    def _log_written(execution: Execution, data: Mapping[str, Any], at: str) -> None:
        step = _step(execution, data)
        if step is not None:
            step.logs.extend(data["lines"])

    @staticmethod
    def _step_finished(execution: Execution, data: Mapping[str, Any], at: str) -> None:
        step = _step(execution, data)
        if step is not None:
            step.outcome = data["outcome"]
            step.verdict, step.duration_ms = step.outcome["verdict"], step.outcome["duration_ms"]
            step.shortened = data.get("payload") is not None

    @staticmethod
    def _teardown_finished(execution: Execution, data: Mapping[str, Any], at: str) -> None:
        execution.teardown = data["verdict"]

    @staticmethod
    def _attempt_abandoned(execution: Execution, data: Mapping[str, Any], at: str) -> None:
        execution.status = "owes teardown"
        for step in execution.steps:
            if step.verdict == "running":
                step.verdict = "lost"

    @staticmethod
    def _requeued(execution: Execution, data: Mapping[str, Any], at: str) -> None:
        execution.status, execution.attempt = "queued", data["attempt"]

    @staticmethod
    def _finished(execution: Execution, data: Mapping[str, Any], at: str) -> None:
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
