"""An observer of an attempt: asked before and after each step, it may leave steps out and have them run again."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from application.engine.observer import Halt
from domain.outcome import StepOutcome
from tests.support.local import Local, finished, flow, outcomes


class Recorded:
    """Notes what it is asked; leaves out `skipped`, and runs each of `again` once more."""

    def __init__(self, skipped: tuple[str, ...] = (), again: tuple[str, ...] = (), pause: float = 0.0) -> None:
        self.asked: list[str] = []
        self.ended: list[tuple[str, str]] = []
        self.previews: dict[str, Any] = {}
        self._skipped = skipped
        self._again = list(again)
        self._pause = pause

    async def before(self, halt: Halt) -> bool:
        self.asked.append(halt.path)
        self.previews[halt.path] = halt.runner.preview()
        await asyncio.sleep(self._pause)
        return halt.path not in self._skipped

    async def after(self, halt: Halt, outcome: StepOutcome) -> bool:
        self.ended.append((halt.path, outcome.verdict))
        if halt.path in self._again:
            self._again.remove(halt.path)
            return True
        return False


async def run(observer: Recorded, text: str) -> list[Any]:
    local = Local()
    local.tools = replace(local.tools, observer=observer)
    return await local.run(text)


async def test_it_sees_every_step_with_its_config_resolved_and_masked() -> None:
    observer = Recorded()
    text = flow(
        "- {id: one, action: say, config: {message: hello, secret: s3cr3t}}\n"
        "- {id: two, action: say, config: {message: '${one.body} s3cr3t'}}",
        teardown="- {id: bye, action: say, config: {message: bye}}",
    )
    await run(observer, text)
    assert observer.asked == ["one", "two", "bye"]
    assert observer.previews["two"]["message"].startswith("hello [secret:")
    assert observer.ended == [("one", "passed"), ("two", "passed"), ("bye", "passed")]


async def test_a_step_that_it_leaves_out_is_recorded_as_skipped() -> None:
    events = await run(Recorded(skipped=("one",)), flow("- {id: one, action: fail}\n- {id: two, action: say}"))
    assert outcomes(events)["one"]["verdict"] == "skipped"
    assert finished(events).verdict == "passed"


async def test_a_step_that_it_wants_again_is_recorded_once_as_it_ended() -> None:
    observer = Recorded(again=("one",))
    events = await run(observer, flow("- {id: one, action: flaky, config: {works_at: 2}}"))
    assert observer.ended == [("one", "error"), ("one", "passed")]
    assert [event.path for event in events if hasattr(event, "outcome")] == ["one"]
    assert finished(events).verdict == "passed"


async def test_what_happened_is_recorded_although_the_attempt_is_stopped_while_it_looks() -> None:
    local = Local()

    class Stops(Recorded):
        async def after(self, halt: Halt, outcome: StepOutcome) -> bool:
            attempt.stop("cancelled")
            await asyncio.sleep(10)
            return False

    local.tools = replace(local.tools, observer=Stops())
    attempt = local.attempt(flow("- {id: one, action: fail}\n- {id: two, action: say}"))
    await attempt.run()
    assert {path: outcome["verdict"] for path, outcome in outcomes(local.events()).items()} == {"one": "failed"}
    assert finished(local.events()).verdict == "cancelled"


async def test_its_time_is_not_that_of_the_flow_or_its_steps() -> None:
    text = flow("- {id: one, action: say, timeout: 50ms}", config="timeout: 50ms\nteardown_timeout: 50ms")
    assert finished(await run(Recorded(pause=0.15), text)).verdict == "passed"


async def test_a_hung_step_still_ends_at_its_own_limit() -> None:
    events = await run(Recorded(), flow("- {id: one, action: nap, timeout: 50ms, config: {seconds: 30}}"))
    assert outcomes(events)["one"]["error"]["kind"] == "timeout"
