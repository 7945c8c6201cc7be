"""Schemas of OpenAPI: local references, sample values made from a schema, and what answers must hold."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from application.importing.text import member, refer
from domain.errors import Invalid

_DEPTH = 6
_NODES = 400
_FORMATS: dict[str, str] = {
    "date-time": "2024-01-31T12:00:00Z",
    "date": "2024-01-31",
    "time": "12:00:00Z",
    "email": "ada@example.com",
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "byte": "dGVzdA==",
    "binary": "test",
    "password": "password",
}
_TYPE_TESTS = {
    "string": "string",
    "integer": "integer",
    "number": "number",
    "boolean": "boolean",
    "array": "array",
    "object": "object",
}


class Specification:
    """A whole description, with its references followed."""

    def __init__(self, root: dict[str, Any]) -> None:
        self.root = root
        self._left = 0

    def resolve(self, value: Any) -> dict[str, Any]:
        """The object behind references; empty for what is no object. Invalid for references that lead outside or nowhere."""
        seen: set[str] = set()
        while isinstance(value, dict) and isinstance(value.get("$ref"), str):
            reference = value["$ref"]
            if reference in seen:
                raise Invalid(f"the reference {reference} leads to itself")
            seen.add(reference)
            value = {**self._target(reference), **{key: item for key, item in value.items() if key != "$ref"}}
        return value if isinstance(value, dict) else {}

    def _target(self, reference: str) -> dict[str, Any]:
        if not reference.startswith("#"):
            raise Invalid(
                f"the reference {reference[:200]} leads out of this file; only local ones (#/...) are followed",
                remedy="bundle the description into one file first, for instance with `redocly bundle`",
            )
        found: Any = self.root
        for part in reference[1:].split("/")[1:]:
            key = unquote(part).replace("~1", "/").replace("~0", "~")
            found = found.get(key) if isinstance(found, dict) else None
        if not isinstance(found, dict):
            raise Invalid(f"the reference {reference[:200]} leads nowhere")
        return found

    def sample(self, schema: Any) -> Any:
        """A value that the schema allows, as far as its keywords say; examples and defaults win."""
        self._left = _NODES
        return self._sample(schema, 0)

    def _sample(self, schema: Any, depth: int) -> Any:
        self._left -= 1
        schema = self.merged(schema)
        for key in ("const", "example", "default"):
            if key in schema:
                return schema[key]
        for key in ("examples", "enum"):
            if isinstance(schema.get(key), list) and schema[key]:
                return schema[key][0]
        kind = type_of(schema)
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            deep = depth >= _DEPTH or self._left <= 0
            count = max(1, min(_whole(schema.get("minItems"), 1), 10))
            return [] if deep else [self._sample(schema.get("items"), depth + 1) for _ in range(count)]
        return _plain(schema, kind)

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        required = schema.get("required") if isinstance(schema.get("required"), list) else []
        properties = schema.get("properties") if isinstance(schema.get("properties"), dict) else {}
        found: dict[str, Any] = {}
        for name, item in (properties or {}).items():
            if self.merged(item).get("readOnly") is True or self._left <= 0:
                continue
            if depth < _DEPTH and (depth < 2 or name in (required or [])):
                found[str(name)] = self._sample(item, depth + 1)
        return found

    def merged(self, schema: Any, depth: int = 0) -> dict[str, Any]:
        """The schema with its references followed, `allOf` joined, and the first of `oneOf` or `anyOf` chosen."""
        own = self.resolve(schema)
        if depth >= _DEPTH:
            return own
        result = {key: item for key, item in own.items() if key not in ("allOf", "oneOf", "anyOf")}
        parts = [part for part in own.get("allOf", []) if isinstance(part, dict)] if isinstance(own.get("allOf"), list) else []
        for key in ("oneOf", "anyOf"):
            if isinstance(own.get(key), list):
                options = [part for part in own[key] if isinstance(part, dict) and part.get("type") != "null"]
                parts += options[:1]
        for part in parts:
            result = _joined(self.merged(part, depth + 1), result)
        return result

    def outline(self, schema: Any, path: str = "body", depth: int = 0) -> list[str]:
        """Assertions that follow from a schema: the type, and the names that must be there with their types."""
        schema = self.merged(schema)
        kind = type_of(schema)
        if kind not in _TYPE_TESTS or _nullable(schema):
            return []
        found = [f"{path} is {_TYPE_TESTS[kind]}"]
        if kind == "object" and depth < 2 and isinstance(schema.get("properties"), dict):
            listed = schema["required"] if isinstance(schema.get("required"), list) else []
            required = [name for name in listed if isinstance(name, str) and name in schema["properties"]]
            for name in required[:12]:
                inner = self.outline(schema["properties"][name], member(path, name), depth + 1)
                found += (
                    inner or [f"{member(path, name)} exists"] if not _nullable(self.merged(schema["properties"][name])) else []
                )
        return found


def type_of(schema: dict[str, Any]) -> str:
    """The type of a schema, also where only its keywords tell."""
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), None)
    if isinstance(kind, str):
        return kind
    if "properties" in schema or "additionalProperties" in schema:
        return "object"
    return "array" if "items" in schema else ""


def _nullable(schema: dict[str, Any]) -> bool:
    return schema.get("nullable") is True or (isinstance(schema.get("type"), list) and "null" in schema["type"])


def _joined(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    """Two schemas that both hold."""
    result = {**first, **second}
    if isinstance(first.get("properties"), dict) and isinstance(second.get("properties"), dict):
        result["properties"] = {**first["properties"], **second["properties"]}
    if isinstance(first.get("required"), list) and isinstance(second.get("required"), list):
        result["required"] = [*first["required"], *second["required"]]
    return result


def _plain(schema: dict[str, Any], kind: str) -> Any:
    if kind in ("integer", "number"):
        return _number(schema, kind)
    if kind == "boolean":
        return True
    if kind == "null":
        return None
    if schema.get("format") == "uuid":
        return refer("UUID")
    text = _FORMATS.get(str(schema.get("format")), "text")
    least, most = _whole(schema.get("minLength"), 0), _whole(schema.get("maxLength"), 1000)
    if len(text) < least:
        text = (text * (min(least, 1000) // len(text) + 1))[: min(least, 1000)]
    return text[:most] if most < len(text) else text


def _number(schema: dict[str, Any], kind: str) -> int | float:
    """A number between the bounds: 1 where that is allowed."""
    least, above = _bound(schema, "minimum"), _bound(schema, "exclusiveMinimum")
    value: int | float = 1
    if least is not None:
        value = least + 1 if schema.get("exclusiveMinimum") is True else max(1, least)
    elif above is not None:
        value = max(1, above + 1)
    most, step = _bound(schema, "maximum"), _bound(schema, "multipleOf")
    if most is not None and value > most:
        value = most
    if step is not None and step > 0 and value % step:
        value = (int(value // step) + 1) * step
    return int(value) if kind == "integer" or float(value).is_integer() else value


def _bound(schema: dict[str, Any], name: str) -> int | float | None:
    value = schema.get(name)
    fine = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15
    return value if fine else None


def _whole(value: Any, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else default
