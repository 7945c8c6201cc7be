"""The flow definition: what a flow document means, as frozen values without any trace of YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Literal, NamedTuple

from domain.limits import LIMITS
from domain.queueing import Group
from domain.values import dataclass

Phase = Literal["setup", "steps", "teardown"]
Path = tuple[str | int, ...]
"""Where a value stands in the document, from below `flow`: ("steps", 0, "assert", 1)."""


class Position(NamedTuple):
    """A place in a source file; line and column count from 1. A tuple, as there are two for every value of a document."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Retry:
    """Tolerance of failure: attempts in all (1-10), seconds between them, how they grow, and what may be retried.

    `retry_on` and `retry_on_not` items are expressions over the result or `timeout`, `connection_error`, `assertion`.
    """

    max_attempts: int = 1
    delay: float = 1.0
    backoff: Literal["constant", "linear", "exponential"] = "constant"
    jitter: bool = False
    retry_on: tuple[str, ...] = ()
    retry_on_not: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Until:
    """Expected waiting: the step is done when the condition holds. Seconds."""

    condition: str
    interval: float = 1.0
    timeout: float = 30.0


@dataclass(frozen=True, slots=True)
class Assertion:
    """One check over a step's result: an expression, and optionally the author's own message."""

    expression: str
    path: Path
    message: str | None = None


@dataclass(frozen=True, slots=True)
class OnError:
    """What a failed step does to its flow. `timeout_steps` run before `error_steps`, when it failed for want of time."""

    action: Literal["fail", "continue", "retry"] = "fail"
    error_steps: tuple[Step, ...] = ()
    on_timeout: Literal["fail", "continue", "retry"] | None = None
    timeout_steps: tuple[Step, ...] = ()

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps that a failure may run, in their order."""
        return (*self.timeout_steps, *self.error_steps)


INPUT_TYPES = ("string", "number", "integer", "boolean", "object", "array")


@dataclass(frozen=True, slots=True)
class Input:
    """What a flow says of one of its inputs beside its default: one of INPUT_TYPES, and whether it must be given."""

    type: str | None = None
    required: bool = False


@dataclass(frozen=True, slots=True)
class Data:
    """Rows of data, each of which makes a case of its own: given in place, or in a CSV, JSON or JSON lines file.

    `key` is the column that names a row; without it a row is named by its number, from 1.
    """

    rows: tuple[Mapping[str, Any], ...] = ()
    file: str | None = None
    key: str | None = None
    delimiter: str = ","


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Step:
    """One step. `path` is its place in the document; `config` holds the raw values, templates unresolved.

    `bodies` holds nested step lists of control-flow actions by config key (`steps`, `else`, ...), already checked.
    """

    id: str
    action: str
    path: Path
    config: Mapping[str, Any] = field(default_factory=dict)
    name: str | None = None
    description: str | None = None
    asserts: tuple[Assertion, ...] = ()
    assert_any: tuple[Assertion, ...] = ()
    assert_none: tuple[Assertion, ...] = ()
    output: Mapping[str, str] = field(default_factory=dict)
    when: str | None = None
    retry: Retry | None = None
    until: Until | None = None
    timeout: float | None = None
    on_error: OnError = field(default_factory=OnError)
    disabled: bool = False
    tags: tuple[str, ...] = ()
    secret_outputs: tuple[str, ...] = ()
    once: str | None = None
    """A name under which the step is run a single time for all flows of a run, its outcome shared."""
    bodies: Mapping[str, tuple[Step, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FlowConfig:
    """Settings of a whole flow. Seconds; `timeout` bounds everything but teardown."""

    timeout: float = field(default_factory=lambda: LIMITS.run_seconds)
    teardown_timeout: float = 60.0
    fail_fast: bool = True
    retry: Retry | None = None
    on_worker_lost: Literal["restart", "fail"] = "restart"
    priority: str | None = None
    """One of PRIORITIES; None leaves it to whoever requests a run."""
    runs_on: tuple[str, ...] = ()
    """Labels that the worker must have."""
    queue_timeout: float | None = None
    """How long a run may wait for a worker; None for the server's setting."""
    concurrency: Group | None = None
    """The group that its runs share with others."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class FlowDefinition:
    """A whole flow. `positions` says where each path stands in `source`; `file` is the name shown to people."""

    name: str
    steps: tuple[Step, ...]
    setup: tuple[Step, ...] = ()
    teardown: tuple[Step, ...] = ()
    on_error: tuple[Step, ...] = ()
    """Steps that run when setup or steps have failed, before teardown."""
    id: str | None = None
    description: str | None = None
    version: str | None = None
    author: str | None = None
    suite: str | None = None
    tags: tuple[str, ...] = ()
    env: Mapping[str, Any] = field(default_factory=dict)
    env_file: tuple[str, ...] = ()
    inputs: Mapping[str, Any] = field(default_factory=dict)
    """Every input with its default, null where it has none."""
    declared: Mapping[str, Input] = field(default_factory=dict)
    """More about those inputs that are written as an object of type, required, default and description."""
    outputs: Mapping[str, str] = field(default_factory=dict)
    data: Data | None = None
    needs: tuple[str, ...] = ()
    """Flows that must have passed before: paths, names or ids."""
    lock: tuple[str, ...] = ()
    """Names of locks: of the flows that name one, a single one runs at a time."""
    config: FlowConfig = field(default_factory=FlowConfig)
    source: str = ""
    file: str = "<flow>"
    positions: Mapping[Path, Position] = field(default_factory=dict)

    def phase(self, phase: Phase) -> tuple[Step, ...]:
        """The steps of one phase, in order."""
        return {"setup": self.setup, "steps": self.steps, "teardown": self.teardown}[phase]

    def lists(self) -> tuple[tuple[Step, ...], ...]:
        """Every list of steps, in the order in which they may run."""
        return self.setup, self.steps, self.on_error, self.teardown

    def position(self, path: Path) -> Position:
        """Where a path stands, or its nearest known parent."""
        while path and path not in self.positions:
            path = path[:-1]
        return self.positions.get(path, Position(1, 1))
