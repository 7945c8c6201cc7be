"""What an expression can name: the step's result first, then variables and built-ins."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import field
from typing import Any

from domain.expressions.builtins import BoundBuiltins
from domain.values import dataclass

_MISSING = object()
_WHOLE = ("response", "result")


@dataclass(frozen=True, slots=True)
class Told:
    """The answer of a function that a scope brings, with what it has to say about it."""

    value: Any
    notes: tuple[str, ...] = ()


class StepValue(dict[str, Any]):
    """What a step came to, as later steps name it by its id. `response` and `result` of it mean the whole, `response_time` its
    `time`."""

    def get(self, key: Any, default: Any = None) -> Any:
        """The part under a key."""
        if key in self:
            return self[key]
        if key == "response_time":
            return super().get("time", default)
        return self if key in _WHOLE else default


@dataclass(frozen=True, slots=True)
class Own:
    """The step whose result a scope has: its id, what steps inside it left behind, its config as the action got it, and its
    outputs."""

    id: str
    inside: Mapping[str, Any] = field(default_factory=dict)
    request: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)


class Scope:
    """Names of one evaluation. `result` is the result of the step `own`: its keys are names, and so are `result`, `response`,
    `response_time`, the step's id, and `request`, its config. `steps` has all names by text, those too that are no identifiers.
    """

    __slots__ = ("builtins", "functions", "names", "own", "result")

    def __init__(
        self,
        names: Mapping[str, Any],
        result: Mapping[str, Any] | None = None,
        builtins: BoundBuiltins | None = None,
        functions: Mapping[str, Callable[..., Any]] | None = None,
        own: Own | None = None,
    ) -> None:
        self.names = names
        self.result = result
        self.builtins = builtins
        self.functions = functions or {}
        self.own = own

    def child(self, names: Mapping[str, Any]) -> Scope:
        """The same scope with more names, which hide those of the same name."""
        return Scope({**self.names, **names}, self.result, self.builtins, self.functions, self.own)

    def find(self, name: str) -> tuple[bool, Any]:
        """Whether a name is known, and its value."""
        result = self.result
        if result is not None:
            value = result.get(name, _MISSING)
            if value is not _MISSING:
                return True, value
            if name in _WHOLE:
                return True, result
            if self.own is not None and name == self.own.id:
                return True, StepValue({**self.own.inside, **result, **self.own.outputs})
            if name == "response_time" and "time" in result:
                return True, result["time"]
        value = self.names.get(name, _MISSING)
        if value is not _MISSING:
            return True, value
        if name == "steps":
            return True, dict(self.names)
        if name == "request" and self.own is not None and self.own.request:
            return True, self.own.request
        return self.builtins.find(name) if self.builtins is not None else (False, None)

    def root(self) -> Any:
        """What `$` means: what is given under that name, else the body of the result, or the result."""
        if "$" in self.names:
            return self.names["$"]
        if self.result is None:
            return dict(self.names)
        return self.result.get("body", self.result)

    def not_json(self, value: object) -> str | None:
        """Why a text has no parts, where it is the body of a result that calls itself JSON."""
        result = self.result or {}
        headers = result.get("headers")
        if not isinstance(value, str) or value != result.get("body") or not isinstance(headers, Mapping):
            return None
        kind = next((str(kind) for name, kind in headers.items() if str(name).lower() == "content-type"), "")
        return _why_not_json(value, cut=result.get("truncated") is True) if "json" in kind.lower() else None

    def known(self) -> Iterable[str]:
        """Every name, for suggestions."""
        yield from self.result or ()
        yield from self.names
        if self.builtins is not None:
            yield from self.builtins.known()


def _why_not_json(text: str, *, cut: bool) -> str | None:
    import json  # loaded only when something is wrong

    if cut:
        return "the body is longer than what is kept, and was not read as JSON"
    if not text.strip():
        return "the body is empty"
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return f"the body is not JSON: line {error.lineno}, column {error.colno}: {error.msg}"
    except RecursionError:
        return "the body is nested too deeply to be read as JSON"
    return None
