"""Values of SQLite as plain JSON data, and plain data as parameters."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from application.actions.database_values import base64_text, finite, json_text, moment

_ELSE = 8


class _Declared(bytes):
    """A value of a column whose declared type says how to read it, as SQLite wrote it."""

    def plain(self) -> Any:
        """The value as plain data."""
        raise NotImplementedError


class _Json(_Declared):
    def plain(self) -> Any:
        try:
            return json.loads(self)
        except ValueError:  # the declaration binds nobody
            return _text(self)


class _Moment(_Declared):
    def plain(self) -> Any:
        text = _text(self)
        for number in (int, float):  # what looks like a number is one, in columns with such a type
            try:
                return number(text)
            except ValueError:
                continue
        return moment(text)


def use_declared_types() -> None:
    """Make columns declared JSON, DATETIME and TIMESTAMP be read by their declaration.

    The table of converters belongs to the process; only connections with PARSE_DECLTYPES look at it, and only ours have that.
    """
    for name, kind in {"JSON": _Json, "JSONB": _Json, "DATETIME": _Moment, "TIMESTAMP": _Moment, "DATE": _Moment}.items():
        sqlite3.register_converter(name, kind)


def size_of(value: Any) -> int:
    """Bytes, or characters, that a value takes."""
    return len(value) if isinstance(value, str | bytes) else _ELSE


def plain(value: Any) -> Any:
    """A value that SQLite gave, as plain data."""
    if isinstance(value, _Declared):
        return value.plain()
    if isinstance(value, bytes):
        return base64_text(value)
    if isinstance(value, float):
        return finite(value, "Infinity" if value > 0 else "-Infinity")
    return value


def sendable(value: Any) -> Any:
    """A value as a parameter: lists and objects are JSON text."""
    return json_text(value) if isinstance(value, dict | list) else value


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return base64_text(data)
