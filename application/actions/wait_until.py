"""The action `wait_until`: steps again and again until an expression is true."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from application.actions.loop_options import read_number, read_seconds
from application.engine.action import Action, ActionContext, ActionError, ActionFailed, Key
from application.engine.bodies import Body
from domain.expressions import ExpressionError
from domain.expressions.values import short

_SHORTEST_INTERVAL = 0.01
_MOST_ATTEMPTS = 10_000
_OUTCOMES = ("fail", "continue")


async def run(config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
    """Try until the condition holds. A step that fails meanwhile is a reason to try again, and is told when time runs out."""
    import asyncio  # loaded when first used: validating needs none

    limit = read_seconds(config, "max_duration", 30.0)
    interval = max(_SHORTEST_INTERVAL, read_seconds(config, "interval", 1.0))
    most = read_number(config, "max_attempts", _MOST_ATTEMPTS, _MOST_ATTEMPTS)
    late = config.get("on_timeout", "fail")
    if late not in _OUTCOMES:
        raise ActionError("config", f"on_timeout must be fail or continue, not {late!r:.80}")
    end = time.monotonic() + min(limit, context.remaining())
    attempts = 0
    while True:
        why = await _try(config["condition"], attempts, context)
        attempts += 1
        if why is None:
            return {"met": True, "attempts": attempts}
        if attempts >= most or time.monotonic() + interval > end:
            break
        await asyncio.sleep(interval)
    result = {"met": False, "attempts": attempts}
    if late == "continue":
        context.log("warning", f"went on without it after {attempts} attempts: {why}")
        return result
    raise ActionFailed(f"not met within {limit:g} s ({attempts} attempts): {why}", result=result)


async def _try(condition: str | bool, number: int, context: ActionContext) -> str | None:
    """Why it does not hold yet; None when it holds."""
    if context.bodies is not None and context.bodies.has("steps"):
        recorded = number < context.limits.recorded_iterations
        ended = await context.bodies.run(Body("steps", f"[{number}]", recorded=recorded), tolerant=True)
        if not ended.ok:
            return ended.message
    try:
        value = context.evaluate(condition, {"attempts": number + 1}) if isinstance(condition, str) else condition
    except ExpressionError as error:
        return f"{condition}: {error.message}"
    if value is True:
        return None
    parts = context.values(condition, {"attempts": number + 1}) if isinstance(condition, str) else ()
    seen = ", ".join(f"{text} = {short(part)}" for text, part in parts)
    return f"{condition} is {short(value)}" + (f" ({seen})" if seen else "")


WAIT_UNTIL = Action(
    name="wait_until",
    description="Runs steps until a condition holds over what they leave behind. This is expected waiting, not a flaky pass.",
    keys={
        "condition": Key(("expression",), required=True, description="What must become true; it also knows `attempts`."),
        "steps": Key(("steps",), description="Steps that are run before each look at the condition."),
        "max_duration": Key(("duration",), aliases=("timeout",), description="How long to try; 30s by default."),
        "interval": Key(("duration",), description="Time between two attempts; 1s by default."),
        "max_attempts": Key(("integer",), description="How often to try at most."),
        "on_timeout": Key(("string",), choices=_OUTCOMES, description="fail (by default), or continue with met: false."),
    },
    run=run,
    result={"met": "Whether the condition became true.", "attempts": "How often it was tried."},
    unresolved=("condition",),
    names={"condition": ("attempts",)},
    after_bodies=("condition",),
)
