"""JSON and JSON lines: everything that was recorded, as plain data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from interfaces.cli.reports.model import Execution, Step

VERSION = 1
"""Of the JSON forms; it rises when a field changes its meaning or goes."""


def as_json(executions: Iterable[Execution], sources: Mapping[str, str]) -> Iterator[bytes]:
    """Everything that was recorded, one object."""
    yield b'{"version":%d,"executions":[' % VERSION
    for number, execution in enumerate(executions):
        yield (b",\n" if number else b"\n") + orjson.dumps(as_record(execution), option=orjson.OPT_NON_STR_KEYS)
    yield b"\n]}\n"


def as_record(execution: Execution) -> dict[str, Any]:
    """One execution as plain data."""
    return {
        "id": execution.id,
        "flow": execution.name,
        "file": execution.file,
        "case": execution.case,
        "verdict": execution.verdict,
        "cause": execution.cause,
        "message": execution.message,
        "attempt": execution.attempt,
        "seed": execution.seed,
        "started_at": execution.started_at,
        "finished_at": execution.finished_at,
        "duration_ms": round(execution.seconds * 1000, 3),
        "outputs": execution.outputs,
        "steps": [_step_record(step) for step in execution.steps],
    }


def _step_record(step: Step) -> dict[str, Any]:
    return {
        "path": step.path,
        "phase": step.phase,
        "number": step.number,
        "name": step.name,
        "action": step.action,
        "attempt": step.attempt,
        "verdict": step.verdict,
        "duration_ms": step.duration_ms,
        "outcome": step.outcome,
        "logs": step.logs,
    }


def jsonl(executions: Iterable[Execution], sources: Mapping[str, str]) -> Iterator[bytes]:
    """The events themselves, one a line."""
    for execution in executions:
        for event in execution.events:
            yield as_line(event) + b"\n"


def as_line(event: Mapping[str, Any]) -> bytes:
    """One event as a line of JSON, which says in `format` how it is to be read; `version` is the event's own."""
    return orjson.dumps({"format": VERSION, **event})
