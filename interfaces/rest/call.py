"""One request as handlers see it, and what they answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

from domain.errors import NotFound
from domain.events import Actor
from domain.values import dataclass
from interfaces.authentication import Caller
from interfaces.reading import Reading

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """A request that was authenticated, authorised and checked. `workspace` is the caller's own, always."""

    reading: Reading
    caller: Caller
    path: Mapping[str, str]
    query: Any
    body: Any
    idempotency_key: str | None
    request_id: str

    @property
    def platform(self) -> Any:
        """The composition root: logs and commands."""
        return self.reading.platform

    @property
    def workspace(self) -> str:
        """The workspace's id."""
        return self.caller.workspace

    @property
    def by(self) -> Actor:
        """Who acts, for the events."""
        return Actor(f"key:{self.caller.key_id}", causation=f"request:{self.request_id}")

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do blocking work in a thread."""
        return await asyncio.to_thread(work, *args, **kwargs)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. `position` is where the command's last event stands: (log, number)."""

    body: Any = None
    status: int = 200
    position: tuple[str, int] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


def id_of(text: str, noun: str) -> UUID:
    """The id in a path; what is none names nothing of this workspace."""
    try:
        return UUID(text)
    except ValueError as error:
        raise NotFound(f"there is no {noun} {text[:64]} in this workspace") from error


def position_text(log: str, number: int) -> str:
    """A position as the opaque token that faces show."""
    return f"{log}:{number}"
