"""Flows that others need: found by path, name or id, added to a run, and put in an order without circles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from application.documents.source import did_you_mean
from application.flow_documents import FlowFile, flow_files
from domain.errors import NotFound
from interfaces.cli.planning.plan import Planned, Planner


def with_needs(planned: Sequence[Planned], planner: Planner) -> list[Planned]:
    """The flows and all that they need, which come first where nothing else decides. Unknown needs and circles become
    problems of the planner."""
    finder = _Finder(planned, planner)
    done: dict[str, Planned] = {}
    for flow in planned:
        finder.take(flow, done, ())
    return list(done.values())


class _Finder:
    """Looks among the flows of the run first, then among all of the project, which are read only when that is needed."""

    def __init__(self, planned: Sequence[Planned], planner: Planner) -> None:
        self._planned = list(planned)
        self._planner = planner
        self._project: list[Planned] | None = None

    def take(self, flow: Planned, done: dict[str, Planned], above: tuple[str, ...]) -> None:
        """Add what the flow needs, then the flow."""
        if flow.file in done:
            return
        needs = []
        for name in flow.definition.needs:
            needed = self._find(flow, name)
            if needed is None:
                self._tell(flow, f'There is no flow "{name}" to need', self._nearest(name))
            elif needed.file in (*above, flow.file):
                way = (*above, flow.file)
                circle = " > ".join((*way[way.index(needed.file) :], needed.file))
                self._tell(flow, f"Flows need one another in a circle: {circle}", "remove one of these needs")
            else:
                self.take(needed, done, (*above, flow.file))
                needs.append(needed.file)
        done[flow.file] = replace(flow, needs=tuple(needs))

    def _find(self, flow: Planned, name: str) -> Planned | None:
        for flows in (self._planned, self._all()):
            for candidate in flows:
                if name in (candidate.definition.id, candidate.definition.name) or self._is_path(flow, candidate, name):
                    return candidate
        return None

    def _is_path(self, flow: Planned, candidate: Planned, name: str) -> bool:
        wanted = {(Path(flow.file).parent / name).resolve(), (self._planner.home / name).resolve()}
        return Path(candidate.file).resolve() in wanted

    def _all(self) -> list[Planned]:
        if self._project is None:
            roots = [str(self._planner.home / path) for path in self._planner.project.flows] or [str(self._planner.home)]
            try:
                known = {flow.file for flow in self._planned}
                files: Sequence[FlowFile] = [file for file in flow_files(roots, Path.cwd()) if file.file not in known]
            except NotFound:
                files = []
            # Files that nobody asked for may be broken: what is wrong with them is told when they are run.
            told = list(self._planner.problems), list(self._planner.warnings)
            self._project = self._planner.read(files, selected=False)
            self._planner.problems, self._planner.warnings = told
        return self._project

    def _nearest(self, name: str) -> str | None:
        flows = [*self._planned, *self._all()]
        return did_you_mean(name, [known for flow in flows for known in (flow.definition.id, flow.definition.name) if known])

    def _tell(self, flow: Planned, title: str, remedy: str | None) -> None:
        from domain.errors import Problem

        at = flow.definition.position(("needs",))
        self._planner.problems.append(Problem(title, flow.file, at.line, at.column, remedy=remedy))
