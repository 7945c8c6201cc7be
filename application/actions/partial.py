"""Partial values: whether a value holds at least what is wished, and where it does not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from application.actions.http_url import value_text


def missing(wanted: Any, value: Any, path: str = "$") -> str:
    """Why the value does not hold what is wished; empty when it does. Objects may hold more, lists are as long as wished."""
    if isinstance(wanted, Mapping):
        if not isinstance(value, Mapping):
            return f"{path} is {_shown(value)}, not an object"
        for key, item in wanted.items():
            if key not in value:
                return f"{path}.{key} is missing"
            if why := missing(item, value[key], f"{path}.{key}"):
                return why
        return ""
    if isinstance(wanted, list | tuple):
        if not isinstance(value, list | tuple) or len(value) != len(wanted):
            return f"{path} is {_shown(value)}, not a list of {len(wanted)}"
        found = (missing(item, value[index], f"{path}[{index}]") for index, item in enumerate(wanted))
        return next(filter(None, found), "")
    return "" if _equal(wanted, value) else f"{path} is {_shown(value)}, not {_shown(wanted)}"


def missing_text(wanted: Mapping[str, Any], values: Mapping[str, Any], what: str, *, any_case: bool = False) -> str:
    """The same for names and values that are text, such as a query or headers; null means that the name must not be there,
    a list that all its values are."""
    known = {name.lower(): value for name, value in values.items()} if any_case else values
    for name, item in wanted.items():
        value = known.get(name.lower() if any_case else name)
        if item is None and value is None:
            continue
        if value is None:
            return f"{what} {name} is missing"
        given = [str(one) for one in value] if isinstance(value, list) else [str(value)]
        if item is None or any(value_text(one) not in given for one in (item if isinstance(item, list) else [item])):
            return f"{what} {name} is {_shown(value)}, not {'there' if item is None else _shown(item)}"
    return ""


def as_json(body: Any) -> Any:
    """The body as a value: clients forget to say that they send JSON."""
    if not isinstance(body, str) or body[:1] not in ("{", "["):
        return body
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return body


def _equal(wanted: Any, value: Any) -> bool:
    """1 is 1.0, and true is not 1."""
    return isinstance(wanted, bool) is isinstance(value, bool) and bool(wanted == value)


def _shown(value: Any) -> str:
    return f"{value!r:.80}"
