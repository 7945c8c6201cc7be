"""The action `condition`: one of two lists of steps, as an expression says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from application.engine.action import Action, ActionContext, ActionError, Key
from application.engine.bodies import Body, failure_of

_CONDITIONS = ("condition", "when", "if")
_THEN = ("then", "steps")


async def run(config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
    """Evaluate the condition and run the branch; what its steps leave behind is known afterwards."""
    text = next(config[key] for key in _CONDITIONS if key in config)
    met = context.evaluate(text, {}) if isinstance(text, str) else text
    if not isinstance(met, bool):
        raise ActionError("config", f"the condition must be true or false, it is {met!r:.80}", hint="compare it with something")
    bodies = context.bodies
    keys = [key for key in (_THEN if met else ("else",)) if bodies is not None and bodies.has(key)]
    result = {"branch": ("then" if met else "else") if keys else "none", "met": met}
    if bodies is None or not keys:
        return result
    ended = await bodies.run(Body(keys[0]))
    failure = failure_of([ended], lambda number: "", result)
    if failure is not None:
        raise failure
    return result


_EXPRESSION = Key(("expression",), one_of="condition", description="What decides; the other names mean the same.")
CONDITION = Action(
    name="condition",
    description="Runs `then` when an expression is true, else `else`. Outputs of the steps inside are known after it.",
    keys={
        "condition": _EXPRESSION,
        "when": _EXPRESSION,
        "if": _EXPRESSION,
        "then": Key(("steps",), one_of="steps", description="Steps for when it is true."),
        "steps": Key(("steps",), one_of="steps", description="The same as then."),
        "else": Key(("steps",), one_of="steps", description="Steps for when it is false."),
    },
    run=run,
    result={
        "branch": "Which steps were run: then, else, or none when there are none for the case.",
        "met": "What the condition was.",
    },
    unresolved=_CONDITIONS,
    names=dict.fromkeys(_CONDITIONS, ()),
)
