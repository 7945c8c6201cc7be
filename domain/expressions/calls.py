"""The names that can be called, with how many arguments each takes: all that the parser knows about functions."""

from __future__ import annotations

import re

ANY = 99
"""As many arguments as an author may write."""

_TEXT = {
    "upper": (1, 1),
    "lower": (1, 1),
    "trim": (1, 2),
    "trimPrefix": (2, 2),
    "trimSuffix": (2, 2),
    "split": (2, 3),
    "join": (1, 2),
    "replace": (3, 3),
    "indexOf": (2, 2),
    "lastIndexOf": (2, 2),
    "hasPrefix": (2, 2),
    "hasSuffix": (2, 2),
    "repeat": (2, 2),
    "contains": (2, 2),
    "startsWith": (2, 2),
    "endsWith": (2, 2),
    "matches": (2, 2),
    "capture": (2, 3),
    "md5": (1, 1),
    "sha1": (1, 1),
    "sha256": (1, 1),
    "sha512": (1, 1),
    "hmacSha1": (2, 2),
    "hmacSha256": (2, 2),
    "hmacSha512": (2, 2),
    "urlEncode": (1, 1),
    "urlDecode": (1, 1),
    "xpath": (2, 2),
}
_LISTS = {
    "len": (1, 1),
    "sort": (1, 2),
    "reverse": (1, 1),
    "first": (1, 1),
    "last": (1, 1),
    "take": (2, 2),
    "keys": (1, 1),
    "values": (1, 1),
    "uniq": (1, 1),
    "flatten": (1, 1),
    "concat": (1, ANY),
    "get": (2, 3),
}
_NUMBERS = {
    "min": (1, ANY),
    "max": (1, ANY),
    "mean": (1, ANY),
    "median": (1, ANY),
    "abs": (1, 1),
    "round": (1, 2),
    "floor": (1, 1),
    "ceil": (1, 1),
}
_CONVERSIONS = {
    "type": (1, 1),
    "int": (1, 1),
    "float": (1, 1),
    "string": (1, 1),
    "bool": (1, 1),
    "toJSON": (1, 1),
    "fromJSON": (1, 1),
    "toBase64": (1, 1),
    "fromBase64": (1, 1),
    "now": (0, 0),
    "date": (1, 2),
    "duration": (1, 1),
    "json_schema": (2, 2),
}
PREDICATES = {
    "all": (2, 2),
    "any": (2, 2),
    "one": (2, 2),
    "none": (2, 2),
    "filter": (2, 2),
    "map": (2, 2),
    "count": (1, 2),
    "find": (2, 2),
    "findIndex": (2, 2),
    "findLast": (2, 2),
    "findLastIndex": (2, 2),
    "groupBy": (2, 2),
    "sum": (1, 2),
    "reduce": (2, 3),
    "sortBy": (2, 3),
}
"""The functions whose second argument is evaluated for each element of the first."""

EXTERNAL = {"snapshot": (1, 3)}
"""The functions that the scope must bring."""

FUNCTIONS = _TEXT | _LISTS | _NUMBERS | _CONVERSIONS | PREDICATES | EXTERNAL
OTHER_WORDS = {
    "size": "len",
    "strlen": "len",
    "str": "string",
    "tostring": "string",
    "number": "float",
    "parseint": "int",
    "parsefloat": "float",
    "touppercase": "upper",
    "tolowercase": "lower",
    "strip": "trim",
    "every": "all",
    "some": "any",
    "unique": "uniq",
    "distinct": "uniq",
    "stringify": "toJSON",
    "parse": "fromJSON",
    "jsonparse": "fromJSON",
    "average": "mean",
}
"""What functions are called elsewhere, in lower case; for hints alone."""
METHODS_ONLY = frozenset({"contains", "startsWith", "endsWith", "matches"})
"""Operators that may be written as `x.contains(y)`, but not as a function."""

_ALIASES = {"length": "len", "avg": "mean"}
_ALIASES |= {
    snake: name for name in FUNCTIONS if (snake := re.sub(r"(?<=[a-z])([A-Z])", r"_\1", name).lower()) not in FUNCTIONS
}


def canonical(name: str) -> str | None:
    """The name of a function that is written in camel or snake case; None if there is no such function."""
    return name if name in FUNCTIONS else _ALIASES.get(name)
