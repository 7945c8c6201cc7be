"""The builder: turns the raw values of a checked document into a flow definition."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Any

from application.documents.actions import (
    canonical_name,
    find_action,
    holds_checks,
    takes_branches,
    takes_steps,
    takes_text_only,
)
from application.documents.check import seconds
from application.documents.grammar import PHASES, is_declaration
from application.documents.reader import Document
from application.documents.records import branches_of
from application.engine.action import Action, Key
from domain.definition import Assertion, Data, FlowConfig, FlowDefinition, Input, OnError, Path, Retry, Step, Until
from domain.queueing import Group
from domain.values import dataclass

_FAIL = OnError()
_ON_ERROR = ("on_error", "error_steps", "on_timeout")
_FLOW_TEXTS = ("id", "description", "version", "author", "suite")


@dataclass(slots=True, eq=False, repr=False)
class Builder:
    """Builds one definition. Steps without an id are named by their place in the order of the document: `step_<n>`."""

    document: Document
    actions: Mapping[str, Action]
    taken: set[str] = field(default_factory=set)
    count: int = 0

    def flow(self) -> FlowDefinition:
        """The definition; the document must have passed its check."""
        value = self.document.value
        texts: dict[str, Any] = {name: self._text(value, name, ()) for name in _FLOW_TEXTS}
        phases: dict[str, Any] = {phase: self._steps(value.get(phase, []), (phase,)) for phase in PHASES}
        return FlowDefinition(
            name=self._text(value, "name", ()) or "",
            **texts,
            **phases,
            on_error=self._steps(value.get("on_error", []), ("on_error",)),
            tags=self._words(value, "tags", ()),
            env=value.get("env", {}),
            env_file=self._words(value, "env_file", ()),
            inputs={name: _default(item) for name, item in value.get("inputs", {}).items()},
            declared={name: _input(item) for name, item in value.get("inputs", {}).items() if is_declaration(item)},
            outputs=value.get("outputs", {}),
            data=_data(value["data"]) if "data" in value else None,
            needs=self._words(value, "needs", ()),
            lock=self._words(value, "lock", ()),
            config=_flow_config(value.get("config", {})),
            source=self.document.source.text,
            file=self.document.source.file,
            positions=self.document.positions,
        )

    def _steps(self, values: list[dict[str, Any]], path: Path) -> tuple[Step, ...]:
        return tuple(self._step(value, (*path, index)) for index, value in enumerate(values) if value is not None)

    def _step(self, value: dict[str, Any], path: Path) -> Step:
        action = find_action(value["action"], self.actions)
        assert action is not None
        identity = self._identity(value)
        config, bodies = self._config(value.get("config", {}), action, (*path, "config"))
        return Step(
            id=identity,
            action=action.name,
            path=path,
            config=config,
            bodies=bodies,
            name=self._text(value, "name", path),
            description=self._text(value, "description", path),
            asserts=tuple(self._asserts(value, action, path)),
            assert_any=tuple(_assertions(value.get("assert_any"), (*path, "assert_any"))),
            assert_none=tuple(_assertions(value.get("assert_none"), (*path, "assert_none"))),
            output=value.get("output", {}),
            when=_expression(value["when"]) if "when" in value else None,
            retry=_retry(value["retry"]) if "retry" in value else None,
            until=_until(value["until"]) if "until" in value else None,
            timeout=_seconds(value, "timeout", None),
            on_error=self._on_error(value, path),
            disabled=value.get("disabled", False),
            tags=self._words(value, "tags", path),
            secret_outputs=self._words(value, "secret_outputs", path),
            once=self._text(value, "once", path),
        )

    def _asserts(self, value: dict[str, Any], action: Action, path: Path) -> Iterator[Assertion]:
        """Those beside the config, then those in it."""
        yield from _assertions(value.get("assert"), (*path, "assert"))
        config = value.get("config", {})
        for name in config:
            if holds_checks(action, name):
                yield from _assertions(config[name], (*path, "config", name))

    def _identity(self, value: dict[str, Any]) -> str:
        self.count += 1
        if "id" in value:
            return str(value["id"])
        name, again = f"step_{self.count}", 1
        while name in self.taken:
            again += 1
            name = f"step_{self.count}_{again}"
        self.taken.add(name)
        return name

    def _config(self, config: dict[str, Any], action: Action, path: Path) -> tuple[dict[str, Any], dict[str, tuple[Step, ...]]]:
        plain: dict[str, Any] = {}
        bodies: dict[str, tuple[Step, ...]] = {}
        for written, value in config.items():
            name, place = canonical_name(action, written), (*path, written)
            key = action.keys.get(name, Key())
            if holds_checks(action, name):
                continue
            if takes_steps(key) and isinstance(value, list):
                bodies[name] = self._steps(value, place)
            elif takes_branches(key) and isinstance(value, list | dict):
                for branch, below, steps in branches_of(value):
                    bodies[f"{name}/{branch}"] = self._steps(steps, (*place, *below))
            else:
                plain[name] = self.document.texts.get(place, value) if _meant_as_text(value, key) else value
                if name != written:
                    self.document.known_as(place, (*path, name), value)
        implied = {name: key.otherwise for name, key in action.keys.items() if key.otherwise is not None}
        return {**implied, **plain}, bodies

    def _on_error(self, value: dict[str, Any], path: Path) -> OnError:
        if value.keys().isdisjoint(_ON_ERROR):
            return _FAIL
        given = value.get("on_error", {})
        block: dict[str, Any] = given if isinstance(given, dict) else {}
        error_steps, place = given, (*path, "on_error")
        if not isinstance(given, list):
            error_steps, place = self._below("error_steps", block, value, path)
        late, late_place = self._below("on_timeout", block, value, path)
        action: Any = given if isinstance(given, str) else block.get("action", "fail")
        steps = self._steps(error_steps or [], place)
        if isinstance(late, list):
            return OnError(action, steps, timeout_steps=self._steps(late, late_place))
        return OnError(action, steps, late)

    @staticmethod
    def _below(name: str, block: dict[str, Any], step: dict[str, Any], path: Path) -> tuple[Any, Path]:
        """What stands below on_error, or beside it; and where."""
        return (block[name], (*path, "on_error", name)) if name in block else (step.get(name), (*path, name))

    def _text(self, value: dict[str, Any], name: str, path: Path) -> str | None:
        return self._written(value[name], (*path, name)) if name in value else None

    def _words(self, value: dict[str, Any], name: str, path: Path) -> tuple[str, ...]:
        if name not in value:
            return ()
        given = value[name]
        if not isinstance(given, list):
            return (self._written(given, (*path, name)),)
        return tuple(self._written(item, (*path, name, index)) for index, item in enumerate(given))

    def _written(self, value: Any, path: Path) -> str:
        """A text; a number as it is written."""
        return value if isinstance(value, str) else self.document.texts.get(path, str(value))


def build(document: Document, actions: Mapping[str, Action], ids: Mapping[str, Path]) -> FlowDefinition:
    """The definition of a checked document. `ids` are those that steps give themselves; a step that is None is left out."""
    return Builder(document, actions, set(ids)).flow()


def _meant_as_text(value: Any, key: Key) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and takes_text_only(key)


def _expression(value: str | bool) -> str:
    return value if isinstance(value, str) else ("true" if value else "false")


def _assertions(value: Any, path: Path) -> Iterator[Assertion]:
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _assertions(item, (*path, index))
    elif isinstance(value, dict):
        key = next(key for key in ("expression", "that") if key in value)
        message = value.get("message")
        yield Assertion(_expression(value[key]), (*path, key), None if message is None else str(message))
    elif value is not None:
        yield Assertion(_expression(value), path)


def _retry(value: Any) -> Retry:
    if isinstance(value, int):
        return Retry(max_attempts=value)
    block = dict(value)
    if block.pop("enabled", True) is False:
        return Retry()
    for name in ("retry_on", "retry_on_not"):
        if name in block:
            given = block[name] if isinstance(block[name], list) else [block[name]]
            block[name] = tuple(_expression(item) for item in given)
    if "delay" in block:
        block["delay"] = _seconds(block, "delay", None)
    return Retry(**block)


def _default(value: Any) -> Any:
    return value.get("default") if is_declaration(value) else value


def _input(value: dict[str, Any]) -> Input:
    return Input(value.get("type"), value.get("required", False))


def _data(value: Any) -> Data:
    if isinstance(value, list):
        return Data(rows=tuple(value))
    if not isinstance(value, dict):
        return Data(file=str(value))
    return Data(tuple(value.get("rows", ())), value.get("file"), value.get("key"), value.get("delimiter", ","))


def _until(value: Any) -> Until:
    if not isinstance(value, dict):
        return Until(_expression(value))
    condition = value["condition"] if "condition" in value else value["expression"]
    return Until(_expression(condition), _seconds(value, "interval", 1.0), _seconds(value, "timeout", 30.0))


def _flow_config(value: dict[str, Any]) -> FlowConfig:
    settings = dict(value)
    for name in ("timeout", "teardown_timeout", "queue_timeout"):
        if name in settings:
            settings[name] = _seconds(settings, name, None)
    if "runs_on" in settings:
        given = settings["runs_on"]
        settings["runs_on"] = tuple(sorted({str(label) for label in (given if isinstance(given, list) else [given])}))
    if "concurrency" in settings:
        settings["concurrency"] = _group(settings["concurrency"])
    if "retry" in settings:
        settings["retry"] = _retry(settings["retry"])
    return FlowConfig(**settings)


def _group(value: Any) -> Group:
    if not isinstance(value, dict):
        return Group(str(value))
    group = Group(str(value["group"]))
    return Group(
        group.name,
        value.get("max", group.max),
        value.get("when_full", group.when_full),
        _seconds(value, "timeout", group.timeout),
    )


def _seconds(value: dict[str, Any], name: str, default: Any) -> Any:
    """The duration below a key in seconds."""
    return seconds(value[name]) if name in value else default
