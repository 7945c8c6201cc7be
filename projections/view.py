"""What a read model is: events in batches in, rows out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol

import psycopg


class Recorded(Protocol):
    """A decoded event at its position in a log."""

    @property
    def position(self) -> int:
        """Its place in the log; positions rise, with holes."""

    @property
    def event(self) -> Any:
        """The domain event."""

    @property
    def topic(self) -> str:
        """The stable name of its kind."""


ReadEvents = Callable[[int, int, Sequence[str]], Sequence[Recorded]]
"""(after position, limit, topics; none means all) -> events in order. Raises on an event that it cannot decode."""


class Projection(ABC):
    """Turns the events of one log into the rows of its own tables. Pure: no clock, no chance, no network."""

    name: ClassVar[str]
    log: ClassVar[str]
    """The schema of its tables and of the row in `tracking` that keeps its position."""
    topics: ClassVar[tuple[str, ...]] = ()
    """What it wants to see; none means everything."""
    tables: ClassVar[tuple[str, ...]] = ()
    """Tables (with schema) whose rows come from events alone."""
    companions: ClassVar[tuple[str, ...]] = ()
    """Tables that say something about `tables` and go with them when a rebuild exchanges those."""
    follows: ClassVar[tuple[str, ...]] = ()
    """Projections of the same log that it never gets ahead of."""

    @abstractmethod
    def ddl(self) -> str:
        """Statements that make its tables; they may run again."""

    @abstractmethod
    def apply(self, connection: psycopg.Connection[Any], batch: Sequence[Recorded]) -> None:
        """Write what the events mean. However a history is cut into batches, the rows are the same."""

    def clear(self, connection: psycopg.Connection[Any]) -> None:
        """Forget everything; readers see the old rows until the transaction ends."""
        for table in self.tables:
            connection.execute(f"DELETE FROM {table}".encode())

    def wanted(self, batch: Sequence[Recorded]) -> list[Recorded]:
        """The events of a batch that it wants."""
        return [recorded for recorded in batch if not self.topics or recorded.topic in self.topics]
