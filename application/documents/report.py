"""The report of a check: problems collected by path, each placed in the source."""

from __future__ import annotations

from dataclasses import field

from application.documents.reader import PROBLEMS, Document
from domain.definition import Path, Position
from domain.errors import InvalidFlow, Problem
from domain.values import dataclass


@dataclass(slots=True, eq=False, repr=False)
class Report:
    """All problems of one document, errors and warnings apart; no more than a screenful is of use to anyone."""

    document: Document
    errors: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)
    broken: list[Path] = field(default_factory=list)
    """The paths of the errors."""

    def error(
        self, path: Path, title: str, remedy: str | None = None, *, key: bool = False, at: Position | None = None
    ) -> None:
        """An error at a value, at its key, or at a place inside it."""
        self.broken.append(path)
        if len(self.errors) < PROBLEMS:
            self._add(self.errors, self.document.source.problem(at or self.place(path, key=key), title, remedy))

    def warn(
        self,
        path: Path,
        title: str,
        remedy: str | None = None,
        *,
        key: bool = False,
        at: Position | None = None,
        shown: str | None = None,
    ) -> None:
        """A warning at a value, at its key, or at a place inside it."""
        if len(self.warnings) < PROBLEMS:
            where = at or self.place(path, key=key)
            self._add(self.warnings, self.document.source.problem(where, title, remedy, severity="warning", shown=shown))

    def place(self, path: Path, *, key: bool = False) -> Position:
        """Where a path stands in the source, or its nearest known parent."""
        places = self.document.keys if key else self.document.positions
        while path not in places and path:
            places = self.document.positions
            path = path[:-1]
        return places.get(path, Position(1, 1))

    def inside(self, path: Path, text: str, offset: int) -> Position:
        """Where character `offset` of the text at a path stands."""
        at = self.place(path)
        return self.document.source.find(at, text, offset) if path in self.document.positions else at

    def line(self, path: Path) -> str:
        """The source line on which a path begins."""
        return self.document.source.line(self.place(path).line)

    def finish(self) -> tuple[Problem, ...]:
        """The warnings in source order. Raises InvalidFlow with every error if there is one."""
        if self.errors:
            raise InvalidFlow(tuple(sorted(self.errors, key=_order)), tuple(sorted(self.warnings, key=_order)))
        return tuple(sorted(self.warnings, key=_order))

    @staticmethod
    def _add(problems: list[Problem], problem: Problem) -> None:
        if problem not in problems:
            problems.append(problem)


def _order(problem: Problem) -> tuple[int, int]:
    return problem.line, problem.column
