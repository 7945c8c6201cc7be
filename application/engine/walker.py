"""Walks lines of steps: each step with the steps inside it, those that follow its failure, and the flows that it calls."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from application.engine.bodies import Bodies, BodyResult
from application.engine.calls import Call, Called, checked_inputs, outputs_of, starting_values
from application.engine.ending import Ending
from application.engine.errors import ActionError
from application.engine.lane import Lane
from application.engine.observer import Halt, Observer
from application.engine.once import run_once
from application.engine.open_calls import Frame
from application.engine.progress import whole
from application.engine.scope import Names
from application.engine.step_runner import StepRunner
from application.engine.surroundings import Surroundings
from application.engine.walked import Walked, error_of, flow_status
from domain.definition import FlowDefinition, Phase, Step
from domain.errors import Invalid
from domain.limits import LIMITS
from domain.outcome import StepOutcome
from domain.values import dataclass

LEFT_OUT = StepOutcome("skipped", 0.0, reason="by hand")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Line:
    """Where steps stand that run one after the other: what their paths begin with, the names that they see, the lane that they
    report to, their phase, and the flow that holds them."""

    prefix: str
    names: Names
    lane: Lane
    phase: Phase
    around: Surroundings


class Walker:
    """Walks the steps of one attempt, and counts them."""

    def __init__(self, ending: Ending) -> None:
        self._ending = ending
        self._durable = False
        self.number = 0
        """Of the last step that has begun, from 1."""
        self.retried = False
        """Whether any step has passed only when it was tried again."""

    async def forward(self, line: Line, steps_phase: Phase) -> Walked:
        """Setup in the phase of the line, the steps when it passed, and the flow's on_error when one of them failed."""
        definition, names = line.around.definition, line.names
        names.values["FLOW_STATUS"] = "running"
        walked = await self.walk(definition.setup, line)
        after = replace(line, phase=steps_phase)
        if walked.as_body().ok:
            walked.join(await self.walk(definition.steps, after, keep_going=not definition.config.fail_fast))
        names.values["FLOW_STATUS"] = flow_status(walked.verdict)
        if definition.on_error and walked.failed is not None and not walked.as_body().ok:
            await self._on_error(walked.failed, after)
        return walked

    async def walk(self, steps: Sequence[Step], line: Line, *, keep_going: bool = False) -> Walked:
        """Steps one after the other, up to the first that fails unless `keep_going`."""
        walked = Walked()
        for step in steps:
            outcome, runner = await self._step(step, line)
            walked.add(step, outcome, runner)
            if not outcome.ok and not keep_going:
                break
        return walked

    async def _step(self, step: Step, line: Line) -> tuple[StepOutcome, StepRunner]:
        self.number += 1
        around, path = line.around, f"{line.prefix}{step.id}"
        runner = StepRunner(around, step, path, line.names, self._bodies(step, path, line), self._call_from(path, line))
        wanted = around.observer is None or await around.observer.before(_halt(runner, line))
        try:
            await self._started(step, runner, line)
            if around.observer is None:
                outcome = _as_seen(await _first_run(step, runner, around), line.lane)
            else:
                outcome = await self._looked_at(around.observer, step, runner, wanted, line)
        except asyncio.CancelledError:
            if not self._ending.elsewhere:
                await _finished(runner, runner.ended or self._stopped(runner, line), {}, line)
            raise
        if around.depth and outcome.verdict not in ("passed", "skipped"):
            outcome = replace(outcome, file=around.definition.file)
        self.retried = self.retried or outcome.verdict == "passed_on_retry"
        line.names.learn(step.id, {**runner.inside, **runner.result}, runner.outputs)
        await _finished(runner, outcome, _state(step, runner, line), line)
        if step.on_error.steps and outcome.verdict in ("failed", "error", "tolerated"):
            await self._error_steps(step, outcome, runner, line)
        return outcome, runner

    async def _started(self, step: Step, runner: StepRunner, line: Line) -> None:
        """Report that a step begins. Outside teardown it waits for the commit of that from the first step on that teardown
        reads, and where it opens a call whose teardown reads something."""
        frame = line.around.frame
        self._durable = self._durable or frame.is_read(step)
        opening = {} if line.phase == "teardown" else frame.taken()
        durable = bool(opening) or (self._durable and line.phase != "teardown")
        title = runner.title()
        report = line.lane.progress.step_started(step, runner.path, line.phase, self.number, title, opening, durable=durable)
        if report is not None:
            await whole(report)

    async def _looked_at(self, observer: Observer, step: Step, runner: StepRunner, wanted: bool, line: Line) -> StepOutcome:
        """The step's outcome, after as many runs as an observer wants. CancelledError passes through."""
        runner.begin()
        runner.ended = _as_seen(await _first_run(step, runner, line.around), line.lane) if wanted else LEFT_OUT
        while await observer.after(_halt(runner, line), runner.ended):
            runner.begin()
            runner.ended = _as_seen(await runner.run(), line.lane)
        return runner.ended

    def _stopped(self, runner: StepRunner, line: Line) -> StepOutcome:
        stop, message = self._ending.stop, self._ending.message
        if stop is None and line.lane.halted:
            return runner.cancelled("cancelled", line.lane.halted)
        if line.phase == "teardown":
            return runner.cancelled("timed_out", "teardown did not finish within its time limit")
        return runner.cancelled(stop or "timed_out", message or str(stop or "time limit"))

    async def _error_steps(self, step: Step, outcome: StepOutcome, runner: StepRunner, line: Line) -> None:
        result = runner.result
        inner = line.names.child(error=error_of(step, outcome), response=result, result=result)
        steps = step.on_error.steps if outcome.timed_out else step.on_error.error_steps
        await self.walk(steps, replace(line, prefix=f"{runner.path}/", names=inner), keep_going=True)

    async def _on_error(self, failed: tuple[Step, StepOutcome], line: Line) -> None:
        """The steps of a flow that has failed; whatever they come to changes nothing about that."""
        step, error = failed[0], error_of(*failed)
        failed_step = {"id": step.id, "name": step.name, "action": step.action, "error": error}
        inner = line.names.child(error=error, failed_step=failed_step)
        there = replace(line, prefix=f"{line.prefix}on_error/", names=inner)
        await self.walk(line.around.definition.on_error, there, keep_going=True)
        line.names.adopt(inner.learned)

    def _bodies(self, step: Step, path: str, line: Line) -> Bodies | None:
        if not step.bodies:
            return None

        async def walk(steps: Sequence[Step], prefix: str, inner: Names, lane: Lane) -> BodyResult:
            return (await self.walk(steps, replace(line, prefix=f"{prefix}/", names=inner, lane=lane))).as_body()

        return Bodies(step, path, line.names, line.lane, walk)

    # Called flows

    def _call_from(self, path: str, line: Line) -> Call | None:
        around, flows = line.around, line.around.flows
        if flows is None:
            return None

        async def call(reference: str, inputs: Mapping[str, Any], inherit: bool) -> Called:
            if around.depth >= LIMITS.flow_depth:
                raise ActionError("limit", f"flows call one another more than {LIMITS.flow_depth} deep")
            definition = await asyncio.to_thread(flows.find, reference, around.near or around.definition.file)
            given = {**(around.given if inherit else {}), **checked_inputs(definition, inputs)}
            outside = line.names.values.get("env", {}) if inherit else {}
            inner = line.names.of_call({"name": definition.name, "id": definition.id, "file": definition.file})
            try:
                starting_values(definition, given, outside, inner, f"{path}/")
            except Invalid as refusal:
                raise ActionError("config", refusal.message, hint="give it below inputs", key="inputs") from None
            frame = Frame.of_call(definition, path, inner.values, inherit)
            depth = around.depth + 1
            there = replace(around, definition=definition, names=inner, given=given, depth=depth, near="", frame=frame)
            return await self._called(Line(f"{path}/", inner, line.lane.child(), line.phase, there))

        return call

    async def _called(self, line: Line) -> Called:
        """A called flow, its teardown whatever happens: also when the step that calls it is cut off."""
        definition = line.around.definition
        before = self.number
        try:
            walked = await self.forward(line, line.phase)
        except asyncio.CancelledError:
            if not self._ending.elsewhere and self.number > before:
                line.names.values["FLOW_STATUS"] = "failed"
                await self._teardown_of(definition, line)
            raise
        torn = await self._teardown_of(definition, line)
        if walked.as_body().ok:
            walked.join(torn)
        ended = walked.as_body()
        return Called(definition.name, ended.verdict, ended.message, outputs_of(definition, line.names) if ended.ok else {})

    async def _teardown_of(self, definition: FlowDefinition, line: Line) -> Walked:
        try:
            async with asyncio.timeout(line.around.limit(definition.config.teardown_timeout)):
                return await self.walk(definition.teardown, line, keep_going=True)
        except TimeoutError:
            return Walked("error", f"teardown did not finish within {definition.config.teardown_timeout:g} s")


