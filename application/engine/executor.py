"""Walks the phases of one attempt: setup, steps, then teardown whatever happened, and gives the verdict."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import field, replace
from typing import Any, Literal

from application.engine.ending import Ending, Stop
from application.engine.errors import ActionError
from application.engine.lane import Lane
from application.engine.open_calls import Frame, OpenCall, hide_secrets
from application.engine.progress import Progress
from application.engine.surroundings import Surroundings
from application.engine.walked import flow_status, worst
from application.engine.walker import Line, Walker
from domain.definition import Phase
from domain.errors import LimitExceeded
from domain.expressions import ExpressionError, extract
from domain.outcome import Verdict
from domain.values import dataclass

logger = logging.getLogger("testmesh.engine")


@dataclass(slots=True, eq=False, repr=False)
class AttemptResult:
    """How an attempt ended; `stopped` says why it has no verdict of its own. `outputs` are not masked."""

    verdict: Verdict
    message: str = ""
    cause: str = ""
    teardown: str | None = None
    outputs: Mapping[str, Any] = field(default_factory=dict)
    stopped: Stop | None = None


class Executor:
    """Runs one attempt. `teardown_reads` are the names that teardown needs: from the step that makes them on, each step
    waits for the commit of what came before it."""

    def __init__(self, around: Surroundings, progress: Progress, teardown_reads: frozenset[str] = frozenset()) -> None:
        self._around = around
        around.frame = Frame(reads=teardown_reads)
        self._progress = progress
        self._ending = Ending()
        self._walker = Walker(self._ending)
        self._body: asyncio.Task[Verdict] | None = None
        self._tearing: asyncio.Task[Verdict] | None = None

    def stop(self, why: Stop) -> None:
        """Stop the body at once; the first reason stands, but a lost attempt stays lost, its teardown included."""
        if self._ending.stop is None or why == "lost":
            self._ending.stop = why
            for task in (self._body, self._tearing if why == "lost" else None):
                if task is not None:
                    task.cancel()

    async def run(self) -> AttemptResult:
        """The whole attempt."""
        try:
            verdict = await self._run_body()
            if self._ending.elsewhere:
                return AttemptResult("error", stopped=self._ending.stop)
            self._around.names.values["FLOW_STATUS"] = flow_status(verdict)
            teardown = await self._tear_down()
            if teardown == "lost":
                return AttemptResult("error", stopped="lost")
            if teardown is not None:
                await self._progress.teardown_finished(teardown)
            verdict = self._overall(verdict, teardown)
            outputs = self._outputs(verdict)
            return AttemptResult(verdict, self._ending.message, self._ending.cause, teardown, outputs)
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
        line = Line(call.prefix, names, Lane(self._progress), "teardown", there)
        walked = await self._walker.walk(definition.teardown, line, keep_going=True)
        return walked.verdict

    async def _run_body(self) -> Verdict:
        config = self._around.definition.config
        self._body = asyncio.create_task(self._steps())
        if self._ending.stop is not None:
            self._body.cancel()
        _, pending = await asyncio.wait({self._body}, timeout=self._around.limit(config.timeout))
        if pending:
            self._ending.message = f"the flow did not finish within {config.timeout:g} s"
            self.stop("timed_out")
        try:
            return await self._body
        except asyncio.CancelledError:
            if self._ending.stop is None:
                raise
            return "timed_out" if self._ending.stop == "timed_out" else "cancelled"
        except LimitExceeded as error:
            self._ending.message, self._ending.cause = error.message, "limit"
            return "error"

    async def _steps(self) -> Verdict:
        walked = await self._walker.forward(self._line("setup"), "steps")
        self._ending.explain(walked.message)
        return walked.verdict

    def _line(self, phase: Phase) -> Line:
        return Line("", self._around.names, Lane(self._progress), phase, self._around)

    async def _tear_down(self) -> str | None:
        if not self._around.definition.teardown or self._walker.number == 0:
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
            if self._ending.stop != "lost" and not pending:
                raise
            return "lost" if self._ending.stop == "lost" else "timed_out"

    async def _teardown(self) -> Verdict:
        walked = await self._walker.walk(self._around.definition.teardown, self._line("teardown"), keep_going=True)
        self._ending.explain(walked.message)
        return walked.verdict

    def _overall(self, verdict: Verdict, teardown: str | None) -> Verdict:
        """A failing teardown never hides the first cause, and never passes for a pass; nor does a retry inside a loop."""
        if verdict == "passed" and self._walker.retried:
            verdict = "passed_on_retry"
        if verdict in ("passed", "passed_on_retry") and teardown in ("failed", "error", "timed_out"):
            self._ending.explain(f"teardown {teardown}")
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
                self._ending.explain(f"output {name}: {error.message}")
        return outputs
