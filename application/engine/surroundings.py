"""What the steps of one attempt share: the flow, its names, secrets, resources, and who looks on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from application.engine.action import Action
from application.engine.calls import FlowFinder
from application.engine.egress import ExecutionPolicy
from application.engine.observer import Observer
from application.engine.once import OnceRuns
from application.engine.open_calls import Frame
from application.engine.scope import Names
from domain.definition import FlowDefinition
from domain.masking import Masker
from domain.values import dataclass


@dataclass(slots=True, eq=False, repr=False)
class Surroundings:
    """What all steps of one attempt share."""

    definition: FlowDefinition
    actions: Mapping[str, Action]
    names: Names
    masker: Masker
    egress: ExecutionPolicy
    headers: Mapping[str, str]
    random: Callable[[], float]
    resources: dict[str, Any] = field(default_factory=dict)
    shared: dict[str, Any] = field(default_factory=dict)
    folder: Path | None = None
    bundled: bool = False
    """Whether the folder has only what the flow names."""
    near: str = ""
    """Where the flow stands among those that it may call; its own file unless given."""
    frame: Frame = field(default_factory=Frame)
    """What is kept of the names of this flow, for its teardown on another worker."""
    flows: FlowFinder | None = None
    """The flows that may be called; None where there are none."""
    given: Mapping[str, Any] = field(default_factory=dict)
    """The variables that the run was given from outside."""
    depth: int = 0
    """How many calls deep this flow runs."""
    exchanges: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """What the last run of each step sent, received and came to, by its id."""
    once: OnceRuns | None = None
    """None where every flow runs on its own: a step with `once` is then like any other."""
    observer: Observer | None = None
    """Who is asked before and after each step; None: nobody."""
    mock_bind: str = "127.0.0.1"

    def limit(self, seconds: float) -> float | None:
        """A time limit on what may hold several steps; None while somebody looks at each of them."""
        return seconds if self.observer is None else None

    async def close(self) -> None:
        """Close what actions left open: clients, pools, servers."""
        await close_all(self.resources)


async def close_all(resources: dict[str, Any]) -> None:
    """Close what has an asynchronous `close()`, the newest first, and forget all."""
    while resources:
        _, resource = resources.popitem()
        close = getattr(resource, "close", None)
        if close is not None:
            await close()