async def _finished(runner: StepRunner, outcome: StepOutcome, state: Mapping[str, Any], line: Line) -> None:
    pending = line.lane.progress.step_finished(runner.path, line.phase, outcome, state, runner.logs)
    if pending is not None:
        await whole(pending)


def _first_run(step: Step, runner: StepRunner, around: Surroundings) -> Awaitable[StepOutcome]:
    if step.once is None or around.once is None:
        return runner.run()
    return run_once(step.once, runner, around.once, around.definition.name)


def _state(step: Step, runner: StepRunner, line: Line) -> Mapping[str, Any]:
    """The names that teardown reads of this step, as they are; the recorder keeps secrets among them sealed. What a flow is
    called for in teardown begins anew on another worker."""
    frame = line.around.frame
    if line.phase == "teardown" and frame.prefix:
        return {}
    return frame.state(step, {**runner.inside, **runner.result}, runner.outputs)


def _as_seen(outcome: StepOutcome, lane: Lane) -> StepOutcome:
    """A failure where the step outside tries again is tolerated."""
    if lane.tolerant and not outcome.ok:
        return replace(outcome, verdict="tolerated", reason=f"it is tried again ({outcome.verdict})")
    return outcome


def _halt(runner: StepRunner, line: Line) -> Halt:
    return Halt(runner.step, runner.path, line.phase, line.around.definition, line.around.depth, runner)
