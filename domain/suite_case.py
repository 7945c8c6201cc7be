"""A case of a suite run: what names it and its execution in every run of the suite, and what events hold of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from domain.values import dataclass

EVENT_BYTES = 40_000
"""Of the cases in one event."""


def case_key(flow: str, label: str) -> str:
    """What names a case in every run of the same suite: its flow (project, id or path), row, cell of the matrix."""
    return f"{flow}[{label}]" if label else flow


def case_label(row: str, cell: Mapping[str, Any]) -> str:
    """A row's key and a cell of the matrix, for people: `berlin browser=a,env=staging`."""
    crossed = ",".join(f"{name}={_text(cell[name])}" for name in sorted(cell))
    return " ".join(part for part in (row, crossed) if part)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def case_uuid(suite_run: UUID, key: str) -> UUID:
    """The id of a case's execution: whoever derives it derives the same."""
    return uuid5(NAMESPACE_URL, f"testmesh:case:{suite_run}:{key}")


@dataclass(frozen=True, slots=True)
class Case:
    """One execution to be. `flow` names the flow: its project, and its id or path; `group` numbers the flow in its cell of the
    matrix, `needs` are the groups that must pass before. `flow_id` is empty and `revision` 0 where it came as a document."""

    flow: str
    name: str
    file: str
    row: str = ""
    cell: Mapping[str, Any] | None = None
    group: int = 0
    needs: Sequence[int] = ()
    flow_id: str = ""
    revision: int = 0

    @property
    def label(self) -> str:
        """Row and cell."""
        return case_label(self.row, self.cell or {})

    @property
    def key(self) -> str:
        """Its name in every run of the suite."""
        return case_key(self.flow, self.label)

    def record(self) -> dict[str, Any]:
        """As an event holds it."""
        names = ("flow", "name", "file", "row", "group", "flow_id", "revision")
        plain: dict[str, Any] = {name: getattr(self, name) for name in names}
        return {**plain, "cell": dict(self.cell or {}), "needs": list(self.needs), "key": self.key}


def in_portions(records: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    """Records in portions that fit an event."""
    portion: list[Mapping[str, Any]] = []
    size = 0
    for record in records:
        length = len(json.dumps(record))
        if portion and size + length > EVENT_BYTES:
            yield portion
            portion, size = [], 0
        portion.append(record)
        size += length
    if portion:
        yield portion
