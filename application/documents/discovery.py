"""Discovery: which flow files the paths of a command line mean."""

from __future__ import annotations

import glob
import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from application.documents.source import nearest
from domain.errors import NotFound
from domain.limits import LIMITS
from domain.values import dataclass

SUFFIXES = (".yaml", ".yml")
STDIN = "-"

_LINE = re.compile(r"(.+):(\d+)")
_FLOW = re.compile(rb"""^["']?flow["']?[ \t]*:""", re.MULTILINE)
_BARE = (re.compile(rb"""^["']?name["']?[ \t]*:""", re.MULTILINE), re.compile(rb"""^["']?steps["']?[ \t]*:""", re.MULTILINE))
_SKIPPED = frozenset({"node_modules", "__pycache__"})


@dataclass(frozen=True, slots=True)
class FlowFile:
    """A file that holds a flow. `file` is what people read; `path` is None for standard input; `line` picks one step."""

    file: str
    path: Path | None
    line: int | None = None

    def read(self) -> bytes:
        """The content, no more of it than one byte beyond the limit. OSError if it cannot be read."""
        limit = LIMITS.document_bytes + 1
        if self.path is None:
            return sys.stdin.buffer.read(limit)
        with self.path.open("rb") as stream:
            return stream.read(limit)


def flow_files(paths: Iterable[str | Path], base: Path) -> tuple[FlowFile, ...]:
    """The files that files, folders, globs, `file.yaml:LINE` and `-` mean, each once, in the order given.

    Folders and globs give only files that look like flows. Raises NotFound for a path that does not exist.
    """
    found: dict[tuple[Path | None, int | None], FlowFile] = {}
    for given in paths:
        for flow in _resolve(str(given), base):
            found.setdefault((flow.path.resolve() if flow.path else None, flow.line), flow)
    return tuple(found.values())


def looks_like_flow(content: bytes) -> bool:
    """Whether the root of a document has `flow:`, or `name:` and `steps:`; also told of documents that YAML cannot read."""
    return _FLOW.search(content) is not None or all(key.search(content) for key in _BARE)


def _resolve(given: str, base: Path) -> Iterator[FlowFile]:
    path = base / given
    numbered = _LINE.fullmatch(given)
    if given == STDIN:
        yield FlowFile("<stdin>", None)
    elif path.is_dir():
        yield from _in_folder(path, base)
    elif path.exists():
        yield FlowFile(_shown(path, base), path)
    elif numbered and (base / numbered.group(1)).is_file():
        path = base / numbered.group(1)
        yield FlowFile(_shown(path, base), path, int(numbered.group(2)))
    elif glob.has_magic(given):
        yield from _in_glob(given, base)
    else:
        raise NotFound(f'There is no file or folder "{given}"', remedy=_nearby(path))


def _in_folder(folder: Path, base: Path) -> Iterator[FlowFile]:
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _SKIPPED)
        for name in sorted(names):
            path = Path(root, name)
            if _is_flow(path):
                yield FlowFile(_shown(path, base), path)


def _in_glob(pattern: str, base: Path) -> Iterator[FlowFile]:
    matches = sorted(glob.glob(pattern, root_dir=base, recursive=True))
    if not matches:
        raise NotFound(f'Nothing matches "{pattern}"', remedy="put the pattern in quotes, and use ** for folders at any depth")
    for match in matches:
        path = base / match
        if path.is_dir():
            yield from _in_folder(path, base)
        elif _is_flow(path):
            yield FlowFile(_shown(path, base), path)


def _is_flow(path: Path) -> bool:
    if path.suffix.lower() not in SUFFIXES or path.name.startswith(".") or not path.is_file():
        return False
    try:
        return looks_like_flow(FlowFile(path.name, path).read())
    except OSError:
        return False


def _shown(path: Path, base: Path) -> str:
    try:
        return path.relative_to(base).as_posix()
    except ValueError:
        return os.path.relpath(path, base)


def _nearby(path: Path) -> str | None:
    """The name in the same folder that was most likely meant."""
    try:
        meant = nearest(path.name, (entry.name for entry in path.parent.iterdir()))
    except OSError:
        return None
    return f'did you mean "{meant}"?' if meant else None
