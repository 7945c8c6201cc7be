"""The action `log`: a line in the log of the execution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from application.engine.action import Action, ActionContext, ActionError, Key
from domain.expressions.errors import Fault
from domain.expressions.values import to_text

LEVELS = ("debug", "info", "warning", "error")


async def run(config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
    """Write the message; a value that is not text is printed as templates print it."""
    level = config.get("level", "info")
    if level not in LEVELS:
        raise ActionError("config", f"level must be one of {', '.join(LEVELS)}")
    try:
        message = to_text(config["message"])
    except Fault as fault:
        raise ActionError("config", f"message: {fault.message}") from None
    context.log(level, message)
    return {"message": message, "level": level}


LOG = Action(
    name="log",
    description="Writes a line into the log of the execution.",
    keys={
        "message": Key(("any",), required=True, description="The text; lists and objects are written as JSON."),
        "level": Key(("string",), choices=LEVELS, description="debug, info (default), warning or error."),
    },
    run=run,
    result={"message": "The text that was written.", "level": "Its level."},
)
