"""Request bodies and queries: dataclasses that are read from JSON or text, and described as JSON Schema, in one place."""

from __future__ import annotations

import dataclasses
import re
import types
from collections.abc import Mapping
from dataclasses import MISSING, field, fields
from typing import Any, Union, get_args, get_origin, get_type_hints

import orjson

from domain.errors import Invalid, LimitExceeded
from domain.limits import LIMITS

_WHOLE = re.compile(r"-?[0-9]{1,18}")
_BOUNDS = {
    "string": ("minLength", "maxLength"),
    "integer": ("minimum", "maximum"),
    "array": ("minItems", "maxItems"),
    "object": ("minProperties", "maxProperties"),
}
"""The words of JSON Schema for the least and the most of a type."""


def value(
    default: Any = MISSING,
    *,
    about: str = "",
    most: int | None = None,
    choices: tuple[str, ...] = (),
    least: int = 0,
    each: int | None = None,
) -> Any:
    """A field with its bounds: `most` characters, items or (for numbers) size, `each` characters of a list's item;
    `choices` are all that is allowed."""
    metadata = {"about": about, "most": most, "least": least, "choices": choices, "each": each}
    if isinstance(default, dict | list):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def read_json(body: bytes) -> Any:
    """JSON within the limits of depth; Invalid for anything else (NaN, lone surrogates and NUL included)."""
    if not body.strip():
        raise Invalid("the request needs a JSON body", code="invalid_body")
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Invalid(f"the body is not JSON: {error}", code="invalid_body") from error
    _check(data, 0)
    return data


def _check(data: Any, depth: int) -> None:
    if depth > LIMITS.json_depth:
        raise Invalid(f"the body is nested more than {LIMITS.json_depth} deep", code="invalid_body")
    if isinstance(data, str) and "\x00" in data:
        raise Invalid("the body has a NUL character, which cannot be stored", code="invalid_body")
    if isinstance(data, dict):
        for key, item in data.items():
            _check(key, depth)
            _check(item, depth + 1)
    elif isinstance(data, list):
        for item in data:
            _check(item, depth + 1)


def build(cls: type[Any], data: Any, where: str = "") -> Any:
    """An instance of the dataclass. Invalid names the field that is wrong, missing or unknown."""
    if not isinstance(data, Mapping):
        raise Invalid(f"{where or 'the body'} must be an object", code="invalid_body")
    hints = get_type_hints(cls)
    known = {f.name: f for f in fields(cls)}
    unknown = sorted(set(data) - set(known))
    if unknown:
        raise Invalid(
            f"{_at(where, unknown[0])} is not known", code="unknown_field", remedy=f"fields: {', '.join(known) or 'none'}"
        )
    values = {}
    for name, f in known.items():
        if name in data:
            values[name] = _typed(hints[name], data[name], f.metadata, _at(where, name))
        elif f.default is MISSING and f.default_factory is MISSING:
            raise Invalid(f"{_at(where, name)} is missing", code="missing_field")
    return cls(**values)


def build_query(cls: type[Any], query: Mapping[str, str]) -> Any:
    """As `build`, from the text of a URL's query."""
    hints = get_type_hints(cls)
    data: dict[str, Any] = dict(query)
    if any("\x00" in text for text in query.values()):
        raise Invalid("the query has a NUL character, which no text here has", code="invalid_query")
    for name in data:
        kind = _bare(hints[name])[0] if name in hints else str
        if kind is int:
            data[name] = _number(name, data[name])
        elif kind is bool:
            data[name] = _truth(name, data[name])
    try:
        return build(cls, data, "query")
    except LimitExceeded as error:
        raise Invalid(error.message, code="invalid_query") from error


def _number(name: str, text: str) -> int:
    if not _WHOLE.fullmatch(text):
        raise Invalid(f"query.{name} must be a whole number", code="invalid_query")
    return int(text)


def _truth(name: str, text: str) -> bool:
    if text not in ("true", "false"):
        raise Invalid(f"query.{name} must be true or false", code="invalid_query")
    return text == "true"


