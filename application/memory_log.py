"""The log of a local run: the same aggregates and events as on a server, kept in this process while they are wanted."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from eventsourcing.domain import Aggregate

from application.log import A, Log, Recorded, SideWrite, VersionConflict, rebuilt
from domain.errors import NotFound


class _Landed(Future[int]):
    """A commit that is done as soon as it is asked for. Nobody waits for it, so it has none of the locks of a future."""

    def __init__(self, position: int) -> None:
        self._position = position

    def done(self) -> bool:
        """Always."""
        return True

    def result(self, timeout: float | None = None) -> int:
        """The position of the last event."""
        return self._position

    def exception(self, timeout: float | None = None) -> None:
        """None."""


class MemoryLog(Log):
    """Events as objects, in order. What has been read and belongs to a finished aggregate can be forgotten."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.database = None
        self._head = 0
        self._recorded: deque[Recorded] = deque()
        self._streams: dict[UUID, list[Any]] = {}

    def load(self, kind: type[A], id: UUID) -> A:
        """The aggregate as it is now; NotFound when there is none."""
        found: A | None = rebuilt(self._streams.get(id, ()))
        if not isinstance(found, kind):
            raise NotFound(f"there is no {kind.__name__.lower()} {id}")
        return found

    def submit(self, *aggregates: Aggregate, side: Sequence[SideWrite] = (), patience: float = 3.0) -> Future[int]:
        """Record the pending events at once; the future is done. VersionConflict when another was faster."""
        events: list[Any] = [event for aggregate in aggregates for event in aggregate.collect_events()]
        if self._is_conflict(events):
            conflict: Future[int] = Future()
            conflict.set_exception(VersionConflict("this version is already recorded"))
            return conflict
        for event in events:
            self._head += 1
            self._streams.setdefault(event.originator_id, []).append(event)
            self._recorded.append(Recorded(self._head, event, event.TOPIC))
        return _Landed(self._head)

    def _is_conflict(self, events: Sequence[Any]) -> bool:
        firsts = {event.originator_id: event.originator_version for event in reversed(events)}
        return any(version != len(self._streams.get(id, ())) + 1 for id, version in firsts.items())

    def read(self, after: int, limit: int, topics: Sequence[str] = ()) -> list[Recorded]:
        """Events with a position above `after` that are still kept, in order."""
        found: list[Recorded] = []
        for recorded in self._recorded:
            if recorded.position > after and (not topics or recorded.topic in topics):
                found.append(recorded)
                if len(found) == limit:
                    break
        return found

    def position_of(self, id: UUID, version: int = 1) -> int:
        """Where a kept event stands; NotFound when there is none."""
        for recorded in self._recorded:
            if (recorded.event.originator_id, recorded.event.originator_version) == (id, version):
                return recorded.position
        raise NotFound(f"there is no event {version} of {id}")

    def has(self, id: UUID, topic: str) -> bool:
        """Whether an event of this kind is recorded of an aggregate."""
        return any(topic == event.TOPIC for event in self._streams.get(id, ()))

    def of(self, ids: Sequence[UUID], topic: str) -> list[Any]:
        """The events of this kind of these aggregates."""
        return [event for id in ids for event in self._streams.get(id, ()) if topic == event.TOPIC]

    def now(self) -> datetime:
        """This process's time."""
        return datetime.now(UTC)

    def head(self) -> int:
        """The position of the newest event; 0 in an empty log."""
        return self._head

    def take(self) -> list[Recorded]:
        """Everything that was recorded since the last call; it is then kept only as a part of its aggregate."""
        taken = list(self._recorded)
        self._recorded.clear()
        return taken

    def forget(self, id: UUID) -> None:
        """Keep no more of an aggregate that nobody will ask for again."""
        self._streams.pop(id, None)

    def close(self) -> None:
        """Nothing is open."""

    def snapshot_when_long(self, aggregate: Aggregate, before: int) -> None:
        """Nothing is read back from far away."""
