"""The action `log`: a line in the log of the execution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from application.engine.action import Action, ActionContext, ActionError, Key
from domain.expressions.errors import Fault
from domain.expressions.values import to_text

LEVELS = {"debug": "debug", "info": "info", "warning": "warning", "warn": "warning", "error": "error"}
"""Levels as they are written, and as they are recorded."""


async def run(config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
    """Write the message, and the data behind it; a value that is not text is printed as templates print it."""
    level = LEVELS.get(str(config.get("level", "info")))
    if level is None:
        raise ActionError("config", f"level must be one of {', '.join(LEVELS)}")
    message, data = _text("message", config["message"]), config.get("data")
    context.log(level, message if data is None else f"{message} {_text('data', data)}")
    return {"message": message, "level": level, "data": data}


def _text(name: str, value: Any) -> str:
    try:
        return to_text(value)
    except Fault as fault:
        raise ActionError("config", f"{name}: {fault.message}") from None


LOG = Action(
    name="log",
    description="Writes a line into the log of the execution.",
    keys={
        "message": Key(("any",), required=True, description="The text; lists and objects are written as JSON."),
        "level": Key(("string",), choices=tuple(LEVELS), description="debug, info (default), warning (or warn) or error."),
        "data": Key(("object", "array"), description="More that belongs to it, written behind it as JSON."),
    },
    run=run,
    result={"message": "The text that was written.", "level": "Its level.", "data": "The data, null without any."},
)
