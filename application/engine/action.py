"""The port between the engine and its actions: what an action declares, is given, and returns."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from application.engine.errors import ActionError, ActionFailed
from domain.definition import Path as Place
from domain.limits import LIMITS, Limits
from domain.values import dataclass

if TYPE_CHECKING:  # whoever validates a flow needs neither asyncio nor addresses
    from pathlib import Path

    from application.engine.bodies import Bodies
    from application.engine.calls import Call
    from application.engine.egress import ExecutionPolicy

__all__ = ["Action", "ActionContext", "ActionError", "ActionFailed", "KeptNames", "Key", "Run", "ValueType"]

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


FileKind = Literal["file", "glob", "flow", "proto", "database"]


def _its_texts(value: Any) -> Iterable[str]:
    return [text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Key:
    """One config key of an action: its accepted types (templates are always accepted), and what it means."""

    types: tuple[ValueType, ...] = ("any",)
    required: bool = False
    description: str = ""
    choices: tuple[str, ...] = ()
    schemes: tuple[str, ...] = ()
    """With which schemes a text may begin; one without a scheme is left to the action."""
    one_of: str | None = None
    """Keys that share a `one_of` name are alternatives: at least one of them must be given."""
    aliases: tuple[str, ...] = ()
    """Other names of the key in documents. Actions never see them; two names of one key together are an error."""
    otherwise: str | None = None
    """What stands for the key where it is not given: a template."""
    names: FileKind | None = None
    """What of the project the key names: a file to read, a pattern of files, a flow, a .proto file with what it imports, or the
    file of a database, which need not be there. What is named goes to workers together with the flow."""
    writes: bool = False
    """Whether the key names a file of the project that the step writes."""
    named: Callable[[Any], Iterable[str]] = _its_texts
    """The names in a value of the key: itself, or the items of a list, unless the action knows better."""


class KeptNames(Protocol):
    """The names of one moment, for what is resolved when the step has long ended, such as the answers of a mock server.

    `number` tells one use from the next: random values differ by it, and are the same again under the same seed.
    """

    def render(self, value: Any, names: Mapping[str, Any], number: int) -> Any:
        """The value with its templates resolved, against the names kept and those given, which win."""
        ...

    def evaluate(self, text: str, names: Mapping[str, Any], number: int) -> Any:
        """The value of an expression over the same names."""
        ...


def _keep_none(names: Mapping[str, Any]) -> KeptNames:
    raise NotImplementedError("this context keeps no names")


@dataclass(slots=True, eq=False, repr=False)
class ActionContext:
    """What an action may use. One object an execution of a step; `resources` lives as long as the execution.

    `resources` keeps what steps share (HTTP clients, database pools) under a key each; every value that has an
    asynchronous `close()` is closed when the execution ends. `shared` is the same for all executions of this process.
    `evaluate` evaluates an expression text against the current scope plus the names given; `log` adds a log line of the
    execution; `remaining` is the seconds left for this step.
    """

    egress: ExecutionPolicy
    """Judges addresses; servers that the step starts are allowed here, to this execution alone."""
    resources: dict[str, Any]
    evaluate: Callable[[str, Mapping[str, Any]], Any]
    log: Callable[[str, str], None]
    remaining: Callable[[], float]
    shared: dict[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers that HTTP steps add (X-TestMesh-Execution, -Attempt, -Step), unless the step sets them."""
    limits: Limits = LIMITS
    secrets: Callable[[str], object] = lambda value: None
    """Tell the masker about a secret that the action derives (an auth header, a password in a URL)."""
    render: Callable[[Any, Mapping[str, Any]], Any] = lambda value, names: value
    """Resolve the templates of a value now, against the current scope plus the names given; for keys that are `unresolved`."""
    keep: Callable[[Mapping[str, Any]], KeptNames] = _keep_none
    """The names as they are now, for later; those given stand behind them."""
    mock_bind: str = "127.0.0.1"
    """The address at which servers of steps listen."""
    bodies: Bodies | None = None
    """The nested steps of the step; None where there are none."""
    call: Call | None = None
    """Runs another flow; None where there are none to be found."""
    folder: Path | None = None
    """The folder below which files are read and written: the project's, or on workers one of the attempt alone."""
    bundled: bool = False
    """Whether the folder has only what the flow names: on workers."""
    exchange: dict[str, Any] = field(default_factory=dict)
    """What was sent and received, filled in by the action while it works, for reports: {request: {...}, response: {...}}."""
    exchanges: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What earlier steps of this attempt sent and received, by step id: their `exchange`, and their result as `result`."""
    values: Callable[[str, Mapping[str, Any]], Sequence[tuple[str, Any]]] = lambda text, names: ()
    """The parts of an expression with their values, against the current scope plus the names given, for messages."""
    mask: Callable[[Any], Any] = lambda value: value
    """The value without the secrets that are known by now, for what an action writes outside of the log."""


class Run(Protocol):
    """The work of an action: resolved config in, result out. The result's keys are names in assertions."""

    def __call__(self, config: Mapping[str, Any], context: ActionContext) -> Awaitable[Mapping[str, Any]]: ...


@dataclass(frozen=True, slots=True, eq=False, repr=False)
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
    made: Callable[[Mapping[str, Any]], frozenset[str]] = lambda config: frozenset()
    """Fields that the step's config adds to the result; unresolved keys know them too."""
    expressions: Callable[[Mapping[str, Any]], Iterable[tuple[Place, str]]] = lambda config: ()
    """The expressions within unresolved keys, each with its path below the config; the other texts there are templates."""
    faults: Callable[[Mapping[str, Any]], Iterable[tuple[Place, str, str | None]]] = lambda config: ()
    """What is wrong whatever templates come to, and seen before the run: the path below the config, what, and a remedy."""
    after_bodies: tuple[str, ...] = ()
    """Unresolved keys that are looked at after nested steps have run, and know what those leave behind."""
