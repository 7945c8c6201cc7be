"""The action `run_flow`: another flow as a step, with inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from application.actions.loop_options import read_truth
from application.engine.action import Action, ActionContext, ActionError, Key
from application.engine.errors import BodyFailed


async def run(config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
    """Run the flow to its end, teardown included; its outputs are the result."""
    reference, inputs = config["flow"], config.get("inputs") or {}
    if not isinstance(reference, str) or not reference.strip():
        raise ActionError("config", "flow must be the path, name or id of a flow")
    if not isinstance(inputs, Mapping):
        raise ActionError("config", "inputs must be an object of names and values")
    if config.get("input_file") is not None:
        inputs = {**_from_file(config["input_file"], context), **inputs}
    if context.call is None:
        raise ActionError("config", "there is no flow here that could be called")
    called = await context.call(reference.strip(), inputs, read_truth(config, "inherit_env", True))
    outputs = dict(called.outputs)
    status = "success" if called.verdict == "passed" else "failed"
    flow = {"name": called.name, "status": status, "output": outputs}
    result = {"output": outputs, "flow": flow, "verdict": called.verdict}
    if called.verdict != "passed":
        raise BodyFailed(called.verdict, f"{called.name}: {called.message}", result=result)
    return result


def _from_file(path: Any, context: ActionContext) -> Mapping[str, Any]:
    from application.actions.project_files import read_data  # with its readers: only where a file is named

    inputs = read_data("input_file", path, context)
    if not isinstance(inputs, Mapping):
        raise ActionError("config", f"input_file: {path[:200]!r} must hold an object of names and values")
    return inputs


RUN_FLOW = Action(
    name="run_flow",
    description="Runs another flow: its setup, steps and teardown, which runs whatever happens. It has names of its own.",
    keys={
        "flow": Key(
            ("string",), required=True, names="flow", description="Its path (from this file, or from the project), name or id."
        ),
        "inputs": Key(("object",), aliases=("input",), description="Values for the inputs that the flow declares."),
        "input_file": Key(
            ("string",),
            names="file",
            description="A JSON or YAML file below the project's folder that holds inputs; inputs win over it.",
        ),
        "inherit_env": Key(
            ("boolean",), description="Whether it sees the variables of this flow (not its outputs); true by default."
        ),
    },
    run=run,
    result={
        "output": "The outputs that the flow declares, by name.",
        "flow": "name, status (success; failed where the step fails), and output once more.",
        "verdict": "passed; another verdict fails this step.",
    },
)
