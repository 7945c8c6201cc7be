"""What an expression can name: the step's result first, then variables and built-ins."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from domain.expressions.builtins import BoundBuiltins
from domain.values import dataclass

_MISSING = object()


@dataclass(frozen=True, slots=True)
class Told:
    """The answer of a function that a scope brings, with what it has to say about it."""

    value: Any
    notes: tuple[str, ...] = ()


class Scope:
    """Names of one evaluation. `result` is the step's own result: its keys are names, and so are `result` and `response`."""

    __slots__ = ("builtins", "functions", "names", "result")

    def __init__(
        self,
        names: Mapping[str, Any],
        result: Mapping[str, Any] | None = None,
        builtins: BoundBuiltins | None = None,
        functions: Mapping[str, Callable[..., Any]] | None = None,
    ) -> None:
        self.names = names
        self.result = result
        self.builtins = builtins
        self.functions = functions or {}

    def child(self, names: Mapping[str, Any]) -> Scope:
        """The same scope with more names, which hide those of the same name."""
        return Scope({**self.names, **names}, self.result, self.builtins, self.functions)

    def find(self, name: str) -> tuple[bool, Any]:
        """Whether a name is known, and its value."""
        result = self.result
        if result is not None:
            value = result.get(name, _MISSING)
            if value is not _MISSING:
                return True, value
            if name in ("result", "response"):
                return True, result
        value = self.names.get(name, _MISSING)
        if value is not _MISSING:
            return True, value
        return self.builtins.find(name) if self.builtins is not None else (False, None)

    def root(self) -> Any:
        """What `$` means: the body of the result, or the result."""
        if self.result is None:
            return dict(self.names)
        return self.result.get("body", self.result)

    def known(self) -> Iterable[str]:
        """Every name, for suggestions."""
        yield from self.result or ()
        yield from self.names
        if self.builtins is not None:
            yield from self.builtins.known()
