"""`testmesh list`: the flows that a run would take, and what is known of them without running them."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from interfaces.cli.errors import ExitCode
from interfaces.cli.terminal import printable

if TYPE_CHECKING:
    from domain.definition import FlowDefinition, Step
    from interfaces.cli.planning.plan import Planned

COLUMNS = {
    "file": "FILE",
    "name": "NAME",
    "tags": "TAGS",
    "suite": "SUITE",
    "step_count": "STEPS",
    "rows": "ROWS",
    "needs": "NEEDS",
}


@click.command("list")
@click.argument("paths", nargs=-1)
@click.option("--tags", help="Only flows with these tags: 'smoke and not slow', or commas for either.")
@click.option("-k", "text", help="Only flows whose name or file contains this.")
@click.option("--steps", is_flag=True, help="Show the steps too, each with its line.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="What stdout carries.")
def list_(paths: tuple[str, ...], steps: bool, form: str, **options: Any) -> int:
    """List the flows of files, folders and globs. Without PATHS: those of testmesh.yaml, or this folder."""
    from interfaces.cli.planning.plan import Planner
    from interfaces.cli.tables import show_json, show_table

    planner = Planner(paths, options, strict=False, environ=None)
    flows = [_described(flow, steps or form == "json") for flow in planner.read(planner.files())]
    if form == "json":
        show_json({"version": 1, "flows": flows})
    elif steps:
        _show_steps(flows)
    elif flows:
        show_table(flows, COLUMNS)
    for problem in planner.problems:
        print(printable(str(problem)), file=sys.stderr)
    if form == "text":
        rows = sum(flow["rows"] or 1 for flow in flows)
        print(f"{len(flows)} flow{'s' * (len(flows) != 1)}, {rows} execution{'s' * (rows != 1)}", file=sys.stderr)
    if planner.problems:
        return ExitCode.USAGE
    return ExitCode.PASSED if flows else ExitCode.NOTHING


def _described(flow: Planned, with_steps: bool) -> dict[str, Any]:
    definition = flow.definition
    steps = list(steps_of(definition))
    found: dict[str, Any] = {
        "file": flow.file,
        "name": definition.name,
        "id": definition.id,
        "description": definition.description,
        "suite": definition.suite,
        "tags": list(definition.tags),
        "step_count": len(steps),
        "rows": None if flow.cases is None else flow.cases.count(),
        "needs": list(definition.needs),
        "lock": list(definition.lock),
    }
    return {**found, "steps": steps} if with_steps else found


def steps_of(definition: FlowDefinition) -> Iterator[dict[str, Any]]:
    """Every step of a flow, nested ones included, in the order of the file."""
    for phase, steps in zip(("setup", "steps", "on_error", "teardown"), definition.lists(), strict=True):
        yield from _steps(definition, steps, phase, "on_error/" if phase == "on_error" else "")


def _steps(definition: FlowDefinition, steps: Sequence[Step], phase: str, prefix: str) -> Iterator[dict[str, Any]]:
    for step in steps:
        path = f"{prefix}{step.id}"
        line = definition.position(step.path).line
        yield {"id": path, "name": step.name, "action": step.action, "phase": phase, "line": line, "tags": list(step.tags)}
        for body in (*step.bodies.values(), step.on_error.steps):
            yield from _steps(definition, body, phase, f"{path}/")


def _show_steps(flows: Sequence[Mapping[str, Any]]) -> None:
    for flow in flows:
        click.echo(printable(f"{flow['file']}  {flow['name']}"))
        width = max(len(step["id"]) for step in flow["steps"])
        for step in flow["steps"]:
            place = f"{flow['file']}:{step['line']}"
            phase = "" if step["phase"] == "steps" else f"  ({step['phase']})"
            click.echo(printable(f"  {step['id']:<{width}}  {step['action']:<14}  {place}{phase}"))
