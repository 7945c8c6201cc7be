"""What a step could name when it ran, as far as the record tells: variables, results and outputs of the steps before it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from application.actions.registry import ACTIONS
from application.attempts import flow_seed
from application.engine.inputs import given_inputs
from application.flow_documents import read_flow
from domain.definition import FlowDefinition
from domain.errors import Invalid, InvalidFlow
from domain.expressions import Builtins, ExpressionError, Scope, StepValue, render, template_names
from interfaces.adapters.made_up import made_up
from interfaces.cli.reports.model import Execution


def names_before(execution: Execution, version: int, path: str, start: Mapping[str, Any]) -> dict[str, Any]:
    """The names that a step at `path` surely had with these values when the event `version` came, beside its own result.

    A step on the first level knows `start` and what steps on that level left behind. What a nested step left may be known
    outside or not, so its names count as unknown from then on. A nested step is only given what the steps beside it left:
    anything else may have been hidden by a loop's item or an input.
    """
    prefix = path.rpartition("/")[0]
    known = {} if prefix else dict(start)
    attempt = 0
    for event in execution.events:
        if event["version"] >= version:
            break
        topic, data = event["topic"].partition(".")[2], event["event"]
        if topic == "attempt_started" and data["attempt"] != attempt:
            attempt, known = data["attempt"], {} if prefix else dict(start)
        if topic == "step_finished":
            _learn(known, data["path"], data["outcome"], prefix)
    return known


def _learn(known: dict[str, Any], path: str, outcome: Mapping[str, Any], prefix: str) -> None:
    place, _, id = path.rpartition("/")
    outputs = outcome.get("outputs") or {}
    if place != prefix:
        for name in (id, *outputs):
            known.pop(name, None)
        return
    result = outcome.get("result")
    if isinstance(result, dict):
        known[id] = StepValue({**result, **outputs})
    elif outcome["verdict"] == "skipped":
        known[id] = {}
    else:
        known.pop(id, None)
    known.update(outputs)


def starting_names(execution: Execution, definition: FlowDefinition | None, unrecorded: frozenset[str]) -> dict[str, Any]:
    """Variables of the request, and those of the flow's `env` and `inputs` that follow from them and the seed alone."""
    request: dict[str, Any] = next((e["event"] for e in execution.events if e["topic"] == "execution.requested"), {})
    started = [e for e in execution.events if e["topic"] == "execution.attempt_started"]
    identity = {
        "flow": {
            "name": execution.name,
            "id": request.get("flow_id"),
            "file": execution.file,
            "case": execution.case,
        },
        "execution": {"id": execution.id},
        "attempt": execution.attempt,
    }
    names: dict[str, Any] = {**identity, **(request.get("variables") or {})}
    if definition is None or not started:
        return names
    seed = flow_seed(execution.seed, execution.name, execution.case)
    own = {"FLOW_ID": request.get("flow_id") or "", "FLOW_NAME": execution.name, "EXECUTION_ID": execution.id}
    at = datetime.fromisoformat(started[-1]["at"])
    builtins = Builtins(seed, execution.attempt, at, lambda: 0.0, own, made_up)
    with suppress(Invalid):
        names |= given_inputs(definition, names, {})
    given = set(names) | unrecorded
    for name, value in {**definition.inputs, **definition.env}.items():
        if name not in given and _is_told(value, names, builtins):
            try:
                names[name] = render(value, Scope(names, builtins=builtins.at(f"env/{name}")))
            except ExpressionError:
                continue
    return names


def _is_told(value: Any, names: Mapping[str, Any], builtins: Builtins) -> bool:
    """Whether all that a value reads is known; a name with a default may have come from the process."""
    if isinstance(value, dict | list):
        return all(_is_told(item, names, builtins) for item in (value.values() if isinstance(value, dict) else value))
    if not isinstance(value, str):
        return True
    try:
        return template_names(value) <= {*names, *builtins.at("").known()}
    except ExpressionError:
        return False


class Definitions:
    """The flows of a saved run, read from their texts once each."""

    def __init__(self, sources: Mapping[str, str]) -> None:
        self._sources = sources
        self._read: dict[str, FlowDefinition | None] = {}

    def find(self, file: str) -> FlowDefinition | None:
        """The flow of a file; None when its text is not here, or not valid."""
        if file not in self._read:
            try:
                text = self._sources.get(file)
                self._read[file] = None if text is None else read_flow(text, file=file, actions=ACTIONS, strict=False)[0]
            except InvalidFlow:
                self._read[file] = None
        return self._read[file]

    def all(self) -> list[FlowDefinition | None]:
        """Every flow."""
        return [self.find(file) for file in self._sources]
