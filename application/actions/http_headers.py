"""Headers of HTTP requests and answers: checked before they are sent, readable when they came."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any

from application.actions.http_messages import Pairs
from application.actions.http_reading import ENCODINGS
from application.actions.http_url import value_text
from application.engine.action import ActionError
from domain.masking import MASKED, SENSITIVE_HEADERS

_NONE: frozenset[str] = frozenset()
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_BROKEN = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_OURS = ("transfer-encoding", "content-length", "upgrade", "proxy-authorization")
DEFAULTS: Pairs = [("Accept", "*/*"), ("Accept-Encoding", ENCODINGS), ("User-Agent", "testmesh")]
"""Sent unless the step sets them; the only ones that follow a redirect to another origin."""
_DEFAULTS = [(name.lower(), (name, value)) for name, value in DEFAULTS]


def read_headers(value: Any, more: Mapping[str, str]) -> Pairs:
    """The step's headers, and those of `more` that it does not set. A list repeats a header, null leaves it out."""
    if value is not None and not isinstance(value, Mapping):
        raise ActionError("config", "headers must be an object of names and values")
    if not value:
        return list(more.items())
    written = list(_written(value))
    named = {str(name).lower() for name in value}
    return [*written, *(pair for pair in more.items() if pair[0].lower() not in named)]


def with_defaults(headers: Pairs, named: Set[str]) -> Pairs:
    """The headers, and every default whose name in lower case is not among those `named`."""
    return [*(pair for name, pair in _DEFAULTS if name not in named), *headers]


def names_of(headers: Pairs) -> frozenset[str]:
    """The names in lower case."""
    return frozenset([name.lower() for name, _ in headers])


def left_out(value: Any) -> frozenset[str]:
    """Names that the step sets to null: no default is sent for them."""
    return frozenset(str(name).lower() for name, item in value.items() if item is None) if value else _NONE


def has(headers: Pairs, name: str) -> bool:
    """Whether there is a header of this name."""
    return any(given.lower() == name for given, _ in headers)


def without(headers: Pairs, name: str) -> Pairs:
    """The headers but for those of this name."""
    return [pair for pair in headers if pair[0].lower() != name]


def value_checked(name: str, value: str) -> str:
    """The value as text that can be sent, if it cannot break out of its line."""
    if _BROKEN.search(value):
        raise ActionError("config", f"the value of the header {name} has a line break or control character")
    return (value if value.isascii() else value.encode("utf-8", "replace").decode()).strip(" \t")


def basic_value(user: str, password: str) -> str:
    """RFC 7617, in UTF-8."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode("utf-8", "replace")).decode()


def readable(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, Any]:
    """Names as they came. A repeated header is one text joined by `, `; Set-Cookie is a list when there are several."""
    names: dict[str, str] = {}
    values: dict[str, list[str]] = {}
    for raw_name, raw_value in headers:
        name = raw_name.decode("latin-1")
        shown = names.setdefault(name.lower(), name)
        values.setdefault(shown, []).append(raw_value.decode("utf-8", "replace"))
    return {name: found[0] if len(found) == 1 else _joined(name, found) for name, found in values.items()}


def shown(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """For the exchange: those that carry credentials are masked by name, the engine masks known secrets."""
    merged: dict[str, str] = {}
    for name, value in headers:
        merged[name] = f"{merged[name]}, {value}" if name in merged else value
    return {name: MASKED if name.lower() in SENSITIVE_HEADERS else value for name, value in merged.items()}


def _written(headers: Mapping[Any, Any]) -> Iterator[tuple[str, str]]:
    for key, value in headers.items():
        name = str(key)
        if not _NAME.fullmatch(name):
            raise ActionError("config", f"not a header name: {name[:80]!r}")
        if name.lower() in _OURS:
            raise ActionError("config", f"the header {name} is set by the connection itself", hint=_remedy(name.lower()))
        for item in value if isinstance(value, list | tuple) else (value,):
            if isinstance(item, Mapping | list | tuple):
                raise ActionError("config", f"the header {name} must be text, a number or a list of them")
            if item is not None:
                yield name, value_checked(name, value_text(item))


def _remedy(name: str) -> str:
    return "give user and password in the URL of proxy" if name == "proxy-authorization" else "leave it out"


def _joined(name: str, values: list[str]) -> str | list[str]:
    return values if name.lower() == "set-cookie" else ", ".join(values)
