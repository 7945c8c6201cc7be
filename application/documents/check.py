"""The check of a document against the grammar: every error that can be seen without knowing any variable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from application.documents.actions import canonical_name, config_record, find_action
from application.documents.grammar import FLOW, NO_PROGRAMS, OTHER_ACTIONS, RETRY_KINDS, STEP
from application.documents.language import Fault, expression_faults, template_faults
from application.documents.quotes import cut_by_yaml, quote_remedy
from application.documents.report import Report
from application.documents.shapes import IDENTIFIER
from application.documents.source import did_you_mean
from application.engine.action import Action
from application.engine.errors import ActionUnusable
from domain.definition import Path
from domain.limits import LIMITS, Limits
from domain.values import dataclass


@dataclass(slots=True, eq=False, repr=False)
class Check:
    """One pass over the raw values of a flow. Ids are collected, so that one that stands twice is found."""

    report: Report
    actions: Mapping[str, Action]
    limits: Limits = LIMITS
    ids: dict[str, Path] = field(default_factory=dict)
    count: int = 0
    default_retry: bool = False

    def flow(self, value: Any) -> None:
        """Check everything below `flow:`."""
        if isinstance(value, dict):
            config = value.get("config")
            self.default_retry = isinstance(config, dict) and "retry" in config
        FLOW.check(value, (), self)
        if self.count > self.limits.steps:
            title = f"The flow has {self.count} steps; at most {self.limits.steps} are allowed"
            self.report.error(("steps",), title, "split it into several flows, or use for_each")

    def error(self, path: Path, title: str, remedy: str | None = None, *, key: bool = False) -> None:
        """Report an error at a value or at its key."""
        self.report.error(path, title, remedy, key=key)

    def template(self, path: Path, text: str) -> None:
        """Report what is wrong with the templates of a text."""
        for fault in template_faults(text):
            self._syntax(path, text, fault)

    def expression(self, path: Path, text: str) -> None:
        """Report what is wrong with an expression."""
        if text in RETRY_KINDS and {"retry_on", "retry_on_not"} & set(path[-2:]):
            return
        if not text.strip():
            self.report.error(path, "An expression is empty", "write what must hold, such as status == 200")
            return
        for fault in expression_faults(text):
            self._syntax(path, text, fault)

    def duration(self, value: str | float) -> float | None:
        """Seconds, or None if the text is no duration."""
        return seconds(value)

    def line(self, path: Path) -> str:
        """The source line on which a value begins."""
        return self.report.line(path)

    def steps(self, value: list[Any], path: Path) -> None:
        """Check a list of steps."""
        for index, step in enumerate(value):
            self._step(step, (*path, index))

    def _step(self, value: Any, path: Path) -> None:
        self.count += 1
        if self.count > self.limits.steps:
            return
        if isinstance(value, dict):
            self._identity(value, path)
        STEP.check(value, path, self)
        if isinstance(value, dict):
            self._config(value, path)
            self._on_error(value, path)
            self._secret_outputs(value, path)
            if "once" in value and path[0] != "setup":
                self.error((*path, "once"), '"once" belongs to setup steps', "move the step to setup", key=True)

    def _identity(self, step: dict[str, Any], path: Path) -> None:
        identity = step.get("id")
        if not isinstance(identity, str) or not IDENTIFIER.fullmatch(identity):
            return
        if identity in self.ids:
            remedy = f"it is given first in line {self.report.place((*self.ids[identity], 'id')).line}; choose another"
            self.error((*path, "id"), f'The step id "{identity}" is used twice', remedy)
        else:
            self.ids[identity] = path

    def _config(self, step: dict[str, Any], path: Path) -> None:
        name = step.get("action")
        if not isinstance(name, str) or not name.strip():
            return
        try:
            action = find_action(name, self.actions)
        except ActionUnusable as unusable:
            self.error((*path, "action"), unusable.message, unusable.remedy)
            return
        if action is None:
            remedy = did_you_mean(name, self.actions, OTHER_ACTIONS) or "`testmesh docs` lists the actions"
            if name.lower() in NO_PROGRAMS:
                remedy = "flows run no programs; `testmesh docs` lists the actions"
            self.error((*path, "action"), f'There is no action "{name}"', remedy)
            return
        config = step.get("config", {})
        if isinstance(config, dict):
            place = (*path, "config") if "config" in step else (*path, "action")
            config_record(action).check(config, place, self)
            self._inside(action, config, place)

    def _inside(self, action: Action, config: dict[str, Any], place: Path) -> None:
        """What the action sees within its keys. Its words about a part whose expression is broken already are left out."""
        written = {canonical_name(action, name): name for name in config}
        known = {name: config[key] for name, key in written.items()}
        broken: list[Path] = []

        def at(below: Path) -> Path:
            return (*place, written.get(str(below[0]), below[0]), *below[1:]) if below else place

        for below, text in action.expressions(known):
            before = len(self.report.errors)
            self.expression(at(below), text)
            broken += [below] * (len(self.report.errors) > before)
        for below, message, hint in action.faults(known):
            if not any(path[: len(below)] == below for path in broken):
                self.error(at(below), message, hint)

    def _on_error(self, step: dict[str, Any], path: Path) -> None:
        block = step.get("on_error")
        inside = {"error_steps": block} if isinstance(block, list) else block if isinstance(block, dict) else {}
        for name in ("error_steps", "on_timeout"):
            if name in inside and name in step:
                self.error((*path, name), f'"{name}" is given twice', "keep the one below on_error", key=True)
        chosen: dict[Path, Any] = {("on_error",): block, ("on_timeout",): step.get("on_timeout")}
        if isinstance(block, dict):
            chosen |= {("on_error", name): block.get(name) for name in ("action", "on_timeout")}
        for below, action in chosen.items():
            if action == "retry" and "retry" not in step and not self.default_retry:
                title = '"on_error: retry" needs a retry block'
                self.error((*path, *below), title, "add retry: {max_attempts: 3, delay: 1s} to the step")

    def _secret_outputs(self, step: dict[str, Any], path: Path) -> None:
        names, output = step.get("secret_outputs"), step.get("output", {})
        if not isinstance(output, dict):
            return
        for index, name in enumerate(names if isinstance(names, list) else [names]):
            if isinstance(name, str) and name not in output:
                place = (*path, "secret_outputs", index) if isinstance(names, list) else (*path, "secret_outputs")
                self.error(place, f'The step has no output "{name}"', did_you_mean(name, output) or "add it to output")

    def _syntax(self, path: Path, text: str, fault: Fault) -> None:
        at = self.report.inside(path, text, fault.offset)
        place = self.report.place(path)
        line = self.report.document.source.line(place.line)
        why = cut_by_yaml(line, place.column, text)
        remedy = f"{why}; {quote_remedy(line)}" if why else fault.hint
        self.report.error(path, fault.message, remedy, at=at)


def seconds(value: str | float) -> float | None:
    """The seconds of a duration, or None if it is none."""
    from domain.duration import parse_duration

    try:
        return parse_duration(value)
    except ValueError:
        return None
