"""Pages of rows: each begins after the last row of the one before, whatever was added meanwhile."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from domain.errors import Invalid
from domain.limits import LIMITS
from domain.values import dataclass
from projections.rows import Pool, Where, fetch


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


def bounded(limit: int) -> int:
    """The size of a page within the limits."""
    return max(1, min(limit, LIMITS.page))


def page_of(rows: Sequence[dict[str, Any]], limit: int, place: Callable[[dict[str, Any]], str]) -> Page:
    """A page of `limit` rows out of a query that asked for one more; `place` makes the cursor of the last."""
    items = list(rows[:limit])
    return Page(items, place(items[-1]) if len(rows) > limit else None)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Order:
    """An order of rows: the fields that make it, with their types; `forms` says how one stands in SQL (`{}` for itself)."""

    fields: Mapping[str, type[Any]]
    down: bool = False
    table: str = ""
    forms: Mapping[str, str] = field(default_factory=dict)

    def page(self, pool: Pool, select: str, where: Where, cursor: str | None, limit: int, before: Sequence[Any] = ()) -> Page:
        """The page after the cursor of `select` (`SELECT ... FROM ...`, whose own values are `before`). Invalid for a cursor
        that is not one of this order."""
        if cursor is not None:
            where.add(self._after(), *read_cursor(cursor, *self.fields.values()))
        way = " DESC" if self.down else ""
        order = ", ".join(f"{self._in_sql(name, self._column(name))}{way}" for name in self.fields)
        size = bounded(limit)
        rows = fetch(pool, f"{select} WHERE {where} ORDER BY {order} LIMIT %s", [*before, *where.values, size + 1])
        return page_of(rows, size, lambda row: make_cursor(*(row[name] for name in self.fields)))

    def _after(self) -> str:
        columns = ", ".join(self._in_sql(name, self._column(name)) for name in self.fields)
        values = ", ".join(self._in_sql(name, "%s") for name in self.fields)
        return f"({columns}) {'<' if self.down else '>'} ({values})"

    def _column(self, name: str) -> str:
        return f"{self.table}.{name}" if self.table else name

    def _in_sql(self, name: str, what: str) -> str:
        return self.forms.get(name, "{}").format(what)


NEWEST_FIRST = Order({"requested_at": datetime, "id": UUID}, down=True)
BY_NAME = Order({"name": str, "id": UUID}, forms={"name": 'lower({}) COLLATE "C"'})
