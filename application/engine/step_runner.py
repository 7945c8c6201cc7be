"""Runs one step: condition, tries, waiting, assertions, outputs; everything that it reports is masked."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from application.engine.action import Action, ActionContext, ActionError, ActionFailed
from application.engine.bodies import Bodies
from application.engine.calls import Call
from application.engine.checks import check
from application.engine.errors import BodyFailed
from application.engine.retry import may_retry, pause
from application.engine.scope import Lookup, Names, bare_condition, with_outputs
from application.engine.shown import shown
from application.engine.step_errors import StepErrors
from application.engine.step_outputs import extract_outputs, outputs_of_error
from application.engine.surroundings import Surroundings
from application.engine.until import CannotWait, NotMet, Waiting
from domain.definition import Path, Retry, Step
from domain.expressions import ExpressionError, Own, Scope, evaluate, render
from domain.outcome import AssertionOutcome, StepError, StepOutcome, Try
from domain.values import dataclass

ONCE = Retry(max_attempts=1)
logger = logging.getLogger("testmesh.engine")


@dataclass(slots=True, eq=False, repr=False)
class _Made:
    """One try with what it left behind."""

    record: Try
    result: Mapping[str, Any]
    outputs: dict[str, Any]
    exchange: Mapping[str, Any]


class StepRunner:
    """Runs one step of an attempt."""

    def __init__(
        self,
        around: Surroundings,
        step: Step,
        path: str,
        names: Names,
        bodies: Bodies | None = None,
        call: Call | None = None,
    ) -> None:
        self._around = around
        self._step = step
        self._path = path
        self._names = names
        self._bodies = bodies
        self._caller = call
        self._errors = StepErrors(step, around.definition, around.masker)
        self.begin()
        self._retry = self._policy()
        self.result: Mapping[str, Any] = {}
        self.outputs: dict[str, Any] = {}
        self.ended: StepOutcome | None = None
        """How it ended, while an observer looks at it."""

    @property
    def step(self) -> Step:
        """The step."""
        return self._step

    @property
    def path(self) -> str:
        """Where it stands among the steps of the attempt."""
        return self._path

    @property
    def inside(self) -> Mapping[str, Any]:
        """What steps inside it left behind, which is known as parts of it."""
        return self._bodies.left if self._bodies is not None else {}

    def begin(self) -> None:
        """Its time counts from now on, and nothing of it has happened yet."""
        self.ended = None
        self._request: Mapping[str, Any] = {}
        self._exchange: Mapping[str, Any] = {}
        """What the action has sent and received so far."""
        until = self._step.until
        self._waiting = Waiting(until, self._step, self._around.definition) if until is not None else None
        self._logs: list[dict[str, str]] = []
        holds_others = self._bodies is not None or self._step.action == "run_flow"
        limit = self._around.limit(self._step.timeout or float("inf")) if holds_others else self._step.timeout
        self._begun = time.monotonic()
        self._deadline = self._begun + limit if limit else float("inf")

    def preview(self) -> Any:
        """The config as the action would get it now, masked, values under telling names included. ExpressionError."""
        config = self._config(self._around.actions[self._step.action], 1)
        return self._around.masker.mask(dict(config), sensitive_keys=True)

    def look(self, text: str | None = None) -> Any:
        """The value of an expression over the names in scope and the result so far, masked; without one, all names that
        variables and steps have given. ExpressionError."""
        if text is None:
            return self._around.masker.mask(dict(self._names.values), sensitive_keys=True)
        scope = with_outputs(self._names.scope(self._path, 1, self.result or None), self.outputs)
        value = evaluate(bare_condition(text), scope)
        return self._around.masker.mask({text: value}, sensitive_keys=True)[self._around.masker.mask(text)]

    def title(self) -> str:
        """The step's name with its templates resolved, masked; its id when it has none."""
        if self._step.name is None:
            return self._step.id
        try:
            return str(self._mask(render(self._step.name, self._names.scope(self._path))))
        except ExpressionError:
            return self._step.name

    async def run(self) -> StepOutcome:
        """The step's outcome. CancelledError passes through."""
        skipped = self._skipped()
        if skipped is not None:
            return skipped
        tries: list[Try] = []
        while True:
            made = await self._try(len(tries) + 1)
            tries.append(made.record)
            if made.record.verdict == "passed" or not self._again(made):
                return self._outcome(tuple(tries), made)
            await asyncio.sleep(min(pause(self._retry, len(tries), self._around.random), self._remaining()))

    def adopt(self, result: Mapping[str, Any], outputs: dict[str, Any]) -> None:
        """Take over what the same step came to in another flow of the run; what is secret there is secret here."""
        for name in self._step.secret_outputs:
            if outputs.get(name) is not None:
                self._around.masker.add(str(outputs[name]))
        self.result, self.outputs = result, outputs

    @property
    def logs(self) -> list[dict[str, str]]:
        """The step's log lines as {"level", "message"}, without the secrets that are known by now."""
        return [{"level": line["level"], "message": self._errors.text(line["message"])} for line in self._logs]

    def cancelled(self, verdict: str, reason: str) -> StepOutcome:
        """The outcome of a step that was stopped from outside."""
        ended: Literal["timed_out", "cancelled"] = "timed_out" if verdict == "timed_out" else "cancelled"
        reason = f"{reason}{self._until_then()}"
        return StepOutcome(ended, self._elapsed(), reason=reason, exchange=self._mask(dict(self._exchange)) or None)

    def _policy(self) -> Retry:
        step = self._step
        if step.retry is not None:
            return step.retry
        return self._around.definition.config.retry or ONCE

    def _skipped(self) -> StepOutcome | None:
        step = self._step
        if step.disabled:
            return StepOutcome("skipped", 0.0, reason="disabled")
        if step.when is None:
            return None
        try:
            value = evaluate(bare_condition(step.when), self._names.scope(self._path))
            if not isinstance(value, bool):
                raise ExpressionError(f"`when` must be true or false, it is {value!r:.80}", 0, step.when, kind="type")
        except ExpressionError as error:
            return self._tolerated(StepOutcome("error", self._elapsed(), error=self._errors.of_expression(error, ("when",))))
        return None if value else StepOutcome("skipped", 0.0, reason=f"when: {step.when}")

    async def _try(self, number: int) -> _Made:
        begun = time.monotonic()
        context = self._context(number)
        verdict = "error"
        error: StepError | None = None
        checks: tuple[AssertionOutcome, ...] = ()
        result: Mapping[str, Any] = {}
        outputs: dict[str, Any] = {}
        try:
            result = await self._in_time(self._act(context, number))
            scope, outputs, missing = self._after(number, result)
            checks = check(self._step, self._around.definition, scope, self._mask)
            verdict, error = self._judged(checks, missing)
        except Exception as caught:
            verdict, error, left = self._failure(caught)
            result = result if left is None else left
        if error is not None:
            outputs = {**outputs, **outputs_of_error(self._step, error, self._around.masker)}
        duration = (time.monotonic() - begun) * 1000
        return _Made(Try(number, verdict, round(duration, 3), error, checks), result, outputs, context.exchange)

    def _failure(self, caught: Exception) -> tuple[str, StepError, Mapping[str, Any] | None]:
        """The verdict of a try that this ended, what is told of it, and the result where it brings one."""
        match caught:
            case TimeoutError():
                return "error", self._errors.of_kind("timeout", self._late(), "raise its timeout"), None
            case BodyFailed():
                return caught.verdict, self._errors.of_kind("nested", caught.message), caught.result or {}
            case NotMet():
                place: Path = ("until", "condition")
                return "failed", self._errors.of_kind("failed", caught.message, place=place), caught.result or {}
            case ActionFailed():
                place = () if caught.place is None else ("config", *caught.place)
                return "failed", self._errors.of_kind("failed", caught.message, place=place), caught.result or {}
            case ActionError():
                return "error", self._errors.of_action(caught), None
            case CannotWait():
                return "error", self._errors.of_expression(caught.error, caught.place), None
            case ExpressionError():
                return "error", self._errors.of_expression(caught, ("config",)), None
        logger.exception("action %s failed in a way that it does not know", self._step.action)
        what = f"{type(caught).__name__}: {caught}"
        return "error", self._errors.of_kind("internal", what, "report this as a bug of TestMesh"), None

    def _in_time(self, acting: Coroutine[Any, Any, Mapping[str, Any]]) -> Coroutine[Any, Any, Mapping[str, Any]]:
        """The same up to the step's deadline; most steps have none, and looking after one costs more than all else here."""
        return acting if self._deadline == float("inf") else self._until_deadline(acting)

    async def _until_deadline(self, acting: Coroutine[Any, Any, Mapping[str, Any]]) -> Mapping[str, Any]:
        async with asyncio.timeout_at(asyncio.get_running_loop().time() + self._remaining()):
            return await acting

    async def _act(self, context: ActionContext, number: int) -> Mapping[str, Any]:
        """The action, again and again while `until` does not hold."""
        waiting, action = self._waiting, self._around.actions[self._step.action]
        if waiting is None:
            return await self._call(action, number, context)
        until = waiting.until
        end = time.monotonic() + until.timeout
        while True:
            result = await self._call(action, number, context)
            scope, _, missing = self._after(number, result)
            if waiting.holds(scope, missing):
                return result
            if time.monotonic() + until.interval > end:
                raise NotMet(waiting.in_vain(f"within {until.timeout:g} s", scope), result=result)
            await asyncio.sleep(until.interval)

    def _after(self, number: int, result: Mapping[str, Any]) -> tuple[Scope, dict[str, Any], dict[str, ExpressionError]]:
        """What the action has come to: the scope with the outputs in it, the outputs, and why others are not there."""
        scope = self._names.scope(self._path, number, result, self._own())
        outputs, missing = extract_outputs(self._step, scope, self._around.masker, self._warn)
        return with_outputs(scope, outputs), outputs, missing

    def _own(self) -> Own:
        return Own(self._step.id, self.inside, self._request)

    def _judged(
        self, checks: Sequence[AssertionOutcome], missing: Mapping[str, ExpressionError]
    ) -> tuple[str, StepError | None]:
        """The verdict of a try that has a result. An assertion that does not hold weighs more than an output that is not there:
        of a refusal, the status says more than the id that it does not have."""
        failed = [outcome for outcome in checks if not outcome.passed]
        if not missing:
            return "failed" if failed else "passed", None
        if all(outcome.error is not None for outcome in failed):
            name, error = next(iter(missing.items()))
            return "error", self._errors.of_expression(error, ("output", name))
        for name, error in missing.items():
            self._log("warning", f"output {name}: {error.message}")
        return "failed", None

    async def _call(self, action: Action, number: int, context: ActionContext) -> Mapping[str, Any]:
        if self._bodies is not None:
            self._bodies.begin()
        self._request = self._config(action, number)
        return await action.run(self._request, context)

    def _config(self, action: Action, number: int) -> Mapping[str, Any]:
        scope = self._names.scope(self._path, number)
        raw = self._step.config
        if not action.unresolved:
            config: Mapping[str, Any] = render(raw, scope)
            return config
        return {key: value if key in action.unresolved else render(value, scope) for key, value in raw.items()}

    def _context(self, number: int) -> ActionContext:
        lookup = Lookup(lambda: self._names.scope(self._path, number))
        context = ActionContext(
            egress=self._around.egress,
            resources=self._around.resources,
            shared=self._around.shared,
            evaluate=lookup.evaluate,
            log=self._log,
            remaining=self._remaining,
            headers={**self._around.headers, "X-TestMesh-Step": self._path},
            secrets=self._around.masker.add,
            render=lookup.render,
            keep=lambda behind: self._names.kept(f"{self._path}~{number}", behind),
            mock_bind=self._around.mock_bind,
            bodies=self._bodies,
            call=self._caller,
            folder=self._around.folder,
            bundled=self._around.bundled,
            exchanges=self._around.exchanges,
            mask=self._mask,
            values=lookup.values,
        )
        self._exchange = context.exchange
        return context

    def _again(self, made: _Made) -> bool:
        if self._remaining() <= 0:
            return False

        def holds(text: str) -> bool:
            scope = self._names.scope(self._path, made.record.number, made.result, self._own())
            try:
                return evaluate(bare_condition(text), with_outputs(scope, made.outputs)) is True
            except ExpressionError:
                return False

        return may_retry(self._retry, made.record, holds)

    def _outcome(self, tries: tuple[Try, ...], made: _Made) -> StepOutcome:
        self.result, self.outputs = made.result, made.outputs
        if made.exchange:
            self._around.exchanges[self._step.id] = {**made.exchange, "result": made.result}
        verdict = made.record.verdict
        if verdict == "passed" and len(tries) > 1:
            verdict = "passed_on_retry"
        outcome = StepOutcome(
            verdict,  # type: ignore[arg-type]
            self._elapsed(),
            tries,
            outputs=self._mask(made.outputs),
            result=shown(made.result, self._around.masker),
            error=made.record.error,
            exchange=self._mask(dict(made.exchange)) or None,
        )
        return self._tolerated(outcome)

    def _tolerated(self, outcome: StepOutcome) -> StepOutcome:
        on_error = self._step.on_error
        action = on_error.on_timeout if outcome.timed_out and on_error.on_timeout else on_error.action
        if action == "continue" and outcome.verdict in ("failed", "error"):
            return replace(outcome, verdict="tolerated", reason=f"on_error: continue ({outcome.verdict})")
        return outcome

    def _late(self) -> str:
        limit = self._step.timeout
        why = f"the step did not finish within {limit:g} s" if limit else "the action ran into a time limit of its own"
        return f"{why}{self._until_then()}"

    def _until_then(self) -> str:
        """What was waited for until the step was cut off; empty where it never was."""
        waiting = self._waiting
        return f"; {waiting.in_vain('until then')}" if waiting is not None and waiting.looks else ""

    def _log(self, level: str, message: str) -> None:
        self._logs.append({"level": level, "message": message})

    def _warn(self, message: str) -> None:
        """Once: `until` may look a hundred times."""
        if all(line["message"] != message for line in self._logs):
            self._log("warning", message)

    def _mask(self, value: Any) -> Any:
        return self._around.masker.mask(value)

    def _elapsed(self) -> float:
        return round((time.monotonic() - self._begun) * 1000, 3)

    def _remaining(self) -> float:
        return max(0.0, self._deadline - time.monotonic())
