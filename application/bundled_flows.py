"""The flows that a flow on a worker may call: those among its own files."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from application.definitions import Definitions
from application.documents.source import did_you_mean
from application.engine.errors import ONLY_NAMED, ActionError
from application.payloads import Reference
from domain.definition import FlowDefinition
from domain.errors import InvalidFlow, Refusal

_SUFFIXES = (".yaml", ".yml")


class BundledFlows:
    """Flows by path, name or id; each is read once a process, as the content is the same."""

    def __init__(self, definitions: Definitions, workspace: str, files: Mapping[str, Reference]) -> None:
        self._definitions = definitions
        self._workspace = workspace
        self._files = files

    def find(self, reference: str, near: str) -> FlowDefinition:
        """The flow of this path, name or id. ActionError `config` when there is none, or it is not valid."""
        if reference.lower().endswith(_SUFFIXES):
            for folder in (PurePosixPath(near).parent, PurePosixPath()):
                path = posixpath.normpath(folder / reference)
                if path in self._files:
                    return self._at(path)
        known: list[str] = []
        for definition in self._all():
            names = [name for name in (definition.id, definition.name) if name]
            if reference in names:
                return definition
            known += [*names, definition.file]
        hint = did_you_mean(reference, known) or ONLY_NAMED
        raise ActionError("config", f"there is no flow {reference!r} among the files of this flow", hint=hint)

    def _all(self) -> Iterator[FlowDefinition]:
        """Every file that is a valid flow, in the order in which a project's files are looked through."""
        for path in sorted(self._files, key=_walked):
            if path.lower().endswith(_SUFFIXES):
                try:
                    yield self._at(path)
                except ActionError:
                    continue

    def _at(self, path: str) -> FlowDefinition:
        try:
            return self._definitions.read(self._workspace, self._files[path], path).definition
        except InvalidFlow as invalid:
            raise ActionError("config", f"the called flow is not valid:\n{invalid.message}") from None
        except Refusal as refusal:
            raise ActionError("config", f"the flow file {path} cannot be read: {refusal.message}") from None


def _walked(path: str) -> tuple[tuple[bool, str], ...]:
    """Orders paths as folders are walked: first the files of a folder, then the folders in it."""
    *folders, name = path.split("/")
    return (*((True, folder) for folder in folders), (False, name))
