"""Files below the project's folder that actions read and write; nothing outside of it is reached."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from application.actions.json_values import depth_of, no_constant
from application.engine.action import ActionContext, ActionError
from application.engine.errors import ONLY_NAMED
from domain.limits import Limits

_WRITTEN = "files: written"
_JSON = (".json",)
_YAML = (".yaml", ".yml")
_ROWS = (".csv", ".tsv", ".jsonl", ".ndjson")
_KINDS = (*_JSON, *_YAML, *_ROWS)


def project_folder(key: str, context: ActionContext) -> Path:
    """The folder, with links resolved. ActionError `config` where there is none."""
    if context.folder is None:
        raise ActionError("config", f"{key} needs a folder of files, and there is none here")
    return context.folder.resolve()


def missing(context: ActionContext) -> str | None:
    """What to do about a file that is not there, where that is not plain to see."""
    return ONLY_NAMED if context.bundled else None


def path_below(key: str, value: Any, example: str) -> str:
    """The text of a path or pattern that cannot name anything outside by itself."""
    plain = isinstance(value, str) and value and not value.startswith(("/", "~")) and "\0" not in value and "\\" not in value
    if not plain or ".." in value.split("/"):
        raise ActionError("config", f"{key} must be a path below the project's folder, such as {example}")
    return str(value)


def lies_below(root: Path, path: Path) -> bool:
    """Whether the path, its links followed, is in the folder."""
    try:
        return path.resolve().is_relative_to(root)
    except (OSError, RuntimeError):
        return False


def file_below(key: str, value: Any, context: ActionContext, example: str) -> Path:
    """An ordinary file of the folder, no larger than data may be."""
    root = project_folder(key, context)
    path = root / path_below(key, value, example)
    if not lies_below(root, path):
        raise ActionError("config", f"{key} must lie in the project's folder: {value[:200]!r} leads out of it")
    try:
        found, size = path.is_file(), path.stat().st_size if path.is_file() else 0
    except OSError:
        found, size = False, 0
    if not found:
        raise ActionError("config", f"{key}: there is no file {value[:200]!r} in the project's folder", hint=missing(context))
    if size > context.limits.data_bytes:
        raise ActionError("limit", f"{key}: {value[:200]!r} has more than {context.limits.data_bytes:,} bytes")
    return path.resolve()


def read_data(key: str, value: Any, context: ActionContext) -> Any:
    """The value of a JSON or YAML file; the rows of a CSV (every value is text) or JSON lines file."""
    from domain.errors import Invalid, InvalidFlow, LimitExceeded, NotFound

    path = file_below(key, value, context, "data/users.json")
    kind = path.suffix.lower()
    if kind not in _KINDS:
        raise ActionError("config", f"{key}: {value[:200]!r} is no data file", hint=f"its name ends with {', '.join(_KINDS)}")
    try:
        return _rows(path, context.limits) if kind in _ROWS else _document(path, kind, context.limits)
    except InvalidFlow as error:
        first = error.problems[0]
        raise ActionError("config", f"{key}: {value}:{first.line}:{first.column}: {first.title}") from None
    except (Invalid, NotFound, LimitExceeded) as error:
        raise ActionError("config", f"{key}: {error}".replace(str(path), str(value))) from None
    except OSError as error:
        raise ActionError("config", f"{key}: {value[:200]!r} cannot be read: {error.strerror}") from None


def write_json(key: str, value: Any, content: Any, context: ActionContext) -> str:
    """Write a JSON file into the folder, whole or not at all; its path there. Missing folders are made."""
    if isinstance(value, str) and not value.endswith(".json"):
        raise ActionError("config", f"{key} must end with .json")
    with NewFile(key, value, context, "pacts/shop-users.json") as file:
        file.write((json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())
        return file.keep()


class NewFile:
    """A file that is written into the folder, whole or not at all: `keep` puts it in its place, leaving the block without it
    leaves nothing behind. Missing folders are made; links and folders are left alone. ActionError `config` or `limit`."""

    def __init__(self, key: str, value: Any, context: ActionContext, example: str) -> None:
        self._key = key
        self._context = context
        self._root = project_folder(key, context)
        self._text = path_below(key, value, example)
        self._path = self._root / self._text
        self._partial: Path | None = None
        self._file: IO[bytes] | None = None

    def __enter__(self) -> NewFile:
        with self._told():
            if not lies_below(self._root, self._path.parent):
                said = f"{self._key} must lie in the project's folder: {self._text[:200]!r} leads out of it"
                raise ActionError("config", said)
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._path.is_symlink() or self._path.is_dir():
                said = f"{self._key}: {self._text[:200]!r} is a link or a folder and is left alone"
                raise ActionError("config", said)
            handle, name = tempfile.mkstemp(prefix=".testmesh-", dir=self._path.parent)
            self._partial, self._file = Path(name), os.fdopen(handle, "wb")
            os.fchmod(handle, 0o644)
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            with suppress(OSError):  # what was not kept need not be complete
                self._file.close()
        if self._partial is not None:
            self._partial.unlink(missing_ok=True)

    def begin(self) -> None:
        """Forget what was written so far."""
        assert self._file is not None
        with self._told():
            self._file.seek(0)
            self._file.truncate()

    def write(self, part: bytes) -> None:
        """Add to it."""
        assert self._file is not None
        with self._told():
            self._file.write(part)

    def keep(self) -> str:
        """Put it in its place; its path in the folder."""
        assert self._file is not None
        assert self._partial is not None
        with self._told():
            self._file.flush()
            _count(self._file.tell(), self._context)
            self._file.close()
            os.replace(self._partial, self._path)
        return self._path.relative_to(self._root).as_posix()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            said = f"{self._key}: {self._text[:200]!r} cannot be written: {error.strerror}"
            raise ActionError("config", said) from None


def _count(size: int, context: ActionContext) -> None:
    """On workers, where the folder takes room of everybody, an execution may write so much and no more."""
    written = context.resources.get(_WRITTEN, 0) + size
    if context.bundled and written > context.limits.written_bytes:
        raise ActionError("limit", f"a flow on a worker may write {context.limits.written_bytes:,} bytes into files")
    context.resources[_WRITTEN] = written


def parse_json(text: str, what: str, limits: Limits) -> Any:
    """The value of a JSON text. ActionError `config` says where it is broken or that it is nested too deeply."""
    try:
        value = json.loads(text, parse_constant=no_constant)
    except json.JSONDecodeError as error:
        raise ActionError("config", f"{what} is not JSON: line {error.lineno}, column {error.colno}: {error.msg}") from None
    except ValueError as error:
        raise ActionError("config", f"{what} is not JSON: {error}") from None
    except RecursionError:
        raise ActionError("limit", f"{what} is nested too deeply") from None
    if depth_of(value, limits.json_depth) > limits.json_depth:
        raise ActionError("limit", f"{what} is nested more than {limits.json_depth} deep")
    return value


def _document(path: Path, kind: str, limits: Limits) -> Any:
    data = path.read_bytes()
    if kind in _JSON:
        try:
            return parse_json(data.decode("utf-8-sig"), path.name, limits)
        except UnicodeDecodeError:
            raise ActionError("config", f"{path.name} is not UTF-8") from None
    from application.documents.reader import read
    from domain.errors import InvalidFlow

    document = read(
        data, path.name, replace(limits, document_bytes=limits.import_yaml_bytes, document_nodes=limits.import_nodes)
    )
    if document.problems:
        raise InvalidFlow(tuple(document.problems))
    return document.value


def _rows(path: Path, limits: Limits) -> list[Any]:
    from application.data_rows import file_rows
    from domain.definition import Data

    rows: list[Any] = []
    for row in file_rows(path, Data(file=str(path))):
        if len(rows) >= limits.rows:
            raise ActionError("limit", f"{path.name} has more than {limits.rows:,} rows")
        rows.append(dict(row) if isinstance(row, dict) else row)
    return rows
