"""Writes a backup while everything goes on: one snapshot a database, streamed into a file that appears when it is whole."""

from __future__ import annotations

import hashlib
import os
import secrets
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any

import orjson
import psycopg

from application.database import Database
from domain.errors import Conflict, NotFound, Unavailable
from interfaces.backup.layout import CHUNK, DIGEST_CHARS, FORMAT, HEAD, KEY, MANIFEST, PARTS, Held, Manifest, Part, key_check

_SESSION = (
    "SET idle_in_transaction_session_timeout = 0; SET TimeZone = 'UTC'; SET DateStyle = 'ISO'; SET bytea_output = 'hex';"
    " SET extra_float_digits = 1; SET client_encoding = 'UTF8'"
)
_PLACEHOLDER = b"0" * DIGEST_CHARS


def write_backup(path: Path, url_of: Callable[[str], str], key: bytes, *, with_key: bool = False) -> Manifest:
    """Back up the logs, whose databases `url_of` names, into a new file that only its owner reads.

    Conflict when the file exists; NotFound when a database has no tables of TestMesh. `key` is the key file's content,
    which is put into the file `with_key` alone: who has both can read every document and exchange.
    """
    if path.exists():
        raise Conflict(f"{path} exists already", remedy="give a new name; a backup never overwrites one")
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise Unavailable(f"{path} cannot be written: {error.strerror}") from error
    try:
        with os.fdopen(descriptor, "r+b") as file:
            manifest = _write(file, url_of, key, with_key)
            _seal(file)
            os.fsync(file.fileno())
        os.link(partial, path)
    except FileExistsError as error:
        raise Conflict(f"{path} exists already", remedy="give a new name; a backup never overwrites one") from error
    finally:
        partial.unlink(missing_ok=True)
    return manifest


def _write(file: IO[bytes], url_of: Callable[[str], str], key: bytes, with_key: bool) -> Manifest:
    held: dict[str, Held] = {}
    made_at = ""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        archive.comment = _PLACEHOLDER
        archive.writestr(HEAD, orjson.dumps({"format": FORMAT, "testmesh": version("testmesh")}), zipfile.ZIP_STORED)
        for url, parts in _by_database(url_of).items():
            with _snapshot(url) as (connection, at):
                made_at = made_at or at
                for part in parts:
                    held[part.name] = _write_part(archive, connection, part)
        if with_key:
            archive.writestr(KEY, key.hex() + "\n")
        manifest = Manifest(version("testmesh"), made_at, key_check(key), held)
        archive.writestr(MANIFEST, manifest.text())
    return manifest


def _by_database(url_of: Callable[[str], str]) -> Mapping[str, list[Part]]:
    found: dict[str, list[Part]] = {}
    for part in PARTS:
        found.setdefault(url_of(part.log), []).append(part)
    return found


@contextmanager
def _snapshot(url: str) -> Iterator[tuple[psycopg.Connection[Any], str]]:
    """A connection that sees one moment, and that moment. Writers are not held up."""
    with Database(url).connect() as connection:
        connection.execute(_SESSION)
        with connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            row = connection.execute("SELECT clock_timestamp()").fetchone()
            yield connection, row[0].isoformat() if row else ""


def _write_part(archive: zipfile.ZipFile, connection: psycopg.Connection[Any], part: Part) -> Held:
    digest, rows, size = hashlib.sha256(), 0, 0
    try:
        with (
            archive.open(part.name, "w", force_zip64=True) as member,
            connection.cursor() as cursor,
            cursor.copy(part.copy_out().encode()) as copy,
        ):
            for block in copy:
                data = bytes(block)
                member.write(data)
                digest.update(data)
                rows, size = rows + data.count(b"\n"), size + len(data)
    except psycopg.errors.UndefinedTable as error:
        raise NotFound(
            f"the database has no table {part.log}.{part.table}", remedy="bring it to this version: testmesh admin migrate"
        ) from error
    return Held(rows, size, digest.hexdigest(), part.columns)


def _seal(file: IO[bytes]) -> None:
    """Put SHA-256 of everything before it into the comment at the end."""
    end = file.seek(0, os.SEEK_END) - DIGEST_CHARS
    text = digest_of(file, end)
    file.seek(end)
    file.write(text.encode())
    file.flush()


def digest_of(file: IO[bytes], end: int) -> str:
    """SHA-256 of the first `end` bytes, hexadecimal."""
    digest = hashlib.sha256()
    file.seek(0)
    while end > 0 and (data := file.read(min(CHUNK, end))):
        digest.update(data)
        end -= len(data)
    return digest.hexdigest()
