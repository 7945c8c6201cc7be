"""Reads saved runs that may come from anybody: every size, count and shape is checked, and no name in them is a path."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import orjson

from domain.errors import Invalid, NotFound
from domain.limits import LIMITS
from domain.values import dataclass
from interfaces.cli.reports.model import Collected, Collector
from interfaces.cli.saved.saved_run import EVENTS, FORMAT, META, VERSION, source_entry
from interfaces.cli.saved.saved_run_shapes import BadShape, checked_event, checked_meta

_LINE = 16 * LIMITS.event_bytes
_DIRECTORY_BYTES = 4 * 1024 * 1024
_END = struct.Struct("<4s4H2LH")
_WHOLE = 4 * LIMITS.saved_run_bytes


@dataclass(frozen=True, slots=True)
class SavedRun:
    """What a file holds."""

    path: Path
    executions: Collected
    sources: Mapping[str, str]
    meta: Mapping[str, Any]

    @property
    def total(self) -> int:
        """How many flows were planned."""
        return len(self.executions) + len(self.executions.skipped)


def read_run(path: Path) -> SavedRun:
    """The run in a file. NotFound when it cannot be read, Invalid when it is not a saved run, or too large."""
    try:
        with path.open("rb") as file:
            _check_directory(path, file)
            with zipfile.ZipFile(file) as archive:
                return _Reader(path, archive).read()
    except BadShape as error:
        raise Invalid(f"{path} is not a saved run: {error}", remedy="make it with: testmesh run --save run.tmrun") from None
    except OSError as error:
        raise NotFound(f"the saved run {path} cannot be read: {error.strerror}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, ValueError) as error:
        raise Invalid(f"{path} is not a saved run: {error}") from error


def _check_directory(path: Path, file: IO[bytes]) -> None:
    """Look at the end of the zip before its list of entries is read into memory (APPNOTE 4.3.16); no comment, no Zip64."""
    size = file.seek(0, 2)
    if size > LIMITS.saved_run_bytes:
        raise BadShape(f"it has {size} bytes, and at most {LIMITS.saved_run_bytes} are read")
    if size < _END.size:
        raise BadShape("it is too short")
    file.seek(-_END.size, 2)
    sign, _, _, _, entries, directory, _, comment = _END.unpack(file.read(_END.size))
    if sign != b"PK\x05\x06" or comment:
        raise BadShape("it does not end like one")
    if entries > LIMITS.saved_run_sources + 2 or directory > _DIRECTORY_BYTES:
        raise BadShape(f"it has {entries} entries in {directory} bytes")
    file.seek(0)


class _Reader:
    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self._path = path
        self._archive = archive
        self._left = _WHOLE
        names = archive.namelist()
        if len(set(names)) != len(names):
            raise BadShape("two entries have the same name")
        for info in archive.infolist():
            if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise BadShape("an entry is encrypted or packed in a way that is not read")

    def read(self) -> SavedRun:
        meta = self._meta()
        sources = self._sources(meta["sources"])
        collector = Collector()
        for old, new in meta["repeated"].items():
            collector.retried(old, new)
        for number, line in enumerate(self._lines(), 1):
            self._take(collector, number, line)
        collected = collector.finish()
        collected.skipped = [(name, why) for name, why in meta["skipped"]]
        return SavedRun(self._path, collected, sources, meta)

    def _meta(self) -> dict[str, Any]:
        found = self._json(self._whole(META, LIMITS.saved_run_meta_bytes), META)
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise BadShape(f"{META} does not say so")
        if found.get("version") != VERSION:
            raise BadShape(f"it has version {found.get('version')!r:.20}, and this program reads version {VERSION}")
        return checked_meta(found)

    def _sources(self, names: list[str]) -> dict[str, str]:
        texts, left = {}, LIMITS.saved_run_source_bytes
        for number, name in enumerate(names, 1):
            body = self._whole(source_entry(number), LIMITS.document_bytes * 2)
            left -= len(body)
            if left < 0:
                raise BadShape(f"its sources have more than {LIMITS.saved_run_source_bytes} bytes")
            texts[name] = body.decode("utf-8", "replace")
        return texts

    def _take(self, collector: Collector, number: int, line: bytes) -> None:
        try:
            collector.add(checked_event(self._json(line, f"line {number} of {EVENTS}")))
        except (KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
            raise BadShape(f"line {number} of {EVENTS} is no event that this program knows ({error!r:.100})") from error
        if number > LIMITS.saved_run_events:
            raise BadShape(f"it has more than {LIMITS.saved_run_events} events")

    def _lines(self) -> Iterator[bytes]:
        with self._open(EVENTS) as file:
            while line := file.readline(_LINE):
                self._count(len(line))
                if len(line) == _LINE:
                    raise BadShape(f"a line of {EVENTS} is longer than {_LINE} bytes")
                yield line

    def _whole(self, name: str, limit: int) -> bytes:
        with self._open(name) as file:
            body = file.read(limit + 1)
        self._count(len(body))
        if len(body) > limit:
            raise BadShape(f"{name} has more than {limit} bytes")
        return body

    def _open(self, name: str) -> IO[bytes]:
        try:
            return self._archive.open(name)
        except KeyError:
            raise BadShape(f"it has no {name}") from None

    def _count(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise BadShape(f"it unpacks to more than {_WHOLE} bytes")

    @staticmethod
    def _json(body: bytes, what: str) -> Any:
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise BadShape(f"{what} is not JSON: {error}") from None
