"""The tests behind `is`: types, and texts of a known form."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

from domain.expressions.operators import is_number
from domain.expressions.times import is_timestamp, parse_time

_EMAIL = re.compile(r"[^@\s]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,10}", re.ASCII)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,20}://[^\s/?#]+[^\s]*", re.ASCII)


def _is_uuid(value: Any) -> bool:
    if not isinstance(value, str) or len(value) != 36:
        return False
    try:
        return str(UUID(value)) == value.lower()
    except ValueError:
        return False


def _is_integer(value: Any) -> bool:
    return is_number(value) and (isinstance(value, int) or value.is_integer())


TESTS: Mapping[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "string": lambda value: isinstance(value, str),
    "number": is_number,
    "integer": _is_integer,
    "boolean": lambda value: isinstance(value, bool),
    "array": lambda value: isinstance(value, list | tuple),
    "object": lambda value: isinstance(value, dict),
    "empty": lambda value: value is None or value in ("", [], {}, ()),
    "uuid": _is_uuid,
    "email": lambda value: isinstance(value, str) and len(value) <= 320 and _EMAIL.fullmatch(value) is not None,
    "date": lambda value: isinstance(value, str) and is_timestamp(value) and parse_time(value) is not None,
    "url": lambda value: isinstance(value, str) and len(value) <= 65_536 and _URL.fullmatch(value) is not None,
}
