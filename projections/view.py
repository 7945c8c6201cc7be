"""What a read model is: events in batches in, rows out; and the pages in which rows are given."""

from __future__ import annotations

import base64
import binascii
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, ClassVar, Protocol
from uuid import UUID

import orjson
import psycopg

from domain.errors import Invalid
from domain.values import dataclass


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


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows, and the cursor of those that follow (None on the last page)."""

    items: list[dict[str, Any]]
    next_cursor: str | None


def make_cursor(*values: str | int | datetime | UUID) -> str:
    """The place after a row as opaque text that may stand in a URL."""
    return base64.urlsafe_b64encode(orjson.dumps(values)).decode().rstrip("=")


def read_cursor(text: str, *types: type[Any]) -> tuple[Any, ...]:
    """The values of a cursor; Invalid (`invalid_cursor`) when it is not one of ours."""
    try:
        values = orjson.loads(base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), b"-_", validate=True))
        if not isinstance(values, list) or len(values) != len(types):
            raise ValueError("wrong number of values")
        return tuple(_typed(value, kind) for value, kind in zip(values, types, strict=True))
    except (ValueError, TypeError, binascii.Error) as error:
        raise Invalid("this cursor is not valid; begin again without one", code="invalid_cursor") from error


def _typed(value: Any, kind: type[Any]) -> Any:
    if kind is int:
        if isinstance(value, bool) or not isinstance(value, int) or not -(2**63) <= value < 2**63:
            raise ValueError("not a position")
        return value
    if not isinstance(value, str) or "\x00" in value:
        raise ValueError("not text")
    if kind is datetime:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise ValueError("no time zone")
        return moment
    return kind(value)


def page_of(rows: Sequence[dict[str, Any]], limit: int, place: Callable[[dict[str, Any]], str]) -> Page:
    """A page of `limit` rows out of a query that asked for one more; `place` makes the cursor of the last."""
    items = list(rows[:limit])
    return Page(items, place(items[-1]) if len(rows) > limit else None)
