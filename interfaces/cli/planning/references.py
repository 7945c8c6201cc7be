"""The flows that a flow names: those that it calls and those that it needs, and the files that such names mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from application.actions.registry import ACTIONS
from application.documents.named import named_by_steps
from application.documents.reader import read
from application.documents.source import Source, did_you_mean
from application.flow_documents import flow_files
from domain.definition import FlowDefinition
from domain.definition import Path as Place
from domain.errors import InvalidFlow, NotFound, Problem

_SUFFIXES = (".yaml", ".yml")


def calls(definition: FlowDefinition) -> Iterator[tuple[str, Place]]:
    """The flows that its steps call by a name that is known before it runs, each with its place in the document."""
    for name in named_by_steps(definition, ACTIONS):
        if name.kind == "flow" and name.known:
            yield name.text, name.path


class ProjectFlows:
    """The flow files below a project's folder, by path, name and id. They are looked through when a name is first asked for,
    and need not be valid for it."""

    def __init__(self, home: Path) -> None:
        self._home = home.resolve()

    def find(self, reference: str, near: str) -> Path | None:
        """The file that a path (from the file `near`, then from the project), a name or an id means."""
        beside = Path(near).parent if near != "<stdin>" else Path()
        if reference.lower().endswith(_SUFFIXES):
            for folder in (beside, self._home):
                with suppress(OSError, RuntimeError):  # a name that is too long, a loop of links
                    path = (folder / reference).resolve()
                    if path.is_file() and path.is_relative_to(self._home):
                        return path
        return self._names.get(reference)

    def missing(self, definition: FlowDefinition) -> Iterator[Problem]:
        """Warnings about flows that it calls or needs and that are not there."""
        wanted = [(name, place, "call") for name, place in calls(definition)]
        wanted += [(name, ("needs", number), "need") for number, name in enumerate(definition.needs)]
        for name, place, verb in wanted:
            if self.find(name, definition.file) is None:
                at = definition.position(place)
                remedy = self.nearest(name, definition.file) or "paths count from this file, or from the project"
                title = f'There is no flow "{name}" to {verb} in this project'
                yield Source(definition.source, definition.file).problem(at, title, remedy, severity="warning")

    def nearest(self, reference: str, near: str) -> str | None:
        """What was most likely meant by a name that means no flow."""
        known = list(self._names)
        if reference.lower().endswith(_SUFFIXES):
            beside = Path(near).parent.resolve()
            known += [_path_from(folder, path) for path in self._files for folder in (beside, self._home)]
        return did_you_mean(reference, known)

    @cached_property
    def _files(self) -> tuple[Path, ...]:
        try:
            found = flow_files([self._home], Path.cwd())
        except NotFound:
            return ()
        return tuple(file.path.resolve() for file in found if file.path is not None)

    @cached_property
    def _names(self) -> Mapping[str, Path]:
        """The first of equal names wins, as in the order of files."""
        names: dict[str, Path] = {}
        for path in self._files:
            for name in _names_in(path):
                names.setdefault(name, path)
        return names


def _names_in(path: Path) -> Iterator[str]:
    try:
        value = read(path.read_bytes(), str(path)).value
    except (InvalidFlow, OSError):
        return
    flow = value.get("flow", value) if isinstance(value, dict) else None
    if isinstance(flow, dict):
        yield from (str(flow[key]) for key in ("id", "name") if flow.get(key))


def _path_from(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)
