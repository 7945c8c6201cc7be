"""The port between the engine and its actions: what an action declares, is given, and returns."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from application.engine.bodies import Bodies
from application.engine.calls import Call
from application.engine.egress import EgressPolicy
from application.engine.errors import ActionError, ActionFailed
from domain.limits import LIMITS, Limits

__all__ = ["Action", "ActionContext", "ActionError", "ActionFailed", "Key", "Run", "ValueType"]

ValueType = Literal[
    "any",
    "string",
    "number",
    "integer",
    "boolean",
    "object",
    "array",
    "duration",
    "steps",
    "branches",
    "expression",
    "assertions",
]


@dataclass(frozen=True, slots=True)
class Key:
    """One config key of an action: its accepted types (templates are always accepted), and what it means."""

    types: tuple[ValueType, ...] = ("any",)
    required: bool = False
    description: str = ""
    choices: tuple[str, ...] = ()
    one_of: str | None = None
    """Keys that share a `one_of` name are alternatives: at least one of them must be given."""


@dataclass(slots=True)
class ActionContext:
    """What an action may use. One object an execution of a step; `resources` lives as long as the execution.

    `resources` keeps what steps share (HTTP clients, database pools) under a key each; every value that has an
    asynchronous `close()` is closed when the execution ends. `shared` is the same for all executions of this process.
    `evaluate` evaluates an expression text against the current scope plus the names given; `log` adds a log line of the
    execution; `remaining` is the seconds left for this step.
    """

    egress: EgressPolicy
    resources: dict[str, Any]
    evaluate: Callable[[str, Mapping[str, Any]], Any]
    log: Callable[[str, str], None]
    remaining: Callable[[], float]
    shared: dict[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers that HTTP steps add (X-TestMesh-Execution, -Attempt, -Step), unless the step sets them."""
    limits: Limits = LIMITS
    secrets: Callable[[str], None] = lambda value: None
    """Tell the masker about a secret that the action derives (an auth header, a password in a URL)."""
    render: Callable[[Any, Mapping[str, Any]], Any] = lambda value, names: value
    """Resolve the templates of a value now, against the current scope plus the names given; for keys that are `unresolved`."""
    bodies: Bodies | None = None
    """The nested steps of the step; None where there are none."""
    call: Call | None = None
    """Runs another flow; None where there are none to be found."""
    folder: Path | None = None
    """The folder below which local runs may read files; None on workers."""
    exchange: dict[str, Any] = field(default_factory=dict)
    """What was sent and received, filled in by the action while it works, for reports: {request: {...}, response: {...}}."""


class Run(Protocol):
    """The work of an action: resolved config in, result out. The result's keys are names in assertions."""

    def __call__(self, config: Mapping[str, Any], context: ActionContext) -> Awaitable[Mapping[str, Any]]: ...


@dataclass(frozen=True, slots=True)
class Action:
    """One action type. `module_for` is not needed: `run` imports its client library when first called."""

    name: str
    keys: Mapping[str, Key]
    run: Run
    aliases: tuple[str, ...] = ()
    description: str = ""
    result: Mapping[str, str] = field(default_factory=dict)
    """Each field of the result and what it holds, for the reference."""
    unresolved: tuple[str, ...] = ()
    """Config keys that the engine must not resolve before the run (expressions evaluated by the action itself)."""
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Of an unresolved key, the names that only its texts know; a key that is not listed may know any."""
    body_names: Callable[[Mapping[str, Any]], frozenset[str]] = lambda config: frozenset()
    """The names that nested steps know beside those outside, by the step's config."""
    after_bodies: tuple[str, ...] = ()
    """Unresolved keys that are looked at after nested steps have run, and know what those leave behind."""
