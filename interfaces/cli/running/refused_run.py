"""What a run leaves for which nothing was run, as flows are invalid or none was selected: every report says so."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from domain.errors import InvalidFlow, Problem
from interfaces.cli.errors import ExitCode
from interfaces.cli.reports.model import Collected, Collector
from interfaces.cli.reports.records import as_line
from interfaces.cli.running.results import Reports, leave_results
from interfaces.cli.terminal import say

CAUSE = "invalid_flow"


class _Nothing:
    """In the place of a runner: nothing was run, so there are no secrets to mask and no flows to count."""

    total = 0
    skipped: Sequence[tuple[str, str]] = ()
    masks_all = True
    halted = None

    def masked(self, value: Any) -> Any:
        """As it is."""
        return value


def leave_refused(invalid: InvalidFlow, options: Mapping[str, Any], reports: Reports) -> list[ExitCode]:
    """Write every report that was asked for, each invalid file an execution with the verdict `error` and a step a problem."""
    collected = _collected(invalid)
    if options["form"] == "jsonl":
        for execution in collected:
            for event in execution.events:
                say(as_line(event).decode(), sys.stdout)
    return _left(collected, _sources(invalid.problems), options, reports)


def leave_nothing(options: Mapping[str, Any], reports: Reports) -> list[ExitCode]:
    """Write every report of a run for which no flow was selected: a CI that collects them finds them."""
    return _left(Collector().finish(), {}, options, reports)


def _left(collected: Collected, sources: Mapping[str, str], options: Mapping[str, Any], reports: Reports) -> list[ExitCode]:
    shown = options["form"] != "text"  # stderr has told people already
    return leave_results(collected, sources, {**options, "save": None}, _Nothing(), reports, shown=shown)


def _collected(invalid: InvalidFlow) -> Collected:
    collector = Collector()
    for file, problems in _by_file(one for one in invalid.problems if one.severity == "error"):
        for event in _events(file, problems):
            collector.add(event)
    return collector.finish()


def _by_file(problems: Iterable[Problem]) -> Iterator[tuple[str, list[Problem]]]:
    """The problems of each file; bytes of its name that are no text are replaced, as no report can hold them."""
    for file, found in groupby(sorted(problems, key=attrgetter("file")), key=attrgetter("file")):
        yield file.encode("utf-8", "replace").decode(), list(found)


def _events(file: str, problems: Sequence[Problem]) -> Iterator[dict[str, Any]]:
    """The file as an execution that could not begin."""
    about = {"execution": str(uuid5(NAMESPACE_URL, f"testmesh:{file}")), "at": datetime.now(UTC).isoformat()}
    bodies: list[tuple[str, dict[str, Any]]] = [("requested", {"flow_name": file, "file": file, "seed": "", "case": ""})]
    for number, problem in enumerate(problems, 1):
        place = {"path": f"line_{problem.line}_{number}", "attempt": 1}
        what = {"phase": "document", "number": number, "name": f"line {problem.line}", "action": "validate"}
        error = {
            "kind": CAUSE,
            "message": problem.title,
            "hint": problem.remedy,
            "line": problem.line,
            "column": problem.column,
        }
        outcome = {"verdict": "error", "duration_ms": 0.0, "tries": [], "error": error}
        bodies += [("step_started", {**place, **what}), ("step_finished", {**place, "outcome": outcome})]
    message = "; ".join(f"{problem.line}:{problem.column}: {problem.title}" for problem in problems)
    bodies.append(("finished", {"verdict": "error", "cause": CAUSE, "message": message, "outputs": {}}))
    for version, (topic, body) in enumerate(bodies, 1):
        yield {**about, "feed_id": version, "version": version, "topic": f"execution.{topic}", "event": body}


def _sources(problems: Sequence[Problem]) -> dict[str, str]:
    """Of each file the lines that are wrong, and nothing else: what cannot be read cannot be searched for credentials."""
    found: dict[str, str] = {}
    for file, group in _by_file(problems):
        lines: dict[int, str] = {}
        for problem in group:
            line, _, caret = (problem.excerpt or "").partition("\n")
            cropped = problem.column - 1 - len(caret.partition("| ")[2].rstrip("^"))
            lines[problem.line] = " " * cropped + line.partition("| ")[2]
        found[file] = "\n".join(lines.get(number, "") for number in range(1, max(lines, default=0) + 1))
    return found
