"""Plain scalars by the core schema of YAML 1.2 (chapter 10.3): `on`, `12:30:45` and dates stay strings."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

Plain = str | int | float | bool | None

DIGITS = 400
"""The longest number that is read as a number."""

_BOOLEANS = {word: value for value, words in ((True, "true True TRUE"), (False, "false False FALSE")) for word in words.split()}
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_INTEGERS: tuple[tuple[re.Pattern[str], int], ...] = (
    (re.compile(r"[-+]?[0-9]+"), 10),
    (re.compile(r"0o[0-7]+"), 8),
    (re.compile(r"0x[0-9a-fA-F]+"), 16),
)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


def resolve(text: str) -> Plain:
    """The value of a plain scalar. ValueError, with what to say, for a number that JSON could not hold."""
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if text[0] not in "+-.0123456789":
        return text
    for pattern, base in _INTEGERS:
        if pattern.fullmatch(text):
            return _integer(text, base)
    return _float(text) if _FLOAT.fullmatch(text) else text


def tagged(tag: str, text: str) -> Plain:
    """The value of a scalar with an explicit core tag. ValueError if the text is not of that type; KeyError for other tags."""
    return _TAGS[tag](text)


def _integer(text: str, base: int) -> int:
    if len(text) > DIGITS:
        raise ValueError("This number is too long")
    return int(text, base)


def _float(text: str) -> float:
    if len(text) > DIGITS:
        raise ValueError("This number is too long")
    number = float(text) if text[-1] not in "fFnN" else math.inf
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a finite number")
    return number


def _typed(expected: str, *types: type) -> Callable[[str], Plain]:
    def read(text: str) -> Plain:
        value = resolve(text)
        if type(value) not in types:
            raise ValueError(f"This is not {expected}")
        return float(value) if isinstance(value, int) and types[0] is float else value

    return read


_TAGS: dict[str, Callable[[str], Plain]] = {
    "!": str,
    "tag:yaml.org,2002:str": str,
    "tag:yaml.org,2002:int": _typed("an integer", int),
    "tag:yaml.org,2002:float": _typed("a number", float, int),
    "tag:yaml.org,2002:bool": _typed("true or false", bool),
    "tag:yaml.org,2002:null": _typed("null", type(None)),
}
SCALAR_TAGS = frozenset(_TAGS)
COLLECTION_TAGS = frozenset({"!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"})
