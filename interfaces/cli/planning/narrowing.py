"""Running a part of a flow: the step at a line, with what it needs of the steps before it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from application.flow_documents import names_read
from domain.definition import FlowDefinition, Path, Step
from domain.errors import Invalid


def narrowed(definition: FlowDefinition, line: int) -> FlowDefinition:
    """The flow with setup and teardown, the step in which the line stands, and the steps before it whose names it reads.

    A line outside of `steps` means the whole flow; one that the file does not have is Invalid.
    """
    if line > definition.source.count("\n") + 1:
        raise Invalid(f"{definition.file} has no line {line}")
    chosen = _at(definition, line)
    if chosen is None:
        return definition
    wanted = set(names_read(definition.steps[chosen]))
    kept = [definition.steps[chosen]]
    for step in reversed(definition.steps[:chosen]):
        if wanted & _names(step):
            kept.append(step)
            wanted |= names_read(step)
    return replace(definition, steps=tuple(reversed(kept)))


def _at(definition: FlowDefinition, line: int) -> int | None:
    """The number of the step that the line belongs to: the last one that begins at or above it, and before what follows."""
    starts = [definition.position(step.path).line for step in definition.steps]
    after = _next_key(definition, starts)
    found = None
    for number, start in enumerate(starts):
        if start <= line < after:
            found = number
    return found


def _next_key(definition: FlowDefinition, starts: list[int]) -> int:
    """The line of the flow's first key behind `steps`."""
    lines = [at.line for path, at in definition.positions.items() if _is_key(path) and at.line > max(starts)]
    return min(lines, default=definition.source.count("\n") + 2)


def _is_key(path: Path) -> bool:
    return len(path) >= 1 and path[0] != "steps"


def _names(step: Step) -> set[str]:
    return set(_left(step))


def _left(step: Step) -> Iterator[str]:
    yield step.id
    yield from step.output
    for body in step.bodies.values():
        for nested in body:
            yield from _left(nested)