def _bare(hint: Any) -> tuple[Any, bool]:
    """The type without None, and whether None is allowed."""
    if get_origin(hint) in (Union, types.UnionType):
        inner = [part for part in get_args(hint) if part is not type(None)]
        return inner[0], len(inner) < len(get_args(hint))
    return hint, False


def _typed(hint: Any, data: Any, metadata: Mapping[str, Any], where: str) -> Any:
    kind, optional = _bare(hint)
    if data is None and optional:
        return None
    if dataclasses.is_dataclass(kind):
        return build(kind, data, where)  # type: ignore[arg-type]
    origin = get_origin(kind) or kind
    if origin is list:
        return _items(get_args(kind)[0], data, metadata, where)
    words = {str: "text", int: "a whole number", bool: "true or false", dict: "an object"}
    if origin is Any:
        return data
    if not isinstance(data, origin) or (origin is int and isinstance(data, bool)):
        raise Invalid(f"{where} must be {words[origin]}", code="invalid_field")
    _bounded(data, metadata, where)
    return data


def _items(kind: Any, data: Any, metadata: Mapping[str, Any], where: str) -> list[Any]:
    if not isinstance(data, list):
        raise Invalid(f"{where} must be a list", code="invalid_field")
    _bounded(data, {**metadata, "choices": ()}, where)
    inner = _inner(metadata)
    return [_typed(kind, item, inner, f"{where}[{number}]") for number, item in enumerate(data)]


def _inner(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The bounds of a list's items."""
    return {"choices": metadata.get("choices", ()), "most": metadata.get("each")}


def _bounded(data: Any, metadata: Mapping[str, Any], where: str) -> None:
    choices, most, least = metadata.get("choices"), metadata.get("most"), metadata.get("least", 0)
    if choices and data not in choices:
        raise Invalid(f"{where} must be one of {', '.join(choices)}", code="invalid_field")
    size = data if isinstance(data, int) and not isinstance(data, bool) else len(data) if hasattr(data, "__len__") else 0
    if most is not None and size > most:
        if isinstance(data, int):
            raise Invalid(f"{where} may be {most} at most", code="invalid_field")
        raise LimitExceeded(f"{where} may have {most} {'characters' if isinstance(data, str) else 'items'} at most")
    if size < least:
        raise Invalid(
            f"{where} must be {least} at least" if isinstance(data, int) else f"{where} is empty", code="invalid_field"
        )


def _at(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def schema(cls: type[Any]) -> dict[str, Any]:
    """The JSON Schema (2020-12) of the dataclass."""
    hints = get_type_hints(cls)
    properties, required = {}, []
    for f in fields(cls):
        properties[f.name] = _schema_of(hints[f.name], f.metadata)
        if f.default is MISSING and f.default_factory is MISSING:
            required.append(f.name)
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _schema_of(hint: Any, metadata: Mapping[str, Any]) -> dict[str, Any]:
    kind, optional = _bare(hint)
    made: dict[str, Any]
    if dataclasses.is_dataclass(kind):
        made = schema(kind)  # type: ignore[arg-type]
    elif get_origin(kind) is list:
        made = {"type": "array", "items": _schema_of(get_args(kind)[0], _inner(metadata))}
        _schema_bounds(made, {**metadata, "choices": ()})
    else:
        names = {str: "string", int: "integer", bool: "boolean"}
        origin = get_origin(kind) or kind
        made = {} if origin is Any else {"type": names.get(origin, "object")}
        _schema_bounds(made, metadata)
    if optional and "type" in made:
        made["type"] = [made["type"], "null"]
    if metadata.get("about"):
        made["description"] = metadata["about"]
    return made


def _schema_bounds(made: dict[str, Any], metadata: Mapping[str, Any]) -> None:
    if metadata.get("choices"):
        made["enum"] = list(metadata["choices"])
    most, least = metadata.get("most"), metadata.get("least")
    names = _BOUNDS.get(made.get("type", ""))
    if names and most is not None:
        made[names[1]] = most
    if names and least:
        made[names[0]] = least
