"""The data of the HTML report: executions and their steps, bounded, with values already in the form that is shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from interfaces.cli.reports.difference import difference_lines, shown
from interfaces.cli.reports.failure import as_curl, sides, summary
from interfaces.cli.reports.model import Execution, Step
from interfaces.cli.running.again import again_command
from interfaces.cli.terminal import one_line, printable

EXECUTION_BYTES = 2 * 1024 * 1024
STEPS = 2_000
AROUND = 3
"""Lines of source before and after the one that is meant."""
SOURCE_SHOWN = 200
VALUE_SHOWN = 2_000
LEFT_OUT = "What this step did is left out: this file would be too large. The JSON report has it."


class Budget:
    """Bytes that may still be written."""

    def __init__(self, left: int) -> None:
        self._left = left

    def take(self, size: int) -> bool:
        """Whether so many are left; if so, they are taken."""
        if size > self._left:
            return False
        self._left -= size
        return True


def first_failure(execution: Execution) -> Step | None:
    """The step to look at first: one that counts rather than one that is tolerated."""
    return min(execution.failures, key=lambda step: step.verdict == "tolerated", default=None)


def index_entry(execution: Execution, place: int, repeated_by: str | None) -> dict[str, Any]:
    """What the list shows of an execution."""
    first = first_failure(execution)
    why = summary(first) if first else execution.message
    return {
        "place": place,
        "id": execution.id,
        "title": one_line(execution.title)[:300],
        "file": one_line(execution.file)[:500],
        "verdict": execution.verdict or "unfinished",
        "ms": round(execution.seconds * 1000, 3),
        "why": one_line(why)[:200],
        **({"superseded": repeated_by} if repeated_by else {}),
    }


def execution_data(execution: Execution, sources: Mapping[str, str]) -> dict[str, Any]:
    """What is shown when one is opened; where it is too much, steps that are fine lose their inside first."""
    first = first_failure(execution)
    budget = Budget(EXECUTION_BYTES)
    kept = sorted(range(len(execution.steps)), key=lambda place: (not execution.steps[place].bad, place))[:STEPS]
    made: dict[int, dict[str, Any]] = {}
    for place in kept:
        step = execution.steps[place]
        data = step_data(execution, step, sources)
        if not budget.take(len(orjson.dumps(data, option=orjson.OPT_NON_STR_KEYS, default=str))):
            data = {**_row(execution, step), "left_out": LEFT_OUT}
        made[place] = {**data, "first": True} if step is first else data
    left = len(execution.steps) - len(kept)
    return {
        "id": execution.id,
        "seed": execution.seed,
        "attempt": execution.attempt,
        "cause": execution.cause,
        "message": printable(execution.message),
        "ms": round(execution.seconds * 1000, 3),
        "started_at": execution.started_at,
        "outputs": execution.outputs,
        "again": again_command(execution),
        "steps": [made[place] for place in sorted(made)],
        "left_out": f"{left} more steps are left out." if left else "",
    }


def _row(execution: Execution, step: Step) -> dict[str, Any]:
    begin = (step.started_at - execution.started_at).total_seconds() * 1000 if step.started_at and execution.started_at else 0.0
    return {
        "path": step.path,
        "phase": step.phase,
        "depth": step.path.count("/"),
        "name": printable(step.name),
        "action": step.action,
        "attempt": step.attempt,
        "verdict": step.verdict,
        "begin": round(begin, 3),
        "ms": step.duration_ms,
    }


def step_data(execution: Execution, step: Step, sources: Mapping[str, str]) -> dict[str, Any]:
    """One step with its tries, assertions, exchange, result and logs."""
    outcome = step.outcome
    file = outcome.get("file") or execution.file
    exchange = outcome.get("exchange")
    request = (exchange or {}).get("request") or {}
    error = step.error
    return {
        **_row(execution, step),
        "reason": outcome.get("reason"),
        "error": error and {**error, "excerpt": excerpt(sources.get(file, ""), file, error)},
        "tries": [_try(made, sources.get(file, ""), file) for made in outcome.get("tries") or ()],
        "exchange": exchange,
        "curl": as_curl(request) if "url" in request else None,
        "outputs": outcome.get("outputs"),
        "result": None if exchange and "status" in (exchange.get("response") or {}) else outcome.get("result"),
        "shortened": step.shortened,
        "logs": step.logs,
    }


def _try(made: Mapping[str, Any], source: str, file: str) -> dict[str, Any]:
    checks = [_check(check, source, file) for check in made["assertions"]]
    told = {"number": made["number"], "verdict": made["verdict"], "ms": made["duration_ms"], "error": made["error"]}
    return {**told, "assertions": checks, "left_out": made.get("left_out", 0)}


def _check(check: Mapping[str, Any], source: str, file: str) -> dict[str, Any]:
    if check["passed"]:
        return {"expression": check["expression"], "passed": True}
    compared = zip(("expected", "actual"), sides(check), strict=True)
    pairs = [pair for pair in check["values"] if isinstance(pair, list | tuple) and len(pair) == 2]
    return {
        "expression": check["expression"],
        "passed": False,
        "message": check["message"],
        "error": check["error"],
        "operator": check.get("operator", ""),
        **{name: shown(check[name], VALUE_SHOWN) for name, is_there in compared if is_there},
        "values": [[str(text), shown(value, VALUE_SHOWN)] for text, value in pairs],
        "diff": difference_lines(check["expected"], check["actual"]) or list(check["diff"]),
        "excerpt": excerpt(source, file, check),
    }


def excerpt(source: str, file: str, place: Mapping[str, Any]) -> dict[str, Any] | None:
    """The lines around a place, the caret counted in columns of the line as it is shown; None without a place."""
    line, column = place.get("line") or 0, place.get("column") or 1
    if not line:
        return None
    lines = source.splitlines()
    first, last = max(1, line - AROUND), min(len(lines), line + AROUND)
    shown_lines = [[number, lines[number - 1][:SOURCE_SHOWN]] for number in range(first, last + 1)]
    return {"file": file, "line": line, "column": column, "caret": min(column - 1, SOURCE_SHOWN), "lines": shown_lines}
