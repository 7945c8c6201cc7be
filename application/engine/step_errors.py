"""Errors of a step as they are recorded: without secrets, bounded in size, at the place where their cause is written."""

from __future__ import annotations

from application.engine.errors import ActionError
from domain.definition import FlowDefinition, Path, Step
from domain.expressions import ExpressionError
from domain.limits import LIMITS
from domain.masking import Masker
from domain.outcome import StepError


class StepErrors:
    """Makes those of one step. Places are paths below the step; without one, it is where the step itself stands."""

    def __init__(self, step: Step, definition: FlowDefinition, masker: Masker) -> None:
        self._step = step
        self._definition = definition
        self._masker = masker

    def of_expression(self, error: ExpressionError, place: Path) -> StepError:
        """An expression at this place that cannot be evaluated."""
        from application.flow_documents import place_in

        at = place_in(self._definition, (*self._step.path, *place), error.text, error.offset)
        message = self.text(f"{error.message} in `{error.text}`" if error.text else error.message)
        return StepError("expression", message, self._hint(error.hint), at.line, at.column)

    def of_action(self, error: ActionError) -> StepError:
        """An action that could not do its work, shown at the key that it finds fault with."""
        key = error.key_in(self._step.config)
        return self.of_kind(error.kind, error.message, error.hint, () if key is None else ("config", key))

    def of_kind(self, kind: str, message: str, hint: str | None = None, place: Path = ()) -> StepError:
        """Any other."""
        at = self._definition.position((*self._step.path, *place))
        return StepError(kind, self.text(message), self._hint(hint), at.line, at.column)

    def text(self, text: str) -> str:
        """A text as it may be recorded."""
        return self._masker.mask_message(text)[: LIMITS.excerpt_bytes]

    def _hint(self, hint: str | None) -> str | None:
        return self.text(hint) if hint else None
