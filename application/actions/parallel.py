"""The action `parallel`: branches of steps side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from application.actions.loop_options import read_fail_fast, read_number
from application.engine.action import Action, ActionContext, ActionError, Key
from application.engine.bodies import Bodies, Body, failure_of


async def run(config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
    """Run every branch; each sees the names outside, and what all leave behind is known afterwards."""
    bodies = context.bodies
    names, wanted = _branches(bodies) if bodies is not None else ((), [])
    if bodies is None or not wanted:
        raise ActionError("config", "parallel has no branch", hint="add branches: {left: [steps], right: [steps]}")
    at_once = read_number(config, "max_concurrent", context.limits.parallel, context.limits.parallel)
    results = await bodies.run_all(wanted, at_once=at_once, fail_fast=read_fail_fast(config, "wait_for_all"))
    told = {names[result.number]: dict(result.outputs) for result in results}
    failure = failure_of(results, lambda number: f"branch {names[number]}: ", {"branches": told})
    if failure is not None:
        raise failure
    return {"branches": told}


def _branches(bodies: Bodies) -> tuple[tuple[str, ...], list[Body]]:
    """Names of the branches and how to run them: those that are named, and steps that are a branch each."""
    named, single = bodies.names("branches"), bodies.ids("steps")
    wanted = [Body(f"branches/{name}", f"/{name}", {"branch": name}) for name in named]
    wanted += [Body("steps", "", {"branch": name}, only=number) for number, name in enumerate(single)]
    return (*named, *single), wanted


PARALLEL = Action(
    name="parallel",
    description="Runs branches of steps at the same time. A branch does not see what the others do while they run.",
    keys={
        "branches": Key(
            ("branches",),
            one_of="branches",
            description="Lists of steps by name, or a list of objects with a name and steps.",
        ),
        "steps": Key(("steps",), one_of="branches", description="Steps that are a branch each."),
        "max_concurrent": Key(("integer",), description="How many run at the same time; all by default, at most 50."),
        "fail_fast": Key(("boolean",), description="Whether the first failure stops the others; true by default."),
        "wait_for_all": Key(("boolean",), description="The opposite of fail_fast: every branch runs to its end."),
    },
    run=run,
    result={"branches": "The outputs of each branch, by its name."},
    body_names=lambda config: frozenset({"branch"}),
)
