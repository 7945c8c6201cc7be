"""What each event of an execution changes in its row of the execution list."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from domain.execution import Execution
from domain.masking import Masker
from projections.rows import Row
from projections.view import Recorded

TEXT_CHARS = 300
PASSED = ("passed", "passed_on_retry")
FAILED = ("failed", "error", "timed_out")
_MASKER = Masker(b"")


def fold(row: Row, recorded: Recorded) -> Row:
    """The row after the event; the empty row before the first."""
    change = _CHANGES[recorded.topic](row, recorded.event)
    return {**row, **change, "position": recorded.position}


def _requested(row: Row, event: Execution.Requested) -> Row:
    names = ("workspace", "project", "flow_id", "flow_revision", "flow_name", "file", "trigger", "actor")
    return {
        **{name: getattr(event, name) for name in names},
        **dict.fromkeys(("verdict", "started_at", "finished_at", "duration_ms", "failure")),
        **dict.fromkeys(("cause", "message", "worker"), ""),
        **dict.fromkeys(("teardown", "steps_started", "steps_passed", "steps_failed"), 0),
        "id": event.originator_id,
        "tags": list(event.tags),
        "status": "queued",
        "attempt": 1,
        "cancel_requested": False,
        "requested_at": event.timestamp,
        "waiting_since": event.timestamp,
        "priority": event.priority,
        "runs_on": list(event.runs_on),
        "groups": [dict(group) for group in event.groups],
        "queue_timeout": event.queue_timeout,
    }


def _attempt_started(row: Row, event: Execution.AttemptStarted) -> Row:
    return {
        "status": "running",
        "worker": event.worker,
        "waiting_since": None,
        "started_at": row["started_at"] or event.timestamp,
        "failure": None,
        **dict.fromkeys(("steps_started", "steps_passed", "steps_failed"), 0),
    }


def _step_started(row: Row, event: Execution.StepStarted) -> Row:
    return {"steps_started": row["steps_started"] + 1}


def _step_finished(row: Row, event: Execution.StepFinished) -> Row:
    verdict = event.outcome.get("verdict")
    failed = verdict in FAILED
    return {
        "steps_passed": row["steps_passed"] + (verdict in PASSED),
        "steps_failed": row["steps_failed"] + failed,
        "failure": row["failure"] or ({"path": event.path, "text": failure_text(event.outcome)} if failed else None),
    }


def _cancel_requested(row: Row, event: Execution.CancelRequested) -> Row:
    return {"cancel_requested": True}


def _attempt_abandoned(row: Row, event: Execution.AttemptAbandoned) -> Row:
    return {"status": "owes_teardown", "worker": "", "teardown": event.teardown, "waiting_since": event.timestamp}


def _requeued(row: Row, event: Execution.Requeued) -> Row:
    return {"status": "queued", "worker": "", "attempt": event.attempt, "teardown": 0, "waiting_since": event.timestamp}


def _teardown_started(row: Row, event: Execution.TeardownStarted) -> Row:
    return {"status": "tearing_down", "worker": event.worker, "waiting_since": None} if event.number else {}


def _finished(row: Row, event: Execution.Finished) -> Row:
    started = row["started_at"]
    return {
        "status": "finished",
        "worker": "",
        "waiting_since": None,
        "verdict": event.verdict,
        "cause": event.cause,
        "message": event.message,
        "finished_at": event.timestamp,
        "duration_ms": (event.timestamp - started).total_seconds() * 1000 if started else None,
        "failure": None if event.verdict in PASSED else row["failure"],
    }


_CHANGES: Mapping[str, Callable[[Row, Any], Row]] = {
    Execution.Requested.TOPIC: _requested,
    Execution.AttemptStarted.TOPIC: _attempt_started,
    Execution.StepStarted.TOPIC: _step_started,
    Execution.StepFinished.TOPIC: _step_finished,
    Execution.CancelRequested.TOPIC: _cancel_requested,
    Execution.AttemptAbandoned.TOPIC: _attempt_abandoned,
    Execution.Requeued.TOPIC: _requeued,
    Execution.TeardownStarted.TOPIC: _teardown_started,
    Execution.Finished.TOPIC: _finished,
}
TOPICS = tuple(_CHANGES)


def failure_text(outcome: Mapping[str, Any]) -> str:
    """Why a step did not pass, in a line or two: its error, its first failing assertion, or its verdict."""
    error = outcome.get("error")
    if isinstance(error, Mapping):
        return _cut(f"{error.get('kind', 'error')}: {error.get('message', '')}")
    for made in reversed(_items(outcome.get("tries"))):
        for check in _items(made.get("assertions")):
            if not check.get("passed"):
                return _cut(check.get("message") or check.get("error") or f"assertion failed: {check.get('expression')}")
    return _cut(outcome.get("reason") or str(outcome.get("verdict")))


def _items(value: Any) -> list[Mapping[str, Any]]:
    """The objects of a list; a cut list of an event may end with a text that says so."""
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list | tuple) else []


def _cut(text: Any) -> str:
    return str(text)[:TEXT_CHARS]


def shown_variables(variables: Mapping[str, Any]) -> dict[str, Any]:
    """The variables of a request as people may see them: values under telling names are masked."""
    masked: dict[str, Any] = _MASKER.mask(variables, sensitive_keys=True)
    return masked
