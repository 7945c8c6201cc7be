"""Which flows a selection means, from the read model of flows."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from application.tag_expression import parse_tags
from projections.flow_list import FlowList


class ListedFlows:
    """The flow directory of suite runs over the list of flows."""

    def __init__(self, flows: FlowList) -> None:
        self._flows = flows

    def selected(
        self, workspace: str, *, project: str | None, folder: str | None, suite: str | None, tags: str | None
    ) -> list[UUID]:
        """The flows in use of this project, below this folder (or the one with this path), of this suite, with tags that this
        expression wants; by path. Invalid when the expression cannot be understood."""
        wanted = parse_tags(tags) if tags else None
        rows = self._flows.in_use(workspace, project=project, suite=suite)
        return [UUID(row["id"]) for row in rows if _below(row["path"], folder) and (wanted is None or wanted(row["tags"]))]

    def called(self, workspace: str, project: str, names: Sequence[str]) -> UUID | None:
        """The flow in use of a project that has one of these ids, keys, paths or names; the first that is found."""
        for name in names:
            for row in self._flows.find(workspace, name):
                if row["project"] == project and not row["archived"]:
                    return UUID(row["id"])
        return None


def _below(path: str, folder: str | None) -> bool:
    if folder is None:
        return True
    place = folder.removeprefix("./").strip("/")
    return place in ("", ".", path) or path.startswith(f"{place}/")
