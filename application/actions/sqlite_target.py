"""Which SQLite database a step means: memory, or a file below the folder that the step may use."""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from application.actions.database_target import plain_texts
from application.engine.action import ActionError
from domain.values import dataclass

MEMORY = ":memory:"
_URL = re.compile(r"sqlite:(?:///(?P<path>.+)|(?://)?/?(?P<memory>:memory:)|//)", re.IGNORECASE | re.DOTALL)
_WRITE = "write sqlite:///folder/name.db, a path from the project folder, or sqlite::memory:"


@dataclass(frozen=True, slots=True)
class SqliteTarget:
    """A database by its path as written, or `:memory:`."""

    path: str
    password: str = ""

    @property
    def label(self) -> str:
        """How messages and reports name it."""
        return "sqlite::memory:" if self.path == MEMORY else f"sqlite:///{self.path}"


def read_sqlite(given: str | Mapping[str, Any]) -> SqliteTarget:
    """The target of a connection; nothing of the file system is looked at. ActionError of kind config for what is refused."""
    path = _from_text(given.strip()) if isinstance(given, str) else _from_object(given)
    if path.lower().startswith("file:"):
        raise ActionError("config", "connection: a file: URI with options is not opened", hint=_WRITE)
    if "\0" in path:
        raise ActionError("config", "connection: the path holds NUL")
    return SqliteTarget(path)


def file_of(target: SqliteTarget, folder: Path | None, *, make: bool = False) -> str:
    """What SQLite is to open: `:memory:`, or the real path of a file that lies in the folder, links followed. With `make`
    missing folders on the way are made."""
    if target.path == MEMORY:
        return MEMORY
    if folder is None:
        raise ActionError("config", "a SQLite file needs a folder, and there is none here", hint="use sqlite::memory:")
    if ".." in Path(target.path).parts:
        raise ActionError("config", f"connection: {target.label} has .. in its path", hint=_WRITE)
    try:
        return _below(folder.resolve(), target, make)
    except (OSError, RuntimeError) as error:  # a loop of links, a name that is too long
        raise ActionError("config", f"connection: {target.label} cannot be opened: {error}") from None


def _below(home: Path, target: SqliteTarget, make: bool) -> str:
    path = home.joinpath(target.path).resolve()
    if not path.is_relative_to(home) or path == home:
        raise ActionError("config", f"connection: {target.label} lies outside of the project folder {home}", hint=_WRITE)
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):
        raise ActionError("config", f"connection: {target.label} is not a file")
    if make:
        path.parent.mkdir(parents=True, exist_ok=True)
    if not path.parent.is_dir():
        raise ActionError("config", f"connection: {target.label}: there is no folder {path.parent}", hint="make it first")
    return str(path)


def _from_text(text: str) -> str:
    if not text.lower().startswith("sqlite:"):
        return text
    found = _URL.fullmatch(text)
    if found is None:
        raise ActionError("config", "connection is not a URL of a SQLite database", hint=_WRITE)
    if re.search("[?#]", text):
        raise ActionError("config", "connection: a SQLite URL takes no options", hint="write ? in a path as %3F")
    return unquote(found["path"] or MEMORY)


def _from_object(given: Mapping[str, Any]) -> str:
    values = plain_texts(given, ("path",), {"database": "path", "file": "path", "filename": "path"}, {})
    if not values.get("path"):
        raise ActionError("config", "connection names no path", hint=_WRITE)
    return _from_text(values["path"])
