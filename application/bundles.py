"""Bundles: the files that a flow names and that go with it to workers; checked, sealed, and found again."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import field
from typing import Any

import orjson

from application.flow_documents import digest
from application.log import SideWrite
from application.payloads import Payloads, Reference
from domain.errors import Invalid, LimitExceeded
from domain.limits import LIMITS
from domain.values import dataclass

MOST_CHARS = 500
"""Of a path in a project."""
MOST_NAME_BYTES = 255
"""Of one name in a path: what file systems take."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Bundle:
    """Files by their paths in the project; `path` is where the flow itself stands among them."""

    path: str = ""
    files: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Manifest:
    """What is kept of a bundle: where the flow stands, and the payload of each file."""

    path: str
    files: Mapping[str, Reference]


def checked_path(path: str) -> str:
    """A path inside the project: relative, forward slashes, no way out of it. Invalid otherwise."""
    parts = path.split("/")
    if (
        path.startswith("/")
        or "\\" in path
        or any(part in ("", ".", "..") or len(part.encode("utf-8", "replace")) > MOST_NAME_BYTES for part in parts)
        or not path.isprintable()
        or len(path) > MOST_CHARS
    ):
        raise Invalid(
            f"{path[:MOST_CHARS]!r} is not a path inside a project",
            code="invalid_path",
            remedy="write it like flows/orders/create.yaml",
        )
    return path


def checked_bundle(path: str, files: Iterable[tuple[str, bytes]]) -> Bundle:
    """A bundle of files from outside. Invalid for a path that is none or stands twice, be it in another Unicode form;
    LimitExceeded for too much."""
    kept: dict[str, bytes] = {}
    forms: set[str] = set()
    for name, content in files:
        form = unicodedata.normalize("NFC", checked_path(name))
        if form in forms:
            raise Invalid(f"the file {name!r} is there twice", code="duplicate_file")
        forms.add(form)
        kept[name] = content
    check_size(kept)
    _check_folders(kept)
    return Bundle(checked_path(path), kept)


def check_size(files: Mapping[str, bytes]) -> None:
    """LimitExceeded when these files are too many or too large for a bundle."""
    if len(files) > LIMITS.bundle_files:
        raise LimitExceeded(f"a flow may name {LIMITS.bundle_files} files, this one names {len(files)}")
    for name, content in files.items():
        if len(content) > LIMITS.bundle_file_bytes:
            raise LimitExceeded(f"a file of a flow may have {LIMITS.bundle_file_bytes:,} bytes, {name} has {len(content):,}")
    size = sum(map(len, files.values()))
    if size > LIMITS.bundle_bytes:
        raise LimitExceeded(f"the files of a flow may have {LIMITS.bundle_bytes:,} bytes together, these have {size:,}")


def _check_folders(files: Iterable[str]) -> None:
    """No file is a folder of another one."""
    names = set(files)
    for name in names:
        parts = name.split("/")
        for end in range(1, len(parts)):
            if (above := "/".join(parts[:end])) in names:
                raise Invalid(f"{above!r} cannot be a file and the folder of {name!r}", code="invalid_path")


def revision_digest(text: str, files: Mapping[str, bytes]) -> str:
    """SHA-256 of what a flow is, in hex: of its normalised content, and of the files that it names."""
    own = digest(text)
    if not files:
        return own
    contents = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return hashlib.sha256(orjson.dumps([own, contents], option=orjson.OPT_SORT_KEYS)).hexdigest()


def sealed(payloads: Payloads, workspace: str, text: str, bundle: Bundle) -> tuple[dict[str, Any], list[SideWrite]]:
    """What an event keeps of a document: its reference, with that of its manifest as `bundle` where it names files; and the
    writes that belong in the event's transaction."""
    reference, side = payloads.seal(workspace, text.encode())
    document = dict(reference)
    if bundle.files:
        files: dict[str, Reference] = {}
        for name, content in sorted(bundle.files.items()):
            files[name], writes = payloads.seal(workspace, content)
            side += writes
        manifest = orjson.dumps({"path": bundle.path, "files": files}, option=orjson.OPT_SORT_KEYS)
        kept, writes = payloads.seal(workspace, manifest)
        document["bundle"] = dict(kept)
        side += writes
    return document, side


def manifest_of(payloads: Payloads, workspace: str, document: Reference) -> Manifest | None:
    """The manifest that a document's event names; None where the flow names no file."""
    reference = document.get("bundle")
    if reference is None:
        return None
    found = orjson.loads(payloads.open(workspace, reference))
    return Manifest(found["path"], found["files"])


def opened(payloads: Payloads, workspace: str, document: Reference) -> Bundle:
    """The bundle with its contents."""
    manifest = manifest_of(payloads, workspace, document)
    if manifest is None:
        return Bundle()
    return Bundle(manifest.path, {name: payloads.open(workspace, kept) for name, kept in manifest.files.items()})
