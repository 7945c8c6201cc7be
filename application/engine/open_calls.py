"""Calls that a lost attempt was in the middle of: what events keep of them, so that another worker can tear them down."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import field
from typing import Any

from application.documents.reads import teardown_reads
from domain.definition import FlowDefinition, Step
from domain.masking import Masker
from domain.values import dataclass

_IDENTITY = frozenset({"flow", "execution", "attempt"})


@dataclass(slots=True, eq=False, repr=False)
class Frame:
    """What is kept of the names of a flow under way: those of `reads`, under `prefix`. That is empty for the outermost flow,
    and the path of the calling step with a slash for a called one."""

    prefix: str = ""
    reads: frozenset[str] = frozenset()
    opening: Mapping[str, Any] = field(default_factory=dict)
    """What must be kept before its first step acts; emptied then."""

    @classmethod
    def of_call(cls, definition: FlowDefinition, path: str, values: Mapping[str, Any], inherits: bool) -> Frame:
        """The frame of a call by the step at `path`, which begins with these values. A flow without teardown needs none."""
        if not definition.teardown:
            return cls()
        prefix, reads = f"{path}/", teardown_reads(definition)
        kept = {f"{prefix}{name}": values[name] for name in reads - _IDENTITY if name in values}
        return cls(prefix, reads, {prefix: {"file": definition.file, "inherits": inherits}, **kept})

    def taken(self) -> Mapping[str, Any]:
        """What opens the frame, once."""
        opening, self.opening = self.opening, {}
        return opening

    def is_read(self, step: Step) -> bool:
        """Whether teardown reads anything that the step makes."""
        return step.id in self.reads or not self.reads.isdisjoint(step.output)

    def state(self, step: Step, result: Mapping[str, Any], outputs: Mapping[str, Any]) -> dict[str, Any]:
        """Of what a step has come to, the names that teardown reads."""
        state = {f"{self.prefix}{name}": value for name, value in outputs.items() if name in self.reads}
        if step.id in self.reads:
            state[f"{self.prefix}{step.id}"] = {**result, **outputs}
        return state


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class OpenCall:
    """A call that had begun and not ended: the file of the called flow, and the names that its teardown reads."""

    prefix: str
    file: str
    inherits: bool
    values: Mapping[str, Any]


def split_state(state: Mapping[str, Any]) -> tuple[dict[str, Any], list[OpenCall]]:
    """Of what the events of an attempt have kept, the names of the outermost flow, and the calls, the innermost first."""
    own = {name: value for name, value in state.items() if "/" not in name}
    prefixes = sorted((name for name in state if name.endswith("/")), key=len, reverse=True)
    return own, [_call(prefix, state) for prefix in prefixes]


def _call(prefix: str, state: Mapping[str, Any]) -> OpenCall:
    values = {
        name.removeprefix(prefix): value
        for name, value in state.items()
        if name.startswith(prefix) and "/" not in name.removeprefix(prefix) and name != prefix
    }
    return OpenCall(prefix, state[prefix]["file"], state[prefix]["inherits"], values)


def hide_secrets(definition: FlowDefinition, values: Mapping[str, Any], masker: Masker) -> None:
    """Tell the masker the secret outputs among values that events have kept: another worker made them."""
    for step in (one for steps in definition.lists() for one in _steps(steps)):
        result = values.get(step.id)
        for name in step.secret_outputs:
            for holder in (values, result if isinstance(result, Mapping) else {}):
                if holder.get(name) is not None:
                    masker.add(str(holder[name]))


def _steps(steps: Iterable[Step]) -> Iterator[Step]:
    for step in steps:
        yield step
        for body in (*step.bodies.values(), step.on_error.steps):
            yield from _steps(body)
