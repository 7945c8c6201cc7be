"""The log of one domain as everything else sees it: load an aggregate, put what it decided, read the tail."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from eventsourcing.domain import Aggregate

from domain.errors import Conflict, NotFound
from domain.values import dataclass

if TYPE_CHECKING:
    from application.database import Database

A = TypeVar("A", bound=Aggregate)
SNAPSHOT_EVERY = 200
"""Versions between two snapshots of an aggregate."""


class VersionConflict(Conflict):
    """Somebody else has appended to this aggregate: load it again and decide anew."""

    code = "version_conflict"


class GroupFull(Conflict):
    """A concurrency group of the execution has no place: nothing of this append is recorded."""

    code = "group_full"


class LostTail(Conflict):
    """The log no longer holds what this process appended (a failover that lost commits): stop writing."""

    code = "lost_tail"


@dataclass(frozen=True, slots=True)
class SideWrite:
    """A statement that takes effect in the transaction of the events beside it, or not at all."""

    sql: str
    params: Sequence[Any] = ()


@dataclass(frozen=True, slots=True)
class Recorded:
    """A decoded event at its position in a log."""

    position: int
    event: Any
    topic: str


class Log(ABC):
    """One domain's log. `database` is None where it is kept in memory."""

    name: str
    database: Database | None

    @abstractmethod
    def load(self, kind: type[A], id: UUID) -> A:
        """The aggregate as it is now; NotFound when there is none."""

    def find(self, kind: type[A], id: UUID) -> A | None:
        """The aggregate, or None."""
        try:
            return self.load(kind, id)
        except NotFound:
            return None

    @abstractmethod
    def submit(self, *aggregates: Aggregate, side: Sequence[SideWrite] = (), patience: float = 3.0) -> Future[int]:
        """Hand the pending events to the write path; the future gives the position of the last.

        One aggregate's appends must be submitted in order, and the fence (its last own event) is checked after any
        broken connection. Errors: VersionConflict, LostTail, Unavailable.
        """

    def put(self, *aggregates: Aggregate, side: Sequence[SideWrite] = (), patience: float = 3.0) -> int:
        """As `submit`, and wait for the commit."""
        before = [aggregate.version - len(aggregate.pending_events) for aggregate in aggregates]
        position = self._append(aggregates, side, patience)
        for aggregate, version in zip(aggregates, before, strict=True):
            self.snapshot_when_long(aggregate, version)
        return position

    def _append(self, aggregates: Sequence[Aggregate], side: Sequence[SideWrite], patience: float) -> int:
        return self.submit(*aggregates, side=side, patience=patience).result()

    @abstractmethod
    def read(self, after: int, limit: int, topics: Sequence[str] = ()) -> list[Recorded]:
        """Decoded events with a position above `after`, in order."""

    @abstractmethod
    def position_of(self, id: UUID, version: int = 1) -> int:
        """Where an event of an aggregate stands; NotFound when there is none."""

    @abstractmethod
    def has(self, id: UUID, topic: str) -> bool:
        """Whether an event of this kind is recorded of an aggregate; without rebuilding it."""

    @abstractmethod
    def of(self, ids: Sequence[UUID], topic: str) -> list[Any]:
        """The events of this kind of these aggregates, in no order; without rebuilding them."""

    @abstractmethod
    def now(self) -> datetime:
        """The time by the one clock that all share who append here."""

    @abstractmethod
    def head(self) -> int:
        """The position of the newest event; 0 in an empty log."""

    @abstractmethod
    def close(self) -> None:
        """Commit what was handed in; the database stays open for others."""

    @abstractmethod
    def snapshot_when_long(self, aggregate: Aggregate, before: int) -> None:
        """Keep a snapshot when the aggregate has passed a multiple of SNAPSHOT_EVERY since version `before`."""


def rebuilt(events: Iterable[Any]) -> Any:
    """The aggregate that the events make, a snapshot among them at first or not; None without any."""
    aggregate: Any = None
    for event in events:
        aggregate = event.mutate(aggregate)
    return aggregate
