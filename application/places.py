"""Where an attempt runs: its folder, the flows that it may call, accepted snapshots, and variables of files."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path, PurePosixPath
from typing import Any

from application.bundled_flows import BundledFlows
from application.bundles import Manifest, checked_path, manifest_of
from application.definitions import Definitions
from application.engine.calls import FlowFinder
from application.engine.snapshots import AcceptedSnapshots, Snapshots, snapshot_file
from application.payloads import Payloads, Reference
from application.variables import parse_env_file
from domain.definition import FlowDefinition
from domain.errors import NotFound, Unavailable
from domain.execution import Execution
from domain.values import dataclass


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Place:
    """What an attempt finds around its flow. `file` is where the flow stands among the others, from which paths count."""

    file: str
    folder: Path | None = None
    flows: FlowFinder | None = None
    snapshots: Snapshots | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    """Those of the flow's `env_file`, where nobody outside has read them."""
    bundled: bool = False
    """Whether the folder holds what the flow names and nothing else."""


def needs_files(document: Reference, definition: FlowDefinition) -> bool:
    """Whether a worker must fetch something before it can begin."""
    return "bundle" in document or bool(definition.env_file)


def worker_place(
    execution: Execution, definition: FlowDefinition, folder: Path, payloads: Payloads, definitions: Definitions
) -> Place:
    """The place of an attempt on a worker: its bundle, written into a folder of its own. NotFound for a file of variables that
    did not come along, Invalid for files that are broken, Unavailable when they cannot be fetched or written."""
    request = execution.request
    manifest = manifest_of(payloads, execution.workspace, request.document) or Manifest(request.file, {})
    contents = {name: payloads.open(execution.workspace, kept) for name, kept in manifest.files.items()}
    try:
        _write(folder, contents)
    except OSError as error:
        raise Unavailable(f"the files of the flow cannot be written: {error.strerror}") from error
    return Place(
        manifest.path,
        folder,
        BundledFlows(definitions, execution.workspace, manifest.files),
        AcceptedSnapshots(contents.get(snapshot_file(manifest.path).as_posix())),
        _env_files(definition, manifest.path, contents),
        bundled=True,
    )


def _write(folder: Path, contents: Mapping[str, bytes]) -> None:
    for name, content in contents.items():
        path = folder / checked_path(name)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_bytes(content)


def _env_files(definition: FlowDefinition, path: str, contents: Mapping[str, bytes]) -> dict[str, str]:
    """The variables of a flow's `env_file`, whose paths count from the flow's folder; the last of equal names wins."""
    values: dict[str, str] = {}
    for text in definition.env_file:
        name = posixpath.normpath(PurePosixPath(path).parent / text)
        if name not in contents:
            raise NotFound(
                f"env_file: {text!r} did not come with the flow; push it again, or send the file along", code="missing_file"
            )
        values.update(parse_env_file(contents[name], file=name))
    return values
