"""The action `delay`."""

from __future__ import annotations

import asyncio
import time

import pytest

from application.actions.delay import DELAY
from tests.support.action_context import Bench


@pytest.mark.parametrize("duration", ["50ms", 0.05, "0.05"])
async def test_it_waits_as_long_as_it_says(duration: object) -> None:
    begun = time.monotonic()
    result = await Bench().run(DELAY, {"duration": duration})
    waited = time.monotonic() - begun

    assert 0.049 <= waited < 1
    assert 49 <= result["duration"] <= waited * 1000


async def test_it_ends_at_once_when_the_step_is_cancelled() -> None:
    waiting = asyncio.create_task(Bench().run(DELAY, {"duration": "1h"}))
    await asyncio.sleep(0.01)
    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting


@pytest.mark.parametrize("duration", ["soon", -1, None, [], float("nan")])
async def test_what_is_no_duration_is_told(duration: object) -> None:
    error = await Bench().error(DELAY, {"duration": duration})

    assert error.kind == "config"
    assert error.message.startswith("duration: ")
