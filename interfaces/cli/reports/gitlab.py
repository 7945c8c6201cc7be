"""GitLab code quality: one entry a failure, in GitLab's subset of the Code Climate form."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from interfaces.cli.reports.failure import summary
from interfaces.cli.reports.model import Collected, Execution, Step
from interfaces.cli.terminal import one_line

SHOWN = 500


def gitlab(executions: Collected, sources: Mapping[str, str]) -> Iterator[bytes]:
    """A JSON array. Fingerprints stay the same as long as the same thing fails in the same place of the same flow."""
    yield b"["
    first = True
    seen: set[str] = set()
    for execution in executions.bad():
        for entry in _entries(execution):
            if entry["fingerprint"] not in seen:
                seen.add(entry["fingerprint"])
                yield (b"\n" if first else b",\n") + orjson.dumps(entry)
                first = False
    yield b"\n]\n"


def _entries(execution: Execution) -> Iterator[dict[str, Any]]:
    failures = execution.failures
    for step in failures:
        checks = step.failed_assertions
        if step.error or not checks:
            yield _entry(execution, step, summary(step), step.error or {}, (step.error or {}).get("kind", step.verdict))
        for check in () if step.error else checks:
            yield _entry(execution, step, check["message"] or check["expression"], check, "assertion", check["expression"])
    if not failures:
        yield _entry(execution, None, execution.message or str(execution.verdict), {}, execution.cause or "flow")


def _entry(
    execution: Execution, step: Step | None, message: str, place: Mapping[str, Any], kind: str, more: str = ""
) -> dict[str, Any]:
    file = ((step.outcome.get("file") if step else None) or execution.file).removeprefix("./")
    where = f"{execution.title} > {step.where}: " if step else f"{execution.title}: "
    what = (file, execution.name, execution.case, step.path if step else "", kind, more)
    tolerated = step is not None and step.verdict == "tolerated"
    return {
        "description": one_line(where + message)[:SHOWN],
        "check_name": f"testmesh.{kind}",
        "fingerprint": hashlib.sha256(orjson.dumps(what)).hexdigest(),
        "severity": "minor" if tolerated else "major",
        "location": {"path": file, "lines": {"begin": place.get("line") or 1}},
    }
