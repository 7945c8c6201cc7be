"""The bundles of a project's flows: what they name is looked for, read, and warned of where it cannot go with them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import field
from pathlib import Path

from application.actions.registry import ACTIONS
from application.bundles import Bundle, check_size, checked_path
from application.documents.named import Named, named_by_steps, named_in
from application.documents.source import Source
from application.engine.snapshots import snapshot_file
from application.flow_documents import read_flow
from domain.definition import FlowDefinition
from domain.errors import Invalid, InvalidFlow, LimitExceeded, Problem
from domain.limits import LIMITS
from domain.values import dataclass
from interfaces.cli.planning.references import ProjectFlows
from interfaces.cli.project import in_project

_IMPORT = re.compile(rb"""^\s*import\s+(?:public\s+|weak\s+)?["']([^"']+)["']""", re.MULTILINE)
_BESIDE = ("env_file", "data")
"""Kinds whose paths count from the flow's folder."""


@dataclass(slots=True)
class Found:
    """What goes with one flow, and warnings about what cannot. `rows` is its file of rows, if nothing else names that."""

    bundle: Bundle
    warnings: list[Problem] = field(default_factory=list)
    rows: str | None = None

    @property
    def without_rows(self) -> Bundle:
        """What a single row's run needs."""
        files = {path: content for path, content in self.bundle.files.items() if path != self.rows}
        return Bundle(self.bundle.path, files)


class Bundler:
    """Finds the files of flows of one project."""

    def __init__(self, home: Path) -> None:
        self._home = home.resolve()
        self._flows = ProjectFlows(home)

    def found(self, text: str, file: str) -> Found:
        """What the flow in a file names, the flows that it calls included. LimitExceeded when that is too much."""
        definition, _ = read_flow(text, file=file, actions=ACTIONS, strict=False)
        search = _Search(self._home, self._flows)
        place = Path(file).resolve()
        search.take_all(definition, place, named_in(definition, ACTIONS))
        search.snapshot(place)
        check_size(search.files)
        bundle = Bundle(in_project(file, self._home), search.files)
        return Found(bundle, search.warnings, search.rows)


class _Search:
    def __init__(self, home: Path, flows: ProjectFlows) -> None:
        self._home = home
        self._flows = flows
        self._seen: set[Path] = set()
        self.files: dict[str, bytes] = {}
        self.rows: str | None = None
        self.warnings: list[Problem] = []

    def take_all(self, definition: FlowDefinition, place: Path, named: Iterator[Named]) -> None:
        """Take what a flow names; `place` is its file, from whose folder some paths count."""
        self._seen.add(place)
        for name in named:
            try:
                self._take(definition, place, name)
            except Invalid as left:
                self._warn(definition, name, left.message, left.remedy)
            except (
                OSError,
                ValueError,
                RuntimeError,
            ) as error:  # a name that is too long, a pattern that is none, a loop of links
                self._warn(definition, name, f'"{name.text[:200]}" cannot be looked for: {error}')

    def _warn(self, definition: FlowDefinition, name: Named, title: str, remedy: str | None = None) -> None:
        at, source = definition.position(name.path), Source(definition.source, definition.file)
        self.warnings.append(source.problem(at, title, remedy, severity="warning"))

    def snapshot(self, place: Path) -> None:
        """Take the accepted snapshots of the flow."""
        path = Path(snapshot_file(str(place)))
        if path.is_file() and path.is_relative_to(self._home):
            self._add(path)

    def _take(self, definition: FlowDefinition, place: Path, name: Named) -> None:
        if not name.known:
            raise Invalid(
                "What a template names does not go to workers", remedy="write the name out, or run the flow with `testmesh run`"
            )
        if name.kind == "flow":
            self._call(definition, name.text)
        elif name.kind == "glob":
            self._pattern(name.text)
        elif name.kind == "data":
            self._data(place.parent / name.text)
        elif name.kind != "database" or (self._home / name.text).is_file():
            self._add((place.parent if name.kind in _BESIDE else self._home) / name.text)
        if name.kind == "proto":
            self._imports(self._home / name.text)

    def _call(self, definition: FlowDefinition, reference: str) -> None:
        path = self._flows.find(reference, definition.file)
        if path is None:
            raise Invalid(f'There is no flow "{reference}" to call in this project')
        content = self._add(path)
        if path in self._seen:
            return
        try:
            called, _ = read_flow(content, file=os.path.relpath(path), actions=ACTIONS, strict=False)
        except InvalidFlow:
            return  # the step that calls it says what is wrong
        self.take_all(called, path, named_by_steps(called, ACTIONS))

    def _pattern(self, pattern: str) -> None:
        self._inside(self._home / pattern, pattern)
        for path in sorted(self._home.glob(pattern)):
            if path.is_file() and path.resolve().is_relative_to(self._home):
                self._add(path)

    def _data(self, path: Path) -> None:
        known = set(self.files)
        if path.is_file() and path.stat().st_size > LIMITS.bundle_file_bytes:
            raise Invalid(
                f"The rows are more than {LIMITS.bundle_file_bytes:,} bytes and do not go along",
                remedy="`testmesh run --remote` reads them here and starts a run for each",
            )
        self._add(path)
        self.rows = next(iter(set(self.files) - known), None)

    def _imports(self, path: Path) -> None:
        """Take what a .proto file imports, from its folder or one above it; what is nowhere may be protoc's own."""
        for found in _IMPORT.finditer(self._add(path)):
            name = found[1].decode("utf-8", "replace")
            for folder in path.parents:
                wanted = folder / name
                if folder.is_relative_to(self._home) and wanted.is_file():
                    if self._path(wanted, name) not in self.files:
                        self._imports(wanted)
                    break

    def _add(self, path: Path) -> bytes:
        """The content of a file, which is part of the bundle from now on. Invalid when it cannot be."""
        shown = os.path.relpath(path, self._home)
        name = self._path(path, shown)
        if name == self.rows:
            self.rows = None
        if name not in self.files:
            if not path.is_file():
                raise Invalid(f'There is no file "{shown}" in this project')
            if path.stat().st_size > LIMITS.bundle_file_bytes:
                raise LimitExceeded(
                    f"{shown} has {path.stat().st_size:,} bytes; a file that goes with a flow to workers may have"
                    f" {LIMITS.bundle_file_bytes:,}"
                )
            try:
                self.files[name] = path.read_bytes()
            except OSError as error:
                raise Invalid(f'"{shown}" cannot be read: {error.strerror}') from None
        return self.files[name]

    def _path(self, path: Path, shown: str) -> str:
        inside = self._inside(path, shown)
        if not path.resolve().is_relative_to(self._home):
            raise Invalid(f'"{shown}" leads out of the project and does not go to workers')
        return checked_path(inside)

    def _inside(self, path: Path, shown: str) -> str:
        """The path in the project, links not followed."""
        normal = Path(os.path.normpath(path))
        if not normal.is_relative_to(self._home) or normal == self._home or "\0" in str(path):
            raise Invalid(f'"{shown}" lies outside of the project and does not go to workers')
        return normal.relative_to(self._home).as_posix()
