"""The action `condition`: one of two lists of steps, as an expression says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from application.engine.action import Action, ActionContext, ActionError, Key
from application.engine.bodies import Body, failure_of


async def run(config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
    """Evaluate the condition and run the branch; what its steps leave behind is known afterwards."""
    text = config["condition"]
    met = context.evaluate(text, {}) if isinstance(text, str) else text
    if not isinstance(met, bool):
        raise ActionError("config", f"the condition must be true or false, it is {met!r:.80}", hint="compare it with something")
    bodies = context.bodies
    branch = "then" if met else "else"
    there = bodies is not None and bodies.has(branch)
    result = {"branch": branch if there else "none", "met": met}
    if bodies is None or not there:
        return result
    ended = await bodies.run(Body(branch))
    failure = failure_of([ended], lambda number: "", result)
    if failure is not None:
        raise failure
    return result


CONDITION = Action(
    name="condition",
    description="Runs `then` when an expression is true, else `else`. Outputs of the steps inside are known after it.",
    keys={
        "condition": Key(("expression",), required=True, aliases=("when", "if"), description="What decides."),
        "then": Key(("steps",), one_of="steps", aliases=("steps",), description="Steps for when it is true."),
        "else": Key(("steps",), one_of="steps", description="Steps for when it is false."),
    },
    run=run,
    result={
        "branch": "Which steps were run: then, else, or none when there are none for the case.",
        "met": "What the condition was.",
    },
    unresolved=("condition",),
    names={"condition": ()},
)
