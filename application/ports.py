"""What the application needs from outside, each a protocol; adapters and fakes implement them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Literal, Protocol
from uuid import UUID

from domain.values import dataclass

CommandKind = Literal["attempt", "teardown"]


@dataclass(frozen=True, slots=True)
class RunCommand:
    """A message of the queue: an attempt, or the teardown of a lost one, is wanted. Ids only, no data."""

    execution: UUID
    attempt: int
    kind: CommandKind = "attempt"
    number: int = 0
    """Which teardown try; 0 for attempts."""
    priority: int = field(default=0, compare=False)
    runs_on: tuple[str, ...] = field(default=(), compare=False)
    """Labels that the worker must have: with the priority, the way that the message takes."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A command as delivered; `command` is None when the entry could not be read, and `fields` are its bytes."""

    entry: str
    command: RunCommand | None
    fields: Mapping[bytes, bytes] = field(default_factory=dict)
    stream: str = ""
    """Where in the queue it stood."""


class CommandQueue(Protocol):
    """The doorbell: it may lose, repeat and reorder; the log decides."""

    def send(self, commands: list[RunCommand]) -> None:
        """Add commands. Unavailable when the queue does not answer."""
        ...

    def send_fields(self, fields: Mapping[bytes, bytes]) -> None:
        """Add an entry as it is. Unavailable when the queue does not answer."""
        ...

    def epoch(self) -> str | None:
        """The mark that says the queue still has its data; None when it was emptied."""
        ...

    def begin_epoch(self, nonce: str) -> None:
        """Note that a re-send has begun."""
        ...

    def commit_epoch(self, nonce: str) -> bool:
        """Make the mark valid if nothing was lost meanwhile."""
        ...

    def forget_receivers(self, idle_seconds: float) -> int:
        """Forget receivers that hold nothing and have been silent for long; how many."""
        ...
