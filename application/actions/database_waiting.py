"""Asks a database again and again until what it answers is as wished."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from application.actions.database_asking import Query
from application.engine.action import ActionContext, ActionError, ActionFailed
from domain.values import dataclass

SHORTEST_INTERVAL = 0.01
_SHORTEST_TRY = 1.0
_TRANSIENT = ("connection_refused", "connection_error", "timeout", "dns")

Look = Callable[[Mapping[str, Any]], str]
"""An empty text when a result is as wished, else what was seen instead; ActionError when it never can be."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """How long, how often and how many times. With `patient`, a server that cannot be reached yet is asked again."""

    timeout: float
    interval: float
    most_tries: int | None = None
    patient: bool = False


@dataclass(slots=True)
class _State:
    tries: int = 0
    seen: str = "no answer"
    trouble: str = ""
    result: dict[str, Any] | None = None


async def ask_until(query: Query, look: Look, waiting: Waiting, context: ActionContext) -> tuple[dict[str, Any], int]:
    """The first result that is as wished, and the number of tries. ActionFailed says what was seen last."""
    import asyncio  # loaded when first used: validating needs none

    end = time.monotonic() + waiting.timeout
    state = _State()
    while True:
        state.tries += 1
        if await _try(query, look, waiting, end, state):
            assert state.result is not None
            return state.result, state.tries
        if state.tries == waiting.most_tries or time.monotonic() + waiting.interval > end:
            raise _not_met(state, waiting)
        await asyncio.sleep(waiting.interval)


async def _try(query: Query, look: Look, waiting: Waiting, end: float, state: _State) -> bool:
    """Ask once, until the end or a moment longer."""
    import asyncio  # loaded when first used: validating needs none

    try:
        async with asyncio.timeout(max(_SHORTEST_TRY, end - time.monotonic())) as limit:
            state.result = await query.once()
    except TimeoutError:
        if not limit.expired():
            raise
        state.trouble = "the last query gave no answer in time"
        return False
    except ActionError as error:
        if not waiting.patient or error.kind not in _TRANSIENT:
            raise
        state.trouble = error.message
        return False
    state.trouble, state.seen = "", look(state.result)
    return not state.seen


def _not_met(state: _State, waiting: Waiting) -> ActionFailed:
    tries = f"{state.tries} tries" if state.tries > 1 else "1 try"
    message = f"{state.seen} within {waiting.timeout:g} s ({tries})"
    if state.tries == waiting.most_tries:
        message = f"{state.seen} after {tries}"
    result = state.result or {"rows": [], "count": 0, "row_count": 0, "first_row": None}
    return ActionFailed(
        f"{message}; {state.trouble}" if state.trouble else message,
        result={**result, "success": False, "attempts": state.tries},
    )
