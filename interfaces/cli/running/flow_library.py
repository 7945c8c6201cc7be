"""The flows that flows of a local run may call: found by path, name or id in the project, read when first asked for."""

from __future__ import annotations

from pathlib import Path

from application.actions.registry import ACTIONS
from application.documents.source import did_you_mean
from application.engine.action import ActionError
from application.flow_documents import flow_files, read_flow
from domain.definition import FlowDefinition
from domain.errors import InvalidFlow, NotFound

_SUFFIXES = (".yaml", ".yml")


class FlowLibrary:
    """Flows below one folder, the project's. Whatever lies outside of it is not called."""

    def __init__(self, home: Path) -> None:
        self._home = home.resolve()
        self._read: dict[Path, FlowDefinition] = {}
        self._by_name: dict[str, Path] | None = None

    def find(self, reference: str, near: str) -> FlowDefinition:
        """The flow of this path, name or id. ActionError `config` when there is none, or it is not valid."""
        if reference.lower().endswith(_SUFFIXES):
            return self._at(self._path(reference, near))
        names = self._names()
        if reference not in names:
            hint = did_you_mean(reference, names)
            raise ActionError("config", f"there is no flow {reference!r} below {self._home}", hint=hint)
        return self._at(names[reference])

    @property
    def sources(self) -> dict[str, str]:
        """The texts of the flows that were read, by file."""
        return {definition.file: definition.source for definition in self._read.values()}

    def _path(self, reference: str, near: str) -> Path:
        beside = Path(near).parent if near != "<stdin>" else Path()
        for folder in (beside, self._home):
            path = (folder / reference).resolve()
            if path.is_file():
                if not path.is_relative_to(self._home):
                    raise ActionError("config", f"the flow {reference} lies outside of the project {self._home}")
                return path
        raise ActionError(
            "config", f"there is no flow file {reference}", hint="paths count from this flow's file, or the project"
        )

    def _at(self, path: Path) -> FlowDefinition:
        if path not in self._read:
            try:
                self._read[path] = read_flow(path.read_bytes(), file=_shown(path), actions=ACTIONS, strict=False)[0]
            except InvalidFlow as invalid:
                raise ActionError("config", f"the called flow is not valid:\n{invalid.message}") from None
            except OSError as error:
                raise ActionError("config", f"the flow file {path} cannot be read: {error.strerror}") from None
        return self._read[path]

    def _names(self) -> dict[str, Path]:
        """Names and ids of all flows that can be read; the first of equal names wins, as in the order of files."""
        if self._by_name is None:
            self._by_name = {}
            try:
                files = flow_files([str(self._home)], Path.cwd())
            except NotFound:
                files = ()
            for file in files:
                if file.path is None:
                    continue
                try:
                    definition = self._at(file.path.resolve())
                except ActionError:
                    continue
                for name in (definition.id, definition.name):
                    if name:
                        self._by_name.setdefault(name, file.path.resolve())
        return self._by_name


def _shown(path: Path) -> str:
    return path.relative_to(Path.cwd()).as_posix() if path.is_relative_to(Path.cwd()) else str(path)
