"""Runs one step: condition, tries, waiting, assertions, outputs; everything that it reports is masked."""

from __future__ import annotations

import asyncio
import logging
import re
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
from application.engine.scope import Names, bare_condition
from application.engine.shown import shown
from application.engine.surroundings import Surroundings
from domain.definition import Path as Place
from domain.definition import Retry, Step
from domain.expressions import ExpressionError, Own, Scope, evaluate, explain, extract, render
from domain.expressions.values import short
from domain.limits import LIMITS
from domain.outcome import AssertionOutcome, StepError, StepOutcome, Try
from domain.values import dataclass

ONCE = Retry(max_attempts=1)
_ERROR_PATH = re.compile(r"\s*error\.\w+\s*\??\s*")
NO_ERROR = {"message": None, "kind": None, "step": None}
"""What outputs know as `error` when the step has not failed."""
logger = logging.getLogger("testmesh.engine")


class _NotMet(ActionFailed):
    """What `until` waits for did not come."""


class _CannotWait(Exception):
    """What `until` waits for cannot be evaluated."""

    def __init__(self, error: ExpressionError, place: Place) -> None:
        super().__init__(error.message)
        self.error = error
        self.place = place


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
        self._waits = 0
        """How often `until` was looked at."""
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
        scope = replace_names(self._names.scope(self._path, 1, self.result or None), self.outputs)
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
        return [{"level": line["level"], "message": self._text(line["message"])} for line in self._logs]

    def cancelled(self, verdict: str, reason: str) -> StepOutcome:
        """The outcome of a step that was stopped from outside."""
        if self._step.until is not None and self._waits:
            reason = f"{reason}; {self._waited('until then', None)}"
        ended: Literal["timed_out", "cancelled"] = "timed_out" if verdict == "timed_out" else "cancelled"
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
            return self._tolerated(StepOutcome("error", self._elapsed(), error=self._explained(error, (*step.path, "when"))))
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
            scope = self._names.scope(self._path, number, result, self._own())
            outputs, missing = self._extract(scope)
            checks = check(self._step, self._around.definition, replace_names(scope, outputs), self._mask)
            verdict, error = self._judged(checks, missing)
        except TimeoutError:
            error = self._failed("timeout", self._late(), "raise its timeout")
        except BodyFailed as nested:
            verdict, result = nested.verdict, nested.result or {}
            error = self._failed("nested", nested.message)
        except _NotMet as waited:
            verdict, result = "failed", waited.result or {}
            error = self._failed("failed", waited.message, place=("until", "condition"))
        except ActionFailed as failed:
            verdict, result = "failed", failed.result or {}
            place = () if failed.place is None else ("config", *failed.place)
            error = self._failed("failed", failed.message, place=place)
        except ActionError as failure:
            error = self._failed(failure.kind, failure.message, failure.hint, _place_of(failure, self._step))
        except _CannotWait as unclear:
            error = self._explained(unclear.error, (*self._step.path, *unclear.place))
        except ExpressionError as wrong:
            error = self._explained(wrong, (*self._step.path, "config"))
        except Exception as bug:
            logger.exception("action %s failed in a way that it does not know", self._step.action)
            error = self._failed("internal", f"{type(bug).__name__}: {bug}", "report this as a bug of TestMesh")
        if error is not None:
            outputs = {**outputs, **self._of_error(error)}
        duration = (time.monotonic() - begun) * 1000
        return _Made(Try(number, verdict, round(duration, 3), error, checks), result, outputs, context.exchange)

    def _in_time(self, acting: Coroutine[Any, Any, Mapping[str, Any]]) -> Coroutine[Any, Any, Mapping[str, Any]]:
        """The same up to the step's deadline; most steps have none, and looking after one costs more than all else here."""
        return acting if self._deadline == float("inf") else self._until_deadline(acting)

    async def _until_deadline(self, acting: Coroutine[Any, Any, Mapping[str, Any]]) -> Mapping[str, Any]:
        async with asyncio.timeout_at(asyncio.get_running_loop().time() + self._remaining()):
            return await acting

    async def _act(self, context: ActionContext, number: int) -> Mapping[str, Any]:
        """The action, again and again while `until` does not hold."""
        step, until = self._step, self._step.until
        action = self._around.actions[step.action]
        if until is None:
            return await self._call(action, number, context)
        end = time.monotonic() + until.timeout
        while True:
            result = await self._call(action, number, context)
            self._waits += 1
            scope = self._names.scope(self._path, number, result, self._own())
            outputs, missing = self._extract(scope)
            scope = replace_names(scope, outputs)
            if self._holds(until.condition, scope, missing):
                return result
            if time.monotonic() + until.interval > end:
                raise _NotMet(self._waited(f"within {until.timeout:g} s", scope), result=result)
            await asyncio.sleep(until.interval)

    def _own(self) -> Own:
        return Own(self._step.id, self.inside, self._request)

    def _holds(self, condition: str, scope: Scope, missing: Mapping[str, ExpressionError]) -> bool:
        """Whether `until` holds. An output that it reads and that is not there stands for no value of an earlier step."""
        from application.documents.language import expression_names

        for name in missing.keys() & expression_names(condition) if missing else ():
            raise _CannotWait(missing[name], ("output", name))
        try:
            return evaluate(bare_condition(condition), scope) is True
        except ExpressionError as error:
            raise _CannotWait(error, self._until_place()) from error

    def _waited(self, how_long: str, scope: Scope | None) -> str:
        """What was waited for in vain, how often it was looked at, and what was seen last."""
        assert self._step.until is not None
        condition, tries = self._step.until.condition, f"{self._waits} {'try' if self._waits == 1 else 'tries'}"
        values = () if scope is None else explain(bare_condition(condition), scope).values
        seen = "".join(f"\n  {text} = {short(value)}" for text, value in values)
        return f"until: {condition} was not true {how_long} ({tries}){seen}"

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
            return "error", self._explained(error, (*self._step.path, "output", name))
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
        found: list[Scope] = []

        def scope() -> Scope:
            # One for all, so that two uses of a random built-in give two values.
            if not found:
                found.append(self._names.scope(self._path, number))
            return found[0]

        def look(text: str, names: Mapping[str, Any]) -> Any:
            return evaluate(bare_condition(text), scope().child(names))

        def resolve(value: Any, names: Mapping[str, Any]) -> Any:
            return render(value, scope().child(names))

        def values(text: str, names: Mapping[str, Any]) -> Sequence[tuple[str, Any]]:
            return explain(bare_condition(text), scope().child(names)).values

        context = ActionContext(
            egress=self._around.egress,
            resources=self._around.resources,
            shared=self._around.shared,
            evaluate=look,
            log=self._log,
            remaining=self._remaining,
            headers={**self._around.headers, "X-TestMesh-Step": self._path},
            secrets=self._around.masker.add,
            render=resolve,
            keep=lambda behind: self._names.kept(f"{self._path}~{number}", behind),
            mock_bind=self._around.mock_bind,
            bodies=self._bodies,
            call=self._caller,
            folder=self._around.folder,
            bundled=self._around.bundled,
            exchanges=self._around.exchanges,
            mask=self._mask,
            values=values,
        )
        self._exchange = context.exchange
        return context

    def _of_error(self, error: StepError) -> dict[str, Any]:
        """The outputs that are parts of the `error` of a step that could not do its work; it has no others."""
        paths = {name: path for name, path in self._step.output.items() if _ERROR_PATH.fullmatch(path)}
        known = {"error": {"message": error.message, "kind": error.kind, "step": self._step.id}}
        return {name: self._mask(extract(path.rstrip("? ") + "?", Scope(known))) for name, path in paths.items()}

    def _extract(self, scope: Scope) -> tuple[dict[str, Any], dict[str, ExpressionError]]:
        """The outputs, and why others are not there."""
        if not self._step.output:
            return {}, {}
        outputs: dict[str, Any] = {}
        missing: dict[str, ExpressionError] = {}
        scope = scope.child({"error": scope.names.get("error", NO_ERROR)})
        for name, path in self._step.output.items():
            try:
                value = extract(path, scope)
            except ExpressionError as error:
                missing[name] = error
                continue
            if name in self._step.secret_outputs and value is not None and not self._around.masker.add(str(value)):
                least = LIMITS.secret_min_chars
                said = f"the secret output {name} has fewer than {least} characters and cannot be masked"
                if all(line["message"] != said for line in self._logs):  # `until` may look a hundred times
                    self._log("warning", said)
            outputs[name] = value
        return outputs, missing

    def _again(self, made: _Made) -> bool:
        if self._remaining() <= 0:
            return False

        def holds(text: str) -> bool:
            scope = self._names.scope(self._path, made.record.number, made.result, self._own())
            try:
                return evaluate(bare_condition(text), replace_names(scope, made.outputs)) is True
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

    def _explained(self, error: ExpressionError, path: tuple[str | int, ...]) -> StepError:
        from application.flow_documents import place_in

        place = place_in(self._around.definition, path, error.text, error.offset)
        message = self._text(f"{error.message} in `{error.text}`" if error.text else error.message)
        hint = self._text(error.hint) if error.hint else None
        return StepError("expression", message, hint, place.line, place.column)

    def _until_place(self) -> Place:
        places: tuple[Place, ...] = (("until", "condition"), ("until", "expression"))
        known = self._around.definition.positions
        return next((place for place in places if (*self._step.path, *place) in known), ("until",))

    def _failed(self, kind: str, message: str, hint: str | None = None, place: Place = ()) -> StepError:
        """An error of the action, shown where the step stands, or at a place in it."""
        at = self._around.definition.position((*self._step.path, *place))
        return StepError(kind, self._text(message), self._text(hint) if hint else None, at.line, at.column)

    def _late(self) -> str:
        limit = self._step.timeout
        why = f"the step did not finish within {limit:g} s" if limit else "the action ran into a time limit of its own"
        return f"{why}; {self._waited('until then', None)}" if self._step.until is not None and self._waits else why

    def _log(self, level: str, message: str) -> None:
        self._logs.append({"level": level, "message": message})

    def _mask(self, value: Any) -> Any:
        return self._around.masker.mask(value)

    def _text(self, text: str) -> str:
        return self._around.masker.mask_message(text)[: LIMITS.excerpt_bytes]

    def _elapsed(self) -> float:
        return round((time.monotonic() - self._begun) * 1000, 3)

    def _remaining(self) -> float:
        return max(0.0, self._deadline - time.monotonic())


def replace_names(scope: Scope, outputs: Mapping[str, Any]) -> Scope:
    """The scope of assertions, in which the step's own outputs are known too."""
    if not outputs:
        return scope
    inner = scope.child(outputs)
    inner.own = replace(scope.own, outputs=outputs) if scope.own is not None else None
    return inner


def _place_of(failure: ActionError, step: Step) -> Place:
    """Where in the step the key stands that an action finds fault with."""
    key = failure.key_in(step.config)
    return () if key is None else ("config", key)
