"""What expressions can name while an attempt runs: variables, outputs and results of earlier steps, built-ins."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from domain.expressions import Builtins, Own, Scope, StepValue, evaluate, explain, render

Functions = Callable[[str], Mapping[str, Callable[..., Any]]]
"""The functions that expressions may call beside those of the language, by the path of the step that they stand in."""


class Names:
    """The names of one attempt, growing step by step. Loop bodies get a child that sees its parent's names."""

    def __init__(self, builtins: Builtins, variables: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
        self._builtins = builtins
        self.values: dict[str, Any] = {**identity, **variables}
        self.functions: Functions = lambda path: {}
        self.learned: dict[str, Any] = {}
        """Of the values, those that steps have left behind here."""

    def scope(self, path: str, number: int = 1, result: Mapping[str, Any] | None = None, own: Own | None = None) -> Scope:
        """A scope for one evaluation; `number` is the try, `result` the result of the step at the path, which is `own`."""
        builtins = self._builtins.at(path, 0, number)
        if own is None and result is not None:
            own = Own(path.rpartition("/")[2])
        return Scope(self.values, result=result, builtins=builtins, functions=self.functions(path), own=own)

    def kept(self, path: str, behind: Mapping[str, Any]) -> Kept:
        """The names as they are now, with those of `behind` where the flow has none."""
        return Kept(self._builtins, path, {**behind, **self.values})

    def child(self, **names: Any) -> Names:
        """Names of a nested body."""
        inner = Names(self._builtins, self.values, {})
        inner.values.update(names)
        inner.functions = self.functions
        return inner

    def of_call(self, flow: Mapping[str, Any]) -> Names:
        """Names of a called flow: the same execution, and nothing else of this one."""
        identity: dict[str, Any] = {name: self.values[name] for name in ("execution", "attempt") if name in self.values}
        inner = Names(self._builtins, {}, {**identity, "flow": flow})
        inner.functions = self.functions
        return inner

    def learn(self, step_id: str, result: Mapping[str, Any], outputs: Mapping[str, Any]) -> None:
        """Make a finished step's result and outputs known to later steps; outputs also by their bare names."""
        self.adopt({step_id: StepValue({**result, **outputs}), **outputs})

    def adopt(self, learned: Mapping[str, Any]) -> None:
        """Know what steps of a nested body have left behind."""
        self.values.update(learned)
        self.learned.update(learned)

    def restore(self, values: Mapping[str, Any]) -> None:
        """Know again what steps of an attempt had left behind, their results and outputs alike."""
        self.values.update({name: StepValue(value) if isinstance(value, dict) else value for name, value in values.items()})


class Kept:
    """The names of one moment at one place of the flow; later steps change nothing in them."""

    def __init__(self, builtins: Builtins, path: str, values: Mapping[str, Any]) -> None:
        self._builtins = builtins
        self._path = path
        self._values = values

    def render(self, value: Any, names: Mapping[str, Any], number: int) -> Any:
        """The value with its templates resolved; `number` counts the uses from 1."""
        return render(value, self._scope(names, number))

    def evaluate(self, text: str, names: Mapping[str, Any], number: int) -> Any:
        """The value of an expression."""
        return evaluate(bare_condition(text), self._scope(names, number))

    def _scope(self, names: Mapping[str, Any], number: int) -> Scope:
        return Scope({**self._values, **names}, builtins=self._builtins.at(f"{self._path}/kept", number))


class Lookup:
    """Expressions over a scope that is made when the first of them is there. It is one for all, so that two uses of a random
    built-in give two values; `names` are known beside those of the scope."""

    def __init__(self, scope: Callable[[], Scope]) -> None:
        self._make = scope
        self._made: Scope | None = None

    def evaluate(self, text: str, names: Mapping[str, Any]) -> Any:
        """The value of an expression."""
        return evaluate(bare_condition(text), self._scope(names))

    def render(self, value: Any, names: Mapping[str, Any]) -> Any:
        """The value with its templates resolved."""
        return render(value, self._scope(names))

    def values(self, text: str, names: Mapping[str, Any]) -> Sequence[tuple[str, Any]]:
        """The parts of an expression with their values, in its order."""
        return explain(bare_condition(text), self._scope(names)).values

    def _scope(self, names: Mapping[str, Any]) -> Scope:
        if self._made is None:
            self._made = self._make()
        return self._made.child(names)


def with_outputs(scope: Scope, outputs: Mapping[str, Any]) -> Scope:
    """The scope of assertions, in which the step's own outputs are known too."""
    if not outputs:
        return scope
    inner = scope.child(outputs)
    inner.own = replace(scope.own, outputs=outputs) if scope.own is not None else None
    return inner


def bare_condition(text: str) -> str:
    """A condition may be written bare or as one whole template: `${x > 1}` means `x > 1`."""
    stripped = text.strip()
    for begin, end in (("${", "}"), ("{{", "}}")):
        if stripped.startswith(begin) and stripped.endswith(end) and begin not in stripped[2:]:
            return stripped[len(begin) : -len(end)].strip()
    return text
