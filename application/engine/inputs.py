"""The inputs that a flow declares: values of their types, and a refusal where one is missing or of another type."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from domain.definition import FlowDefinition, Input
from domain.errors import Invalid
from domain.expressions.frame import kind_of
from domain.expressions.values import to_text

_NOT = object()
_INTEGER = re.compile(r"[+-]?[0-9]{1,300}")
_NUMBER = re.compile(r"[+-]?[0-9]{1,300}(\.[0-9]{1,300})?([eE][+-]?[0-9]{1,3})?")


def given_inputs(definition: FlowDefinition, given: Mapping[str, Any], outside: Mapping[str, Any]) -> dict[str, Any]:
    """The declared inputs that were given, as values of their types; what comes from outside counts for required ones alone.
    Invalid for a required one that is not there."""
    found: dict[str, Any] = {}
    for name, declared in definition.declared.items():
        value = given.get(name)
        if name not in given and declared.required:
            value = outside.get(name)
        if value is None and declared.required:
            raise Invalid(f"{definition.name} needs the input {name!r}", remedy=f"give it with --var {name}=...")
        if name in given or value is not None:
            found[name] = typed(name, declared, value)
    return found


def typed(name: str, declared: Input, value: Any) -> Any:
    """The value as its declared type: a text that says a number, true or false, or JSON is read. Invalid if it is none."""
    if value is None or declared.type is None:
        return value
    made = _READERS[declared.type](value)
    if made is _NOT:
        what = f"the input {name!r} must be of the type {declared.type}"
        said = "the text that it is reads as none" if isinstance(value, str) else f"it is {kind_of(value)}"
        raise Invalid(f"{what}; {said}")
    return made


def _string(value: Any) -> Any:
    return to_text(value) if isinstance(value, str | int | float) else _NOT


def _integer(value: Any) -> Any:
    if isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
        return int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _NOT
    return int(value) if isinstance(value, int) or value.is_integer() else _NOT


def _number(value: Any) -> Any:
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        return int(value) if _INTEGER.fullmatch(value.strip()) else float(value)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else _NOT


def _boolean(value: Any) -> Any:
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower(), _NOT)
    return value if isinstance(value, bool) else _NOT


def _json(kind: type) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                return _NOT
        return value if isinstance(value, kind) else _NOT

    return read


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "string": _string,
    "number": _number,
    "integer": _integer,
    "boolean": _boolean,
    "object": _json(dict),
    "array": _json(list),
}
