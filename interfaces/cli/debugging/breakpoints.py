"""Where a debugger stops: steps by id or path, and lines moved to where their steps begin."""

from __future__ import annotations

from collections.abc import Iterable

from application.documents.source import did_you_mean
from domain.definition import FlowDefinition
from domain.errors import NotFound
from interfaces.cli.listing import steps_of
from interfaces.cli.planning.references import calls


def at_steps(definition: FlowDefinition, breakpoints: Iterable[str]) -> set[str]:
    """The breakpoints, lines moved to where their steps begin. Raises NotFound for a step that cannot be there."""
    steps = list(steps_of(definition))
    names = {name for step in steps for name in (step["id"], step["id"].rpartition("/")[2])}
    elsewhere = any(True for _ in calls(definition))
    found = set()
    for wanted in breakpoints:
        if wanted.isdecimal() and wanted.isascii():
            lines = [step["line"] for step in steps if step["line"] <= int(wanted)]
            found.add(str(max(lines, default=min(step["line"] for step in steps))))
        elif wanted in names or elsewhere or ":" in wanted:
            found.add(wanted)
        else:
            raise NotFound(f"{definition.file} has no step {wanted!r} to stop at", remedy=did_you_mean(wanted, names))
    return found


def lines_of(definition: FlowDefinition, first: int) -> tuple[int, int]:
    """The first and the last line of the step that begins at a line: up to the next step, as far as something stands there."""
    lines = definition.source.splitlines()
    later = [step["line"] for step in steps_of(definition) if step["line"] > first]
    last = min(later, default=len(lines) + 1) - 1
    while last > first and not lines[last - 1].strip():
        last -= 1
    return first, last
