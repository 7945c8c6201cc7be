"""What a watched flow depends on: its own file, the flows that it needs and calls, and every file that it names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from application.actions.registry import ACTIONS
from application.documents.language import strings
from application.flow_documents import FlowFile, flow_files, read_flow
from domain.definition import FlowDefinition, Step
from domain.errors import InvalidFlow, NotFound, Refusal
from interfaces.cli.planning.references import ProjectFlows, calls
from interfaces.cli.project import PROJECT_FILE, find_project

_LONGEST_NAME = 400


class Watched:
    """The flows of a command line with the files that each of them depends on. What a broken flow depended on before it
    broke still counts."""

    def __init__(self, paths: Sequence[str], options: Mapping[str, Any]) -> None:
        self._paths = paths
        self._options = options
        self._depends: dict[str, set[Path]] = {}
        self._common: set[Path] = set()
        self.refresh()

    @property
    def flows(self) -> Sequence[str]:
        """The flow files, as they are shown."""
        return list(self._depends)

    @property
    def files(self) -> set[Path]:
        """Every file that counts."""
        return set().union(self._common, *self._depends.values())

    @property
    def folders(self) -> set[Path]:
        """The folders of the command line, in which new flows may appear."""
        return {path.resolve() for path in map(Path, self._roots) if path.is_dir()}

    def refresh(self) -> None:
        """Look at everything anew."""
        try:
            project, self._home = find_project(self._paths)
            inside = [str(self._home / path) for path in project.flows]
            env_files = [self._home / path for path in project.env_file]
        except Refusal:
            inside, env_files = [], []
            self._home = Path.cwd()
        self._roots = list(self._paths) or inside or ["."]
        given = [*(self._options.get("env_files") or ()), *(self._options.get("var_files") or ()), self._options.get("data")]
        self._common = {
            path.resolve() for path in (self._home / PROJECT_FILE, *env_files, *(Path(name) for name in given if name))
        }
        project_flows = ProjectFlows(self._home)
        found = {file.file: file for file in self._found()}
        known = {name: paths for name, paths in self._depends.items() if name in found or Path(name).is_file()}
        self._depends = known | {name: self._files_of(file, project_flows) for name, file in found.items()}

    def changed(self, changes: Iterable[Path]) -> list[str]:
        """The flows that these changes concern, new ones included; all when what they share has changed."""
        before = set(self._depends)
        changes = {path.resolve() for path in changes}
        stale = {name for name, files in self._depends.items() if files & changes}
        self.refresh()
        if self._common & changes:
            return list(self._depends)
        return [name for name, files in self._depends.items() if name in stale or name not in before or files & changes]

    def _found(self) -> Iterable[FlowFile]:
        for root in self._roots:
            try:
                yield from flow_files([root], Path.cwd())
            except NotFound:
                continue  # it may come back

    def _files_of(self, file: FlowFile, flows: ProjectFlows) -> set[Path]:
        assert file.path is not None
        found: set[Path] = set()
        _collect(file.path.resolve(), flows, self._home, found)
        return found | (self._depends.get(file.file, set()) if len(found) == 1 else set())


def _collect(path: Path, flows: ProjectFlows, home: Path, found: set[Path]) -> None:
    """Add the file, those that it names, and the same of the flows among them."""
    if path in found:
        return
    found.add(path)
    try:
        definition, _ = read_flow(path.read_bytes(), file=str(path), actions=ACTIONS, strict=False)
    except (InvalidFlow, OSError):
        return
    for name in (*(name for name, _ in calls(definition)), *definition.needs):
        called = flows.find(name, str(path))
        if called is not None:
            _collect(called, flows, home, found)
    for text in _names(definition):
        for folder in (path.parent, home):
            if (folder / text).is_file():
                found.add((folder / text).resolve())


def _names(definition: FlowDefinition) -> Iterable[str]:
    """Every text that might be the name of a file."""
    data = [definition.data.file] if definition.data is not None and definition.data.file else []
    steps = tuple(step for steps in definition.lists() for step in steps)
    for text in (*data, *definition.env_file, *(text for step in steps for text in _texts(step))):
        if 0 < len(text) < _LONGEST_NAME and "\n" not in text and "\0" not in text:
            yield text


def _texts(step: Step) -> Iterable[str]:
    yield from strings(dict(step.config))
    for body in (*step.bodies.values(), step.on_error.steps):
        for inner in body:
            yield from _texts(inner)
