"""Walks the phases of one attempt: setup, steps, then teardown whatever happened, and gives the verdict."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Coroutine, Mapping, Sequence
from dataclasses import field, replace
from typing import Any, Literal

from application.engine.bodies import Bodies, BodyResult
from application.engine.calls import Call, Called, checked_inputs, outputs_of, starting_values
from application.engine.errors import ActionError
from application.engine.lane import Lane
from application.engine.observer import Halt, Observer
from application.engine.once import Shared
from application.engine.open_calls import Frame, OpenCall, hide_secrets
from application.engine.progress import Progress
from application.engine.scope import Names
from application.engine.step_runner import StepRunner
from application.engine.surroundings import Surroundings
from application.engine.walked import Walked, error_of, worst
from domain.definition import FlowDefinition, Phase, Step
from domain.errors import Invalid, LimitExceeded
from domain.expressions import ExpressionError, extract
from domain.limits import LIMITS
from domain.outcome import StepOutcome, Verdict
from domain.values import dataclass

logger = logging.getLogger("testmesh.engine")
LEFT_OUT = StepOutcome("skipped", 0.0, reason="by hand")
Stop = Literal["cancelled", "timed_out", "lost", "drain"]
"""Why an attempt is stopped from outside. After `lost` and `drain` its teardown belongs to another worker."""


@dataclass(slots=True, eq=False, repr=False)
class AttemptResult:
    """How an attempt ended; `stopped` says why it has no verdict of its own. `outputs` are not masked."""

    verdict: Verdict
    message: str = ""
    cause: str = ""
    teardown: str | None = None
    outputs: Mapping[str, Any] = field(default_factory=dict)
    stopped: Stop | None = None


@dataclass(frozen=True, slots=True)
class _Ended:
    """A step that has ended, with what it knows."""

    outcome: StepOutcome
    runner: StepRunner


class Executor:
    """Runs one attempt. `teardown_reads` are the names that teardown needs: from the step that makes them on, each step
    waits for the commit of what came before it."""

    def __init__(self, around: Surroundings, progress: Progress, teardown_reads: frozenset[str] = frozenset()) -> None:
        self._around = around
        around.frame = Frame(reads=teardown_reads)
        self._progress = progress
        self._durable = False
        self._number = 0
        self._body: asyncio.Task[Verdict] | None = None
        self._tearing: asyncio.Task[Verdict] | None = None
        self._stop: Stop | None = None
        self._message = ""
        self._cause = ""
        self._retried = False

    def stop(self, why: Stop) -> None:
        """Stop the body at once; the first reason stands, but a lost attempt stays lost, its teardown included."""
        if self._stop is None or why == "lost":
            self._stop = why
            for task in (self._body, self._tearing if why == "lost" else None):
                if task is not None:
                    task.cancel()

    async def run(self) -> AttemptResult:
        """The whole attempt."""
        try:
            verdict = await self._run_body()
            if self._stop in ("lost", "drain"):
                return AttemptResult("error", stopped=self._stop)
            self._around.names.values["FLOW_STATUS"] = _status(verdict)
            teardown = await self._tear_down()
            if teardown == "lost":
                return AttemptResult("error", stopped="lost")
            if teardown is not None:
                await self._progress.teardown_finished(teardown)
            verdict = self._overall(verdict, teardown)
            outputs = self._outputs(verdict)
            return AttemptResult(verdict, self._message, self._cause, teardown, outputs)
        finally:
            await self._around.close()

    async def run_teardown(self, calls: Sequence[OpenCall] = ()) -> str:
        """Only the teardown of a lost attempt, from what its events recorded: that of the calls that it was in the middle of,
        then its own; gives the verdict."""
        self._around.names.values["FLOW_STATUS"] = "failed"
        try:
            called = await self._bounded(self._tear_down_calls(calls)) if calls else "passed"
            if called == "lost":
                return "lost"
            own = await self._bounded_teardown()
            return own if own == "lost" else worst(called, own)
        finally:
            await self._around.close()

    async def _tear_down_calls(self, calls: Sequence[OpenCall]) -> Verdict:
        verdict: Verdict = "passed"
        for call in calls:
            verdict = worst(verdict, await self._tear_down_call(call))
        return verdict

    async def _tear_down_call(self, call: OpenCall) -> Verdict:
        around = self._around
        try:
            assert around.flows is not None
            definition = await asyncio.to_thread(around.flows.find, call.file, "")
        except ActionError as error:
            logger.warning("the teardown of the called flow %s cannot run: %s", call.file, error.message)
            return "error"
        hide_secrets(definition, call.values, around.masker)
        names = around.names.of_call({"name": definition.name, "id": definition.id, "file": definition.file})
        names.restore(call.values)
        names.values["FLOW_STATUS"] = "failed"
        given = around.given if call.inherits else {}
        there = replace(around, definition=definition, names=names, given=given, depth=1, near="", frame=Frame(call.prefix))
        lane = Lane(self._progress)
        walked = await self._walk(definition.teardown, call.prefix, names, lane, "teardown", there, keep_going=True)
        return walked.verdict

    async def _run_body(self) -> Verdict:
        config = self._around.definition.config
        self._body = asyncio.create_task(self._steps())
        if self._stop is not None:
            self._body.cancel()
        _, pending = await asyncio.wait({self._body}, timeout=self._around.limit(config.timeout))
        if pending:
            self._message = f"the flow did not finish within {config.timeout:g} s"
            self.stop("timed_out")
        try:
            return await self._body
        except asyncio.CancelledError:
            if self._stop is None:
                raise
            return "timed_out" if self._stop == "timed_out" else "cancelled"
        except LimitExceeded as error:
            self._message, self._cause = error.message, "limit"
            return "error"

    async def _steps(self) -> Verdict:
        walked = await self._forward("", self._around.names, Lane(self._progress), ("setup", "steps"), self._around)
        self._message = self._message or walked.message
        return walked.verdict

    async def _forward(
        self, prefix: str, names: Names, lane: Lane, phases: tuple[Phase, Phase], around: Surroundings
    ) -> Walked:
        """Setup, the steps when it passed, and the flow's on_error when one of them failed."""
        definition = around.definition
        names.values["FLOW_STATUS"] = "running"
        walked = await self._walk(definition.setup, prefix, names, lane, phases[0], around)
        if walked.as_body().ok:
            going = not definition.config.fail_fast
            walked.join(await self._walk(definition.steps, prefix, names, lane, phases[1], around, keep_going=going))
        names.values["FLOW_STATUS"] = _status(walked.verdict)
        if definition.on_error and walked.failed is not None and not walked.as_body().ok:
            await self._on_error(walked.failed, f"{prefix}on_error/", names, lane, phases[1], around)
        return walked

    async def _tear_down(self) -> str | None:
        if not self._around.definition.teardown or self._number == 0:
            return None
        await self._progress.teardown_started()
        return await self._bounded_teardown()

    async def _bounded_teardown(self) -> Verdict | Literal["lost"]:
        return await self._bounded(self._teardown())

    async def _bounded(self, work: Coroutine[Any, Any, Verdict]) -> Verdict | Literal["lost"]:
        """The verdict of teardown within its time limit."""
        self._tearing = asyncio.create_task(work)
        limit = self._around.limit(self._around.definition.config.teardown_timeout)
        _, pending = await asyncio.wait({self._tearing}, timeout=limit)
        if pending:
            self._tearing.cancel()
        try:
            return await self._tearing
        except asyncio.CancelledError:
            if self._stop != "lost" and not pending:
                raise
            return "lost" if self._stop == "lost" else "timed_out"

    async def _teardown(self) -> Verdict:
        around, steps = self._around, self._around.definition.teardown
        walked = await self._walk(steps, "", around.names, Lane(self._progress), "teardown", around, keep_going=True)
        self._message = self._message or walked.message
        return walked.verdict

    async def _walk(
        self,
        steps: Sequence[Step],
        prefix: str,
        names: Names,
        lane: Lane,
        phase: Phase,
        around: Surroundings,
        *,
        keep_going: bool = False,
    ) -> Walked:
        """Steps one after the other, up to the first that fails unless `keep_going`."""
        walked = Walked()
        for step in steps:
            outcome, runner = await self._step(step, phase, f"{prefix}{step.id}", names, lane, around)
            walked.add(step, outcome, runner)
            if not outcome.ok and not keep_going:
                break
        return walked

    async def _step(
        self, step: Step, phase: Phase, path: str, names: Names, lane: Lane, around: Surroundings
    ) -> tuple[StepOutcome, StepRunner]:
        self._number += 1
        bodies = self._bodies(step, phase, path, names, lane, around)
        runner = StepRunner(around, step, path, names, bodies, self._call_from(path, phase, names, lane, around))
        wanted = around.observer is None or await around.observer.before(_halt(runner, phase, around))
        self._durable = self._durable or _is_read(step, around.frame)
        durable = self._durable and phase != "teardown"
        opening = {} if phase == "teardown" else around.frame.taken()
        try:
            started = lane.progress.step_started(
                step, path, phase, self._number, runner.title(), opening, durable=durable or bool(opening)
            )
            if started is not None:
                await _whole(started)
            if around.observer is None:
                outcome = _as_seen(await _first_run(step, runner, around), lane)
            else:
                outcome = await self._looked_at(around.observer, step, runner, wanted, phase, lane, around)
        except asyncio.CancelledError:
            if self._stop not in ("lost", "drain"):
                await self._finished(path, phase, runner.ended or self._stopped(runner, phase, lane), {}, runner, lane)
            raise
        if around.depth and outcome.verdict not in ("passed", "skipped"):
            outcome = replace(outcome, file=around.definition.file)
        self._retried = self._retried or outcome.verdict == "passed_on_retry"
        names.learn(step.id, {**runner.inside, **runner.result}, runner.outputs)
        await self._finished(path, phase, outcome, _state(step, runner, phase, around.frame), runner, lane)
        if step.on_error.steps and outcome.verdict in ("failed", "error", "tolerated"):
            await self._error_steps(step, phase, path, names, _Ended(outcome, runner), lane, around)
        return outcome, runner

    async def _looked_at(
        self, observer: Observer, step: Step, runner: StepRunner, wanted: bool, phase: Phase, lane: Lane, around: Surroundings
    ) -> StepOutcome:
        """The step's outcome, after as many runs as an observer wants. CancelledError passes through."""
        runner.begin()
        runner.ended = _as_seen(await _first_run(step, runner, around), lane) if wanted else LEFT_OUT
        while await observer.after(_halt(runner, phase, around), runner.ended):
            runner.begin()
            runner.ended = _as_seen(await runner.run(), lane)
        return runner.ended

    async def _finished(
        self,
        path: str,
        phase: Phase,
        outcome: StepOutcome,
        state: Mapping[str, Any],
        runner: StepRunner,
        lane: Lane,
    ) -> None:
        pending = lane.progress.step_finished(path, phase, outcome, state, runner.logs)
        if pending is not None:
            await _whole(pending)

    async def _error_steps(
        self, step: Step, phase: Phase, path: str, names: Names, ended: _Ended, lane: Lane, around: Surroundings
    ) -> None:
        result = ended.runner.result
        inner = names.child(error=error_of(step, ended.outcome), response=result, result=result)
        steps = step.on_error.steps if ended.outcome.timed_out else step.on_error.error_steps
        await self._walk(steps, f"{path}/", inner, lane, phase, around, keep_going=True)

    async def _on_error(
        self, failed: tuple[Step, StepOutcome], prefix: str, names: Names, lane: Lane, phase: Phase, around: Surroundings
    ) -> None:
        """The steps of a flow that has failed; whatever they come to changes nothing about that."""
        step, error = failed[0], error_of(*failed)
        inner = names.child(error=error, failed_step={"id": step.id, "name": step.name, "action": step.action, "error": error})
        await self._walk(around.definition.on_error, prefix, inner, lane, phase, around, keep_going=True)
        names.adopt(inner.learned)

    def _bodies(self, step: Step, phase: Phase, path: str, names: Names, lane: Lane, around: Surroundings) -> Bodies | None:
        if not step.bodies:
            return None

        async def walk(steps: Sequence[Step], prefix: str, inner: Names, line: Lane) -> BodyResult:
            return (await self._walk(steps, f"{prefix}/", inner, line, phase, around)).as_body()

        return Bodies(step, path, names, lane, walk)

    def _call_from(self, path: str, phase: Phase, names: Names, lane: Lane, around: Surroundings) -> Call | None:
        flows = around.flows
        if flows is None:
            return None

        async def call(reference: str, inputs: Mapping[str, Any], inherit: bool) -> Called:
            if around.depth >= LIMITS.flow_depth:
                raise ActionError("limit", f"flows call one another more than {LIMITS.flow_depth} deep")
            definition = await asyncio.to_thread(flows.find, reference, around.near or around.definition.file)
            given = {**(around.given if inherit else {}), **checked_inputs(definition, inputs)}
            outside = names.values.get("env", {}) if inherit else {}
            inner = names.of_call({"name": definition.name, "id": definition.id, "file": definition.file})
            try:
                starting_values(definition, given, outside, inner, f"{path}/")
            except Invalid as refusal:
                raise ActionError("config", refusal.message, hint="give it below inputs", key="inputs") from None
            frame = Frame.of_call(definition, path, inner.values, inherit)
            depth = around.depth + 1
            there = replace(around, definition=definition, names=inner, given=given, depth=depth, near="", frame=frame)
            return await self._called(definition, f"{path}/", phase, inner, lane.child(), there)

        return call

    async def _called(
        self, definition: FlowDefinition, prefix: str, phase: Phase, names: Names, lane: Lane, around: Surroundings
    ) -> Called:
        """A called flow, its teardown whatever happens: also when the step that calls it is cut off."""
        before = self._number
        try:
            walked = await self._forward(prefix, names, lane, (phase, phase), around)
        except asyncio.CancelledError:
            if self._stop not in ("lost", "drain") and self._number > before:
                names.values["FLOW_STATUS"] = "failed"
                await self._teardown_of(definition, prefix, phase, names, lane, around)
            raise
        torn = await self._teardown_of(definition, prefix, phase, names, lane, around)
        if walked.as_body().ok:
            walked.join(torn)
        ended = walked.as_body()
        return Called(definition.name, ended.verdict, ended.message, outputs_of(definition, names) if ended.ok else {})

    async def _teardown_of(
        self, definition: FlowDefinition, prefix: str, phase: Phase, names: Names, lane: Lane, around: Surroundings
    ) -> Walked:
        try:
            async with asyncio.timeout(around.limit(definition.config.teardown_timeout)):
                return await self._walk(definition.teardown, prefix, names, lane, phase, around, keep_going=True)
        except TimeoutError:
            return Walked("error", f"teardown did not finish within {definition.config.teardown_timeout:g} s")

    def _stopped(self, runner: StepRunner, phase: Phase, lane: Lane) -> StepOutcome:
        if self._stop is None and lane.halted:
            return runner.cancelled("cancelled", lane.halted)
        if phase == "teardown":
            return runner.cancelled("timed_out", "teardown did not finish within its time limit")
        return runner.cancelled(self._stop or "timed_out", self._message or str(self._stop or "time limit"))

    def _overall(self, verdict: Verdict, teardown: str | None) -> Verdict:
        """A failing teardown never hides the first cause, and never passes for a pass; nor does a retry inside a loop."""
        if verdict == "passed" and self._retried:
            verdict = "passed_on_retry"
        if verdict in ("passed", "passed_on_retry") and teardown in ("failed", "error", "timed_out"):
            self._message = self._message or f"teardown {teardown}"
            return "failed" if teardown == "failed" else "error"
        return verdict

    def _outputs(self, verdict: Verdict) -> Mapping[str, Any]:
        if verdict not in ("passed", "passed_on_retry"):
            return {}
        outputs: dict[str, Any] = {}
        scope = self._around.names.scope("outputs")
        for name, path in self._around.definition.outputs.items():
            try:
                outputs[name] = extract(path, scope)
            except ExpressionError as error:
                outputs[name] = None
                self._message = self._message or f"output {name}: {error.message}"
        return outputs


