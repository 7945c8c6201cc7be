"""What an action is given, for tests that run one action against real servers."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from application.documents.actions import canonical_name
from application.engine.action import Action, ActionContext, ActionError
from application.engine.egress import EgressPolicy, ExecutionPolicy, LocalPolicy
from application.engine.scope import Names
from application.engine.surroundings import close_all
from domain.expressions import Builtins, Scope, evaluate, render
from domain.limits import LIMITS, Limits


@dataclass(slots=True)
class Bench:
    """Contexts that share their resources as the steps of one execution do, and what was told to them."""

    egress: EgressPolicy = field(default_factory=LocalPolicy)
    names: Mapping[str, Any] = field(default_factory=dict)
    limits: Limits = LIMITS
    seconds: float = float("inf")
    folder: Path | None = None
    bundled: bool = False
    resources: dict[str, Any] = field(default_factory=dict)
    shared: dict[str, Any] = field(default_factory=dict)
    lines: list[tuple[str, str]] = field(default_factory=list)
    secrets: list[str] = field(default_factory=list)
    exchanges: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    exchange: Mapping[str, Any] = field(default_factory=dict)
    """The exchange of the action that ran last."""

    own: ExecutionPolicy | None = None
    """The policy of the execution over `egress`."""

    def context(self) -> ActionContext:
        """The context of one more step."""
        if self.own is None or self.own.base is not self.egress:
            self.own = ExecutionPolicy(self.egress)
        names = Names(Builtins("seed", 1, datetime.now(UTC), time.monotonic), self.names, {})
        return ActionContext(
            egress=self.own,
            resources=self.resources,
            shared=self.shared,
            evaluate=lambda text, names: evaluate(text, Scope({**self.names, **names})),
            render=lambda value, names: render(value, Scope({**self.names, **names})),
            log=lambda level, message: self.lines.append((level, message)),
            remaining=lambda: self.seconds,
            limits=self.limits,
            secrets=self.secrets.append,
            folder=self.folder,
            bundled=self.bundled,
            keep=lambda behind: names.kept("step", behind),
            exchanges=self.exchanges,
        )

    async def run(self, action: Action, config: Mapping[str, Any]) -> Mapping[str, Any]:
        """The action's result; its config is taken as resolved."""
        context = self.context()
        self.exchange = context.exchange
        return await action.run({canonical_name(action, name): value for name, value in config.items()}, context)

    async def error(self, action: Action, config: Mapping[str, Any]) -> ActionError:
        """The error that the action must end with."""
        with pytest.raises(ActionError) as raised:
            await self.run(action, config)
        return raised.value

    async def close(self) -> None:
        """End the execution, and the process: what actions left open is closed."""
        await close_all(self.resources)
        await close_all(self.shared)


@asynccontextmanager
async def bench(**options: Any) -> AsyncIterator[Bench]:
    """A bench that is closed at the end."""
    made = Bench(**options)
    try:
        yield made
    finally:
        await made.close()
