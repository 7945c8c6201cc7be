"""The action `delay`: waits."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from application.engine.action import Action, ActionContext, ActionError, Key
from domain.duration import parse_duration


async def run(config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
    """Wait; the step's time-out and a cancel end it early."""
    import asyncio  # loaded when first used: validating needs none

    try:
        seconds = parse_duration(config["duration"])
    except ValueError as error:
        raise ActionError("config", f"duration: {error}") from None
    begun = time.monotonic()
    await asyncio.sleep(seconds)
    early = begun + seconds - time.monotonic()
    if early > 0:  # a loop may go by whole milliseconds
        await asyncio.sleep(early + 0.001)
    return {"duration": round((time.monotonic() - begun) * 1000, 3)}


DELAY = Action(
    name="delay",
    description="Waits.",
    keys={"duration": Key(("duration",), required=True, description="500ms, 2s, 1m30s, or a number of seconds.")},
    run=run,
    result={"duration": "Milliseconds that it waited."},
)