def _status(verdict: Verdict) -> str:
    """FLOW_STATUS, as teardown knows it."""
    return "passed" if verdict in ("passed", "passed_on_retry") else "failed"


def _is_read(step: Step, frame: Frame) -> bool:
    return step.id in frame.reads or not frame.reads.isdisjoint(step.output)


def _state(step: Step, runner: StepRunner, phase: Phase, frame: Frame) -> Mapping[str, Any]:
    """The names that teardown reads of this step, as they are; the recorder keeps secrets among them sealed. What a flow is
    called for in teardown begins anew on another worker."""
    if phase == "teardown" and frame.prefix:
        return {}
    return frame.state(step, {**runner.inside, **runner.result}, runner.outputs)


def _as_seen(outcome: StepOutcome, lane: Lane) -> StepOutcome:
    """A failure where the step outside tries again is tolerated."""
    if lane.tolerant and not outcome.ok:
        return replace(outcome, verdict="tolerated", reason=f"it is tried again ({outcome.verdict})")
    return outcome


def _first_run(step: Step, runner: StepRunner, around: Surroundings) -> Awaitable[StepOutcome]:
    return runner.run() if step.once is None or around.once is None else _once(step.once, runner, around)


def _halt(runner: StepRunner, phase: Phase, around: Surroundings) -> Halt:
    return Halt(runner.step, runner.path, phase, around.definition, around.depth, runner)


async def _once(name: str, runner: StepRunner, around: Surroundings) -> StepOutcome:
    """The step's outcome, or that of the flow that ran it."""
    assert around.once is not None
    shared = await around.once.claim(name)
    if shared is not None:
        runner.adopt(shared.result, shared.outputs)
        return shared.again()
    try:
        outcome = await runner.run()
    except BaseException:
        around.once.give_up(name)
        raise
    around.once.finish(name, Shared(outcome, runner.result, runner.outputs, around.definition.name))
    return outcome


async def _whole(report: Coroutine[Any, Any, None]) -> None:
    """Finish a report although the task is cancelled meanwhile, then let the cancellation go on."""
    task = asyncio.ensure_future(report)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise
