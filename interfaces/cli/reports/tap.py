"""TAP version 14 (testanything.org): flows as subtests, steps as test points, failures as YAML diagnostics."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from interfaces.cli.reports.failure import as_curl, failure_text, sides, summary
from interfaces.cli.reports.model import PASSED, Collected, Execution, Step
from interfaces.cli.terminal import one_line

_BAD = ("failed", "error", "timed_out", "cancelled", "lost", "running")
_TEXT_SHOWN = 8_000


def tap(executions: Collected, sources: Mapping[str, str]) -> Iterator[bytes]:
    """One test point a flow, each with its steps as a subtest; superseded and skipped flows as SKIP."""
    repeated = executions.repeated
    ended = {id for id, *_ in executions.ends()}
    superseded = sum(id not in ended for id in repeated)
    yield f"TAP version 14\n1..{len(executions) + superseded + len(executions.skipped)}\n".encode()
    number = 0
    for number, execution in enumerate(executions, 1):
        yield from _flow(number, execution, sources)
    for execution in executions.superseded():
        number += 1
        why = f"{execution.verdict}, and repeated by {repeated[execution.id]}"
        yield f"ok {number} - {_name(execution.title)} # SKIP {_name(why)}\n".encode()
    for name, why in executions.skipped:
        number += 1
        yield f"ok {number} - {_name(name)} # SKIP {_name(why)}\n".encode()


def _flow(number: int, execution: Execution, sources: Mapping[str, str]) -> Iterator[bytes]:
    steps = execution.last_steps
    yield f"# Subtest: {_name(execution.title)}\n    1..{len(steps)}\n".encode()
    for place, step in enumerate(steps, 1):
        yield f"    {_point(place, step)}\n".encode()
        if step.verdict in (*_BAD, "tolerated"):
            yield _diagnostics(_of_step(execution, step, sources), "      ")
    passed = execution.verdict in PASSED
    yield f"{'ok' if passed else 'not ok'} {number} - {_name(execution.title)}\n".encode()
    if not passed:
        said = {"verdict": execution.verdict, "cause": execution.cause, "message": execution.message}
        yield _diagnostics({**said, "file": execution.file, "seed": execution.seed, "execution": execution.id}, "  ")


def _point(number: int, step: Step) -> str:
    said = f"{number} - {_name(f'{step.phase}: {step.where}')}"
    if step.verdict == "skipped":
        return f"ok {said} # SKIP {_name(str(step.outcome.get('reason') or ''))}"
    if step.verdict == "tolerated":
        return f"not ok {said} # TODO {_name(str(step.outcome.get('reason') or 'tolerated'))}"
    return f"{'not ok' if step.verdict in _BAD else 'ok'} {said}"


def _of_step(execution: Execution, step: Step, sources: Mapping[str, str]) -> dict[str, Any]:
    place = step.error or next(iter(step.failed_assertions), {})
    request = (step.outcome.get("exchange") or {}).get("request") or {}
    found: dict[str, Any] = {"message": summary(step), "verdict": step.verdict, "duration_ms": step.duration_ms}
    found["at"] = {"file": step.outcome.get("file") or execution.file}
    if place.get("line"):
        found["at"] |= {"line": place["line"], "column": place["column"]}
    for check in step.failed_assertions[:1]:
        there = sides(check) if check["error"] else (True, True)
        found |= {name: check[name] for name, is_there in zip(("expected", "actual"), there, strict=True) if is_there}
    if "url" in request:
        found["curl"] = as_curl(request)
    return {**found, "text": failure_text(execution, step, sources)[:_TEXT_SHOWN]}


def _diagnostics(values: Mapping[str, Any], indent: str) -> bytes:
    """A YAML block; its values are written as JSON, which is YAML of one line without anything left to escape."""
    lines = [f"{name}: {json.dumps(value, default=str)}" for name, value in values.items()]
    return "".join(f"{indent}{line}\n" for line in ("---", *lines, "...")).encode()


def _name(text: str) -> str:
    """A description in one line, in which `#` begins no directive."""
    return one_line(text).replace("\\", "\\\\").replace("#", "\\#").encode("utf-8", "replace").decode()
