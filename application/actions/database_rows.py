"""The rows of a query: a bounded number is kept, whatever the server sends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import field
from typing import Any

from domain.values import dataclass


@dataclass(slots=True)
class Rows:
    """What a query gave. `count` counts all rows, those that were not kept too; `changed` sums up all statements."""

    most: int
    most_bytes: int
    kept: list[dict[str, Any]] = field(default_factory=list)
    count: int = 0
    changed: int = 0
    tabular: bool = False
    """Whether a statement gave columns at all."""
    truncated: bool = False
    size: int = 0

    def begin(self) -> None:
        """A statement gives rows of its own: those of the last one count."""
        self.kept, self.count, self.size, self.tabular, self.truncated = [], 0, 0, True, False

    def wants(self, size: int) -> bool:
        """Count a row of this many bytes; whether it is to be kept."""
        self.count += 1
        if not self.truncated:
            self.size += size
            self.truncated = len(self.kept) == self.most or self.size > self.most_bytes
        return not self.truncated


def column_names(names: Iterable[str]) -> list[str]:
    """Names of the columns; one that repeats gets a number: id, id_2."""
    seen: Counter[str] = Counter()
    distinct: list[str] = []
    for name in names:
        seen[name] += 1
        distinct.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return distinct
