"""Calls: a flow that is run as a step of another, in a scope of its own, with its own setup and teardown."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import field
from typing import Any, Literal, Protocol

from application.documents.source import did_you_mean
from application.engine.errors import ActionError
from application.engine.inputs import given_inputs, typed
from application.engine.scope import Names
from domain.definition import FlowDefinition
from domain.expressions import ExpressionError, extract, render
from domain.values import dataclass


class FlowFinder(Protocol):
    """Knows the flows that a flow may call."""

    def find(self, reference: str, near: str) -> FlowDefinition:
        """The flow of this path, name or id; paths count from the file `near`, then from the project. ActionError `config`."""
        ...


@dataclass(frozen=True, slots=True)
class Called:
    """How a called flow ended. `outputs` are those that it declares, when it passed."""

    name: str
    verdict: Literal["passed", "failed", "error"]
    message: str = ""
    outputs: Mapping[str, Any] = field(default_factory=dict)


Call = Callable[[str, Mapping[str, Any], bool], Awaitable[Called]]
"""Calls a flow by reference with inputs; the last argument says whether it sees the caller's variables."""


def starting_values(
    definition: FlowDefinition, given: Mapping[str, Any], outside: Mapping[str, Any], names: Names, prefix: str
) -> dict[str, Any]:
    """The variables that a flow begins with: what it was given wins over its inputs' defaults and its `env`, these over what
    comes from outside. `names` has the identity and the built-ins; `prefix` tells their random values from others. Invalid
    for an input that is missing or not of its type."""
    identity = dict(names.values)
    given = {**given, **given_inputs(definition, given, outside)}
    names.values.update({**outside, **given, **identity})
    for name, value in {**definition.inputs, **definition.env}.items():
        if name not in given:
            names.values[name] = render(value, names.scope(f"{prefix}env/{name}"))
            if name in definition.declared:
                names.values[name] = typed(name, definition.declared[name], names.values[name])
    names.values["env"] = {name: names.values[name] for name in {**definition.env, **given}}
    return dict(names.values)


def checked_inputs(definition: FlowDefinition, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs of a call; ActionError `config` for one that the flow does not take."""
    for name in inputs:
        if name not in definition.inputs:
            hint = did_you_mean(name, definition.inputs) or "it takes none"
            raise ActionError("config", f"{definition.name} takes no input {name!r}", hint=hint)
    return dict(inputs)


def outputs_of(definition: FlowDefinition, names: Names) -> dict[str, Any]:
    """What a flow that has passed hands back. ActionError `expression` for an output that it does not have."""
    outputs: dict[str, Any] = {}
    for name, path in definition.outputs.items():
        try:
            outputs[name] = extract(path, names.scope("outputs"))
        except ExpressionError as error:
            raise ActionError("expression", f"output {name} of {definition.name}: {error.message}", hint=error.hint) from None
    return outputs
