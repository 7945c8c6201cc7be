"""The flows that a flow names: those that it calls and those that it needs, and the files that such names mean."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from application.actions.registry import ACTIONS
from application.documents.grammar import is_declaration
from application.documents.named import named_by_steps
from application.documents.reader import read
from application.documents.scope import walk
from application.documents.source import Source, did_you_mean
from application.flow_documents import FlowFile, flow_files
from domain.definition import FlowDefinition, Step
from domain.definition import Path as Place
from domain.errors import InvalidFlow, NotFound, Problem

PATHS = "paths count from this file, or from the project"
_SUFFIXES = (".yaml", ".yml")


def calls(definition: FlowDefinition) -> Iterator[tuple[str, Place]]:
    """The flows that its steps call by a name that is known before it runs, each with its place in the document."""
    for name in named_by_steps(definition, ACTIONS):
        if name.kind == "flow" and name.known:
            yield name.text, name.path


def calling(definition: FlowDefinition) -> Iterator[Step]:
    """The steps that call a flow by a name that is known before it runs."""
    for steps in definition.lists():
        for step in walk(steps):
            if step.action == "run_flow" and isinstance(step.config.get("flow"), str) and "{" not in step.config["flow"]:
                yield step


def _called_by(step: Step) -> str:
    return str(step.config["flow"]).strip()


class ProjectFlows:
    """The flow files below a project's folder, by path, name and id. They are looked through when a name is first asked for,
    and need not be valid for it. `given` are files that a command line names; they come first, wherever they lie."""

    def __init__(self, home: Path, given: Iterable[FlowFile] = ()) -> None:
        self._home = home.resolve()
        self._given = tuple(file.path.resolve() for file in given if file.path is not None)

    def find(self, reference: str, near: str) -> Path | None:
        """The file that a path (from the file `near`, then from the project), a name or an id means."""
        if reference.lower().endswith(_SUFFIXES):
            for path in self._places(reference, near):
                if path in self._given or path.is_relative_to(self._home):
                    return path
        return self._names.get(reference)

    def outside(self, reference: str, near: str) -> bool:
        """Whether a path means a file, and one that lies outside of the project."""
        return reference.lower().endswith(_SUFFIXES) and any(self._places(reference, near))

    def nearest(self, reference: str, near: str) -> str | None:
        """What to say of a reference that means no flow, if one is near."""
        known = list(self._names)
        if reference.lower().endswith(_SUFFIXES):
            beside = Path(near).parent.resolve()
            known += [_path_from(folder, path) for path in self._files for folder in (beside, self._home)]
        return did_you_mean(reference, known)

    def faults(self, definition: FlowDefinition) -> Iterator[Problem]:
        """Warnings about flows that it calls or needs and that are not there; errors where one takes no such input."""
        wanted = [(name, place, "call") for name, place in calls(definition)]
        wanted += [(name, ("needs", number), "need") for number, name in enumerate(definition.needs)]
        for name, place, verb in wanted:
            if self.find(name, definition.file) is None:
                remedy = self.nearest(name, definition.file) or PATHS
                yield _problem(definition, place, f'There is no flow "{name}" to {verb} in this project', remedy, "warning")
        for step in calling(definition):
            yield from self._inputs(definition, step)

    def _inputs(self, definition: FlowDefinition, step: Step) -> Iterator[Problem]:
        path, given = self.find(_called_by(step), definition.file), step.config.get("inputs", {})
        called = _flow_in(path) if path is not None and isinstance(given, Mapping) else None
        taken = called.get("inputs", {}) if called is not None else None
        if not isinstance(taken, dict) or not isinstance(given, Mapping):
            return
        for name, item in taken.items():
            required = is_declaration(item) and item.get("required") is True
            known = {*given, *definition.env, *definition.inputs}
            if required and name not in known and "input_file" not in step.config:
                title = f'{_called_by(step)} needs the input "{name}"'
                yield _problem(definition, (*step.path, "config"), title, f"add it below inputs: {name}: ...", "warning")
        for name in given:
            if name not in taken and "{" not in name:
                remedy = did_you_mean(name, taken) or "it takes none"
                place = (*step.path, "config", "inputs", name)
                yield _problem(definition, place, f'{_called_by(step)} takes no input "{name}"', remedy, "error")

    def _places(self, reference: str, near: str) -> Iterator[Path]:
        """The files that a path means, from the file `near` and from the project."""
        beside = Path(near).parent if near != "<stdin>" else Path()
        for folder in (beside, self._home):
            with suppress(OSError, RuntimeError):  # a name that is too long, a loop of links
                path = (folder / reference).resolve()
                if path.is_file():
                    yield path

    @cached_property
    def _files(self) -> tuple[Path, ...]:
        try:
            found = flow_files([self._home], Path.cwd())
        except NotFound:
            found = ()
        return tuple(dict.fromkeys((*self._given, *(file.path.resolve() for file in found if file.path is not None))))

    @cached_property
    def _names(self) -> Mapping[str, Path]:
        """The first of equal names wins, as in the order of files."""
        names: dict[str, Path] = {}
        for path in self._files:
            for name in _names_in(path):
                names.setdefault(name, path)
        return names


def _names_in(path: Path) -> Iterator[str]:
    flow = _flow_in(path)
    if flow is not None:
        yield from (str(flow[key]) for key in ("id", "name") if flow.get(key))


def _flow_in(path: Path) -> Mapping[str, Any] | None:
    """What a file says of its flow, valid or not; None if it cannot be read."""
    try:
        value = read(path.read_bytes(), str(path)).value
    except (InvalidFlow, OSError):
        return None
    flow = value.get("flow", value) if isinstance(value, dict) else None
    return flow if isinstance(flow, dict) else None


def _problem(
    definition: FlowDefinition, place: Place, title: str, remedy: str, severity: Literal["error", "warning"]
) -> Problem:
    at = definition.position(place)
    return Source(definition.source, definition.file).problem(at, title, remedy, severity=severity)


def _path_from(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)
