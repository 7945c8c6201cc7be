"""The frame of one evaluation: its scope, its budget, and what predicates and `let` define on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from domain.expressions.errors import ExpressionError, Fault
from domain.limits import LIMITS

if TYPE_CHECKING:
    from domain.expressions.scope import Scope

Code = Callable[["Frame"], Any]
"""A compiled node: gives its value in a frame."""


class Frame:
    """One evaluation. Straight-line code is bounded by the size of its text, so only loops and large values are charged."""

    __slots__ = ("acc", "index", "item", "locals", "notes", "scope", "steps", "text", "trace")

    def __init__(self, scope: Scope, text: str) -> None:
        self.scope = scope
        self.text = text
        self.steps = LIMITS.expression_steps
        self.item: Any = None
        self.index = 0
        self.acc: Any = None
        self.locals: dict[str, Any] = {}
        self.notes: list[str] = []
        """What functions have to say about their answer: where a value does not fit, for one."""
        self.trace: dict[tuple[int, int], Any] = {}

    def charge(self, steps: int) -> None:
        """Take steps from the budget; Fault of kind limit when none are left."""
        self.steps -= steps
        if self.steps < 0:
            raise Fault("limit", f"the expression takes more than {LIMITS.expression_steps} steps")

    def error(self, kind: Any, message: str, offset: int, hint: str | None = None) -> ExpressionError:
        """An error at a place of this evaluation's text."""
        return ExpressionError(message, offset, self.text, hint, kind)


def kind_of(value: object) -> str:
    """What a value is called in messages: its JSON type with an article."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, list | tuple):
        return "a list"
    return "an object" if isinstance(value, dict) else f"a {type(value).__name__}"


def need_boolean(value: object, what: str) -> bool:
    """The value if it is true or false; nothing else is taken for a condition."""
    if value is True or value is False:
        return value
    hint = "compare it, for example with != null, != '' or > 0"
    raise Fault("type", f"{what} must be true or false, not {kind_of(value)}", hint)


def bounded_text(size: int) -> None:
    """Fault of kind limit when a text or list that is about to be made would be larger than values may be."""
    if size > LIMITS.value_bytes:
        raise Fault("limit", f"the value would be larger than {LIMITS.value_bytes} bytes")
