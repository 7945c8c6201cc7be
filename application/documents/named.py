"""What a flow names beside itself: files, patterns, flows that it calls, its variables, rows and snapshots."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from application.documents.language import is_template
from application.engine.action import Action, FileKind
from domain.definition import FlowDefinition, Path, Step
from domain.values import dataclass


@dataclass(frozen=True, slots=True)
class Named:
    """One name. `path` is its place in the document; paths of `env_file` and `data` count from the flow's folder, a flow's
    from there or from the project, all others from the project."""

    kind: FileKind | Literal["env_file", "data"]
    text: str
    path: Path

    @property
    def known(self) -> bool:
        """Whether the name is known before the flow runs: no template is in it."""
        return not is_template(self.text)


def named_in(definition: FlowDefinition, actions: Mapping[str, Action]) -> Iterator[Named]:
    """What the flow names, in the order of its steps; the flow's own files first."""
    for number, text in enumerate(definition.env_file):
        yield Named("env_file", text, ("env_file", number))
    if definition.data is not None and definition.data.file is not None:
        yield Named("data", definition.data.file, ("data",))
    yield from named_by_steps(definition, actions)


def named_by_steps(definition: FlowDefinition, actions: Mapping[str, Action]) -> Iterator[Named]:
    """What the steps of a flow name: all that counts where another flow calls it."""
    for steps in definition.lists():
        yield from _in_steps(steps, actions)


def _in_steps(steps: Iterable[Step], actions: Mapping[str, Action]) -> Iterator[Named]:
    for step in steps:
        for name, key in actions[step.action].keys.items():
            if key.names is not None and name in step.config:
                for text in key.named(step.config[name]):
                    yield Named(key.names, text.strip() if key.names == "flow" else text, (*step.path, "config", name))
        for body in (*step.bodies.values(), step.on_error.steps):
            yield from _in_steps(body, actions)
