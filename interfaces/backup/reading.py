"""Opens a backup and checks every byte of it before anybody writes a row."""

from __future__ import annotations

import hashlib
import hmac
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import orjson

from domain.errors import Conflict, Invalid, NotFound
from interfaces.backup.layout import CHUNK, DIGEST_CHARS, FORMAT, HEAD, KEY, MANIFEST, MANIFEST_BYTES, Manifest, read_manifest
from interfaces.backup.writing import digest_of

_BROKEN = (
    *(zipfile.BadZipFile, zlib.error, struct.error, OSError, EOFError, KeyError),
    *(NotImplementedError, ValueError, RuntimeError, MemoryError, OverflowError),
)
_HEAD_BYTES = 4096


class Backup:
    """A backup that is open and was found whole."""

    def __init__(self, archive: zipfile.ZipFile, manifest: Manifest) -> None:
        self._archive = archive
        self.manifest = manifest

    @property
    def key(self) -> bytes | None:
        """The key file's content, when it was put in."""
        if KEY not in self._archive.namelist():
            return None
        return bytes.fromhex(self._archive.read(KEY).decode().strip())

    def chunks(self, part: str) -> Iterator[bytes]:
        """The text of a member."""
        with self._archive.open(part) as member:
            while data := member.read(CHUNK):
                yield data


@contextmanager
def open_backup(path: Path) -> Iterator[Backup]:
    """A backup whose format, digest, manifest, rows and digests of every table are right; the file stays open meanwhile.

    NotFound without a file, Conflict for a newer format, Invalid (`damaged_backup`) for everything else.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise NotFound(f"the backup {path} cannot be read: {error.strerror}") from error
    with file:
        archive = _opened(file, path)
        with archive:
            _check_format(archive, path)
            _check_digest(file, path)
            backup = Backup(archive, read_manifest(_small(archive, MANIFEST, MANIFEST_BYTES, path)))
            for name in backup.manifest.parts:
                _check_part(backup, name, path)
            yield backup


def _damaged(path: Path, what: str) -> Invalid:
    return Invalid(f"{path} is damaged or no backup: {what}", code="damaged_backup", remedy="use another copy of the backup")


def _opened(file: IO[bytes], path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(file)
    except _BROKEN as error:
        raise _damaged(path, str(error)) from error


def _small(archive: zipfile.ZipFile, name: str, limit: int, path: Path) -> bytes:
    try:
        with archive.open(name) as member:
            text = member.read(limit + 1)
    except _BROKEN as error:
        raise _damaged(path, f"{name} cannot be read") from error
    if len(text) > limit:
        raise _damaged(path, f"{name} is too large")
    return text


def _check_format(archive: zipfile.ZipFile, path: Path) -> None:
    try:
        head = orjson.loads(_small(archive, HEAD, _HEAD_BYTES, path))
        found, by = int(head["format"]), str(head["testmesh"])
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(path, f"{HEAD} does not say its format") from error
    if found > FORMAT:
        raise Conflict(
            f"{path} has format {found}, made by TestMesh {by}; this version reads up to format {FORMAT}",
            code="newer_backup",
            remedy=f"restore it with TestMesh {by} or newer",
        )


def _check_digest(file: IO[bytes], path: Path) -> None:
    end = max(0, os.fstat(file.fileno()).st_size - DIGEST_CHARS)
    wanted = digest_of(file, end)
    file.seek(end)
    if not hmac.compare_digest(file.read(), wanted.encode()):
        raise _damaged(path, "its content does not have the SHA-256 that it ends with")


def _check_part(backup: Backup, name: str, path: Path) -> None:
    held, digest, rows = backup.manifest.parts[name], hashlib.sha256(), 0
    try:
        for data in backup.chunks(name):
            digest.update(data)
            rows += data.count(b"\n")
    except _BROKEN as error:
        raise _damaged(path, f"{name} cannot be read") from error
    if (rows, digest.hexdigest()) != (held.rows, held.sha256):
        raise _damaged(path, f"{name} is not what the manifest says")
