"""Outcomes: how steps and flows end, and the record of what each step did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, fields, is_dataclass
from typing import Any, Literal

from domain.values import dataclass

StepVerdict = Literal["passed", "passed_on_retry", "failed", "error", "skipped", "tolerated", "cancelled", "timed_out"]
Verdict = Literal["passed", "passed_on_retry", "failed", "error", "cancelled", "timed_out"]


@dataclass(frozen=True, slots=True)
class StepError:
    """Why a step could not do its work. `kind` is stable: timeout, connection_refused, dns, tls, egress, expression, ..."""

    kind: str
    message: str
    hint: str | None = None
    line: int | None = None
    column: int | None = None
    excerpt: str | None = None


@dataclass(frozen=True, slots=True)
class AssertionOutcome:
    """One evaluated assertion. `values` are the sub-expressions' values in source order; all values are masked."""

    expression: str
    passed: bool
    message: str | None = None
    error: str | None = None
    line: int = 0
    column: int = 0
    offset: int = 0
    expected: Any = None
    actual: Any = None
    operator: str = ""
    """How expected and actual were compared: `==`, `<`, `contains`, ...; empty for no comparison."""
    values: tuple[tuple[str, Any], ...] = ()
    diff: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Try:
    """One attempt at a step (a retry makes another). Milliseconds."""

    number: int
    verdict: str
    duration_ms: float
    error: StepError | None = None
    assertions: tuple[AssertionOutcome, ...] = ()


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """All that is recorded of a finished step. Everything in it is already masked and bounded in size."""

    verdict: StepVerdict
    duration_ms: float
    tries: tuple[Try, ...] = ()
    outputs: Mapping[str, Any] = field(default_factory=dict)
    result: Any = None
    error: StepError | None = None
    reason: str | None = None
    exchange: Mapping[str, Any] | None = None
    file: str | None = None
    """The file of a called flow, where the step stands in one: its lines are counted there."""

    @property
    def ok(self) -> bool:
        """Whether the flow may go on as if nothing happened."""
        return self.verdict in ("passed", "passed_on_retry", "skipped", "tolerated")


def as_record(value: Any) -> Any:
    """Outcomes, and those inside them, as mappings by field; what they hold is not copied."""
    names = _fields(type(value))
    if names:
        return {name: as_record(getattr(value, name)) for name in names}
    if isinstance(value, tuple):
        return [as_record(item) for item in value]
    return value


_FIELDS: dict[type[Any], tuple[str, ...]] = {}


def _fields(kind: type[Any]) -> tuple[str, ...]:
    """Names of a dataclass's fields; none of any other class."""
    if kind not in _FIELDS:
        _FIELDS[kind] = tuple(one.name for one in fields(kind)) if is_dataclass(kind) else ()
    return _FIELDS[kind]
