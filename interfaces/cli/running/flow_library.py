"""The flows that flows of a local run may call: found by path, name or id in the project, read when first asked for."""

from __future__ import annotations

from pathlib import Path

from application.actions.registry import ACTIONS
from application.engine.action import ActionError
from application.flow_documents import read_flow
from domain.definition import FlowDefinition
from domain.errors import InvalidFlow
from interfaces.cli.planning.references import PATHS, ProjectFlows


class FlowLibrary:
    """Flows below one folder, the project's. Whatever lies outside of it is not called."""

    def __init__(self, home: Path) -> None:
        self._home = home.resolve()
        self._flows = ProjectFlows(home)
        self._read: dict[Path, FlowDefinition] = {}

    def find(self, reference: str, near: str) -> FlowDefinition:
        """The flow of this path, name or id. ActionError `config` when there is none, or it is not valid."""
        path = self._flows.find(reference, near)
        if path is not None:
            return self._at(path)
        if self._flows.outside(reference, near):
            raise ActionError("config", f"the flow {reference} lies outside of the project {self._home}", key="flow")
        hint = self._flows.nearest(reference, near) or PATHS
        raise ActionError("config", f"there is no flow {reference!r} below {self._home}", hint=hint, key="flow")

    @property
    def sources(self) -> dict[str, str]:
        """The texts of the flows that were read, by file."""
        return {definition.file: definition.source for definition in self._read.values()}

    def _at(self, path: Path) -> FlowDefinition:
        if path not in self._read:
            try:
                self._read[path] = read_flow(path.read_bytes(), file=_shown(path), actions=ACTIONS, strict=False)[0]
            except InvalidFlow as invalid:
                raise ActionError("config", f"the called flow is not valid:\n{invalid.message}") from None
            except OSError as error:
                raise ActionError("config", f"the flow file {path} cannot be read: {error.strerror}") from None
        return self._read[path]


def _shown(path: Path) -> str:
    return path.relative_to(Path.cwd()).as_posix() if path.is_relative_to(Path.cwd()) else str(path)
