"""Flows that others need: found by path, name or id, added to a run, and put in an order without circles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from application.flow_documents import FlowFile, flow_files
from interfaces.cli.planning.plan import Planned, Planner
from interfaces.cli.planning.references import PATHS, ProjectFlows


def with_needs(planned: Sequence[Planned], planner: Planner) -> list[Planned]:
    """The flows and all that they need, which come first where nothing else decides. Unknown needs and circles become
    problems of the planner."""
    finder = _Finder(planned, planner)
    done: dict[str, Planned] = {}
    for flow in planned:
        finder.take(flow, done, ())
    return list(done.values())


class _Finder:
    """Looks among the flows of the run first, then in the project, whose flows are read only when they are needed."""

    def __init__(self, planned: Sequence[Planned], planner: Planner) -> None:
        self._planner = planner
        self._files = ProjectFlows(planner.home, (FlowFile(flow.file, Path(flow.file)) for flow in planned))
        self._read: dict[Path, Planned | None] = {Path(flow.file).resolve(): flow for flow in planned}

    def take(self, flow: Planned, done: dict[str, Planned], above: tuple[str, ...]) -> None:
        """Add what the flow needs, then the flow."""
        if flow.file in done:
            return
        needs = []
        for name in flow.definition.needs:
            path = self._files.find(name, flow.file)
            needed = self._flow(path) if path is not None else None
            if path is None:
                self._tell(flow, f'There is no flow "{name}" to need', self._files.nearest(name, flow.file) or PATHS)
            elif needed is None:
                continue
            elif needed.file in (*above, flow.file):
                way = (*above, flow.file)
                circle = " > ".join((*way[way.index(needed.file) :], needed.file))
                self._tell(flow, f"Flows need one another in a circle: {circle}", "remove one of these needs")
            else:
                self.take(needed, done, (*above, flow.file))
                needs.append(needed.file)
        done[flow.file] = replace(flow, needs=tuple(needs))

    def _flow(self, path: Path) -> Planned | None:
        """The flow in a file; None if it is not valid, which is told."""
        if path not in self._read:
            self._read[path] = next(iter(self._planner.read(flow_files([path], Path.cwd()), selected=False)), None)
        return self._read[path]

    def _tell(self, flow: Planned, title: str, remedy: str | None) -> None:
        from domain.errors import Problem

        at = flow.definition.position(("needs",))
        self._planner.problems.append(Problem(title, flow.file, at.line, at.column, remedy=remedy))
