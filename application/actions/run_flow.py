"""The action `run_flow`: another flow as a step, with inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from application.actions.loop_options import read_truth
from application.engine.action import Action, ActionContext, ActionError, Key
from application.engine.errors import BodyFailed


async def run(config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
    """Run the flow to its end, teardown included; its outputs are the result."""
    reference, inputs = config["flow"], config.get("inputs", config.get("input")) or {}
    if not isinstance(reference, str) or not reference.strip():
        raise ActionError("config", "flow must be the path, name or id of a flow")
    if not isinstance(inputs, Mapping):
        raise ActionError("config", "inputs must be an object of names and values")
    if "input" in config and "inputs" in config:
        raise ActionError("config", "input and inputs mean the same; keep one")
    if context.call is None:
        raise ActionError("config", "there is no flow here that could be called")
    called = await context.call(reference.strip(), inputs, read_truth(config, "inherit_env", True))
    outputs = dict(called.outputs)
    result = {"output": outputs, "flow": {"name": called.name, "output": outputs}, "verdict": called.verdict}
    if called.verdict != "passed":
        raise BodyFailed(called.verdict, f"{called.name}: {called.message}", result=result)
    return result


RUN_FLOW = Action(
    name="run_flow",
    description="Runs another flow: its setup, steps and teardown, which runs whatever happens. It has names of its own.",
    keys={
        "flow": Key(
            ("string",), required=True, names="flow", description="Its path (from this file, or from the project), name or id."
        ),
        "inputs": Key(("object",), description="Values for the inputs that the flow declares."),
        "input": Key(("object",), description="The same as inputs."),
        "inherit_env": Key(
            ("boolean",), description="Whether it sees the variables of this flow (not its outputs); true by default."
        ),
    },
    run=run,
    result={
        "output": "The outputs that the flow declares, by name.",
        "flow": "name, and output once more.",
        "verdict": "passed; another verdict fails this step.",
    },
)
