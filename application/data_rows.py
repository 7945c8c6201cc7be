"""Rows of data: read one at a time from a flow, or from a CSV, JSON or JSON lines file, each with its stable key."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from application.documents.shapes import IDENTIFIER
from domain.definition import Data
from domain.errors import Invalid, LimitExceeded, NotFound
from domain.limits import LIMITS
from domain.values import dataclass

_SEPARATORS = ";\t|,"
KINDS = (".csv", ".tsv", ".json", ".jsonl", ".ndjson")


@dataclass(frozen=True, slots=True)
class Case:
    """One row: its key among the rows of its flow, and its values by name."""

    key: str
    values: Mapping[str, Any]


class Cases:
    """The rows of a source, read anew at each pass, so that a file of any length needs no memory."""

    def __init__(self, data: Data, folder: Path) -> None:
        """`folder` is where a relative file is taken from."""
        self._data = data
        self._size: int | None = None
        self._path = folder / data.file if data.file is not None else None

    def __iter__(self) -> Iterator[Case]:
        """Every row. Invalid, NotFound or LimitExceeded say what is wrong with the source and where."""
        for number, row in enumerate(self._rows(), 1):
            if number > LIMITS.data_rows:
                raise LimitExceeded(f"{self.name} has more than {LIMITS.data_rows:,} rows", remedy="split it")
            yield Case(self._key(number, row), _named(row, self.name, number))

    @property
    def name(self) -> str:
        """The source, for people."""
        return str(self._path) if self._path is not None else "data"

    def count(self) -> int:
        """How many rows there are; each of them is read and checked, and that no key stands twice."""
        if self._size is not None:
            return self._size
        keys: set[str] = set()
        for case in self:
            if case.key in keys:
                raise Invalid(
                    f"{self.name}: two rows have the key {case.key!r}", remedy="choose a column that is unique, or none"
                )
            keys.add(case.key)
        self._size = len(keys)
        return self._size

    def _key(self, number: int, row: Any) -> str:
        column = self._data.key
        if column is None:
            return str(number)
        if not isinstance(row, Mapping) or row.get(column) in (None, ""):
            raise Invalid(f"{self.name}: row {number} has no {column!r}, which is its key")
        return str(row[column])[:200]

    def _rows(self) -> Iterator[Any]:
        if self._path is None:
            yield from self._data.rows
            return
        yield from file_rows(self._path, self._data)


def file_rows(path: Path, data: Data) -> Iterator[Any]:
    """The rows of a file one by one, as they are written. Invalid, NotFound or LimitExceeded say what is wrong and where."""
    suffix = path.suffix.lower()
    if suffix not in KINDS:
        raise Invalid(f"{path} is no file of rows", remedy=f"its name ends with one of {', '.join(KINDS)}")
    try:
        yield from _READERS[suffix](path, data)
    except OSError as error:
        raise NotFound(f"the data file {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise Invalid(f"the data file {path} is not UTF-8") from None


def _csv(path: Path, data: Data) -> Iterator[Any]:
    delimiter = "\t" if path.suffix.lower() == ".tsv" else data.delimiter
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, delimiter=delimiter, restkey="", strict=True)
        try:
            _check_columns(path, reader.fieldnames or (), delimiter)
            for row in reader:
                if "" in row or None in row.values():
                    raise Invalid(f"{path}:{reader.line_num}: this row has another number of columns than the first line")
                yield row
        except csv.Error as error:
            raise Invalid(f"{path}:{reader.line_num}: {error}") from None


def _check_columns(path: Path, names: Sequence[str], delimiter: str) -> None:
    """Invalid for a column that stands twice, and for a single one that holds what may be the separator."""
    for number, name in enumerate(names):
        if name in names[:number]:
            raise Invalid(f"{path}:1: the column {name!r} stands there twice", remedy="rename one of the two")
    other = next((sign for sign in _SEPARATORS if len(names) == 1 and sign in names[0] and sign != delimiter), None)
    if other is not None:
        shown = "\\t" if other == "\t" else other
        title = f"{path}:1: with {delimiter!r} as the separator there is one column, {names[0][:80]!r}"
        raise Invalid(title, remedy=f'is the separator {shown!r}? write delimiter: "{shown}" below data')


def _json(path: Path, data: Data) -> Iterator[Any]:
    if path.stat().st_size > LIMITS.data_bytes:
        raise LimitExceeded(
            f"{path} has more than {LIMITS.data_bytes:,} bytes", remedy="write it as JSON lines, one row a line"
        )
    try:
        rows = json.loads(path.read_bytes().decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise Invalid(f"{path} is not JSON: {error}") from None
    if not isinstance(rows, list):
        raise Invalid(f"{path} must hold a list of objects")
    yield from rows


def _json_lines(path: Path, data: Data) -> Iterator[Any]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if len(line) > LIMITS.document_bytes:
                raise LimitExceeded(f"{path}:{number}: this line has more than {LIMITS.document_bytes:,} characters")
            if not line.strip():
                continue
            try:
                yield json.loads(line)
            except (ValueError, RecursionError) as error:
                raise Invalid(f"{path}:{number}: not JSON: {error}") from None


_READERS = {".csv": _csv, ".tsv": _csv, ".json": _json, ".jsonl": _json_lines, ".ndjson": _json_lines}


def _named(row: Any, name: str, number: int) -> Mapping[str, Any]:
    if not isinstance(row, Mapping):
        raise Invalid(f"{name}: row {number} is not an object of names and values")
    for column in row:
        if not isinstance(column, str) or not IDENTIFIER.fullmatch(column):
            raise Invalid(
                f"{name}: {column!r} cannot be a name", remedy="use letters, digits and _, and begin with a letter or _"
            )
    return row
