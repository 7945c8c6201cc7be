"""Waiting: a step with `until` calls its action again and again while the condition does not hold."""

from __future__ import annotations

from collections.abc import Mapping

from application.engine.errors import ActionFailed
from application.engine.scope import bare_condition
from domain.definition import FlowDefinition, Path, Step, Until
from domain.expressions import ExpressionError, Scope, evaluate, explain
from domain.expressions.values import short


class NotMet(ActionFailed):
    """What `until` waits for did not come."""


class CannotWait(Exception):
    """What `until` waits for cannot be evaluated; `place` is where it is written, below the step."""

    def __init__(self, error: ExpressionError, place: Path) -> None:
        super().__init__(error.message)
        self.error = error
        self.place = place


class Waiting:
    """What a step waits for, and how often it was looked at."""

    def __init__(self, until: Until, step: Step, definition: FlowDefinition) -> None:
        self.until = until
        self.looks = 0
        self._step = step
        self._definition = definition

    def holds(self, scope: Scope, missing: Mapping[str, ExpressionError]) -> bool:
        """Whether it has come. An output that the condition reads and that is not there stands for no value of an earlier
        step. CannotWait."""
        from application.documents.language import expression_names

        self.looks += 1
        condition = self.until.condition
        for name in missing.keys() & expression_names(condition) if missing else ():
            raise CannotWait(missing[name], ("output", name))
        try:
            return evaluate(bare_condition(condition), scope) is True
        except ExpressionError as error:
            raise CannotWait(error, self._place()) from error

    def in_vain(self, how_long: str, scope: Scope | None = None) -> str:
        """What was waited for in vain, how often it was looked at, and what was seen last."""
        condition, tries = self.until.condition, f"{self.looks} {'try' if self.looks == 1 else 'tries'}"
        values = () if scope is None else explain(bare_condition(condition), scope).values
        seen = "".join(f"\n  {text} = {short(value)}" for text, value in values)
        return f"until: {condition} was not true {how_long} ({tries}){seen}"

    def _place(self) -> Path:
        places: tuple[Path, ...] = (("until", "condition"), ("until", "expression"))
        known = self._definition.positions
        return next((place for place in places if (*self._step.path, *place) in known), ("until",))
