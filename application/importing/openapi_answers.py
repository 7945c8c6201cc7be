"""Schemas of answers in an OpenAPI description as JSON Schemas (2020-12) that stand by themselves in a flow."""

from __future__ import annotations

import json
import re
from typing import Any

from application.importing.model import Draft
from application.importing.openapi_schema import Specification
from application.importing.reading import measure
from application.importing.text import free, slug
from domain.errors import Invalid
from domain.expressions import ExpressionError, Scope, evaluate

_NODES = 400
_DEPTH = 30
_BYTES = 64 * 1024
"""JSON of all schemas that one flow holds."""
_COMPONENT = re.compile(r"#/components/schemas/([^/]+)")
_LISTED = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_NAMED = frozenset({"properties", "patternProperties", "dependentSchemas"})
_NESTED = frozenset(
    {"items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames", "unevaluatedProperties"}
    | {"unevaluatedItems"}
)
_PLAIN = frozenset(
    {"type", "enum", "const", "required", "format", "pattern", "minLength", "maxLength", "minimum", "maximum", "multipleOf"}
    | {"exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties"}
    | {"dependentRequired", "minContains", "maxContains"}
)
"""What a schema demands; examples, descriptions and the like are left out."""


class AnswerSchemas:
    """The schemas of one flow, kept in its `env`."""

    def __init__(self, specification: Specification, draft: Draft) -> None:
        self._specification = specification
        self._draft = draft
        self._names: dict[str, str] = {}
        self._bytes = 0

    def checks(self, schema: Any, wanted: str) -> list[str] | None:
        """The assertions that a body fits a schema; None for one that is too large, or that says what cannot be checked.
        `wanted` is the name of the operation, for want of a better one."""
        if isinstance(schema, dict) and schema.get("type") == "array" and set(schema) <= {"type", "items", "description"}:
            items = schema.get("items")
            one = self._variable(items, wanted) if isinstance(items, dict) and "$ref" in items else None
            if one is not None:
                return ["body is array", f"all(body, json_schema(#, {one}))"]
        variable = self._variable(schema, wanted)
        return [f"json_schema(body, {variable})"] if variable is not None else None

    def _variable(self, schema: Any, wanted: str) -> str | None:
        """The variable that holds a schema; equal ones share it."""
        made = _Copy(self._specification).whole(schema)
        if made is None:
            return None
        text = json.dumps(made, sort_keys=True)
        if text not in self._names:
            if self._bytes + len(text) > _BYTES or not _usable(made):
                return None
            self._bytes += len(text)
            component = _COMPONENT.fullmatch(str(schema.get("$ref", "")))
            taken = [*self._draft.env, *self._draft.given]
            name = free(f"{slug(component[1] if component else wanted, 'answer')}_schema", taken)
            self._draft.env[name] = made
            self._names[text] = name
        return self._names[text]


class _Copy:
    """One schema with the components that it refers to."""

    def __init__(self, specification: Specification) -> None:
        self._specification = specification
        self._old = str(specification.root.get("openapi", "")).startswith("3.0")
        self._definitions: dict[str, Any] = {}
        self._names: dict[str, str] = {}

    def whole(self, schema: Any) -> dict[str, Any] | None:
        """The schema with its definitions; None when it is too large, demands nothing or refers to more than components."""
        try:
            made = self._schema(schema)
        except (_Unfit, Invalid, RecursionError):
            return None
        reference = _definition(made) if isinstance(made, dict) else None
        if reference is not None and not any(_refers(one, reference) for one in self._definitions.values()):
            made = self._definitions.pop(reference)
        if not isinstance(made, dict) or not made:
            return None
        made = {**made, "$defs": self._definitions} if self._definitions else made
        depth, nodes = measure(made, _NODES)
        return made if nodes <= _NODES and depth <= _DEPTH else None

    def _schema(self, schema: Any) -> Any:
        if isinstance(schema, bool):
            return schema
        if not isinstance(schema, dict):
            raise _Unfit
        made: dict[str, Any] = {}
        if "$ref" in schema:
            made["$ref"] = self._reference(schema["$ref"])
            if self._old:
                return made
        for key, value in schema.items():
            if key in _PLAIN:
                made[key] = value
            elif key in _NESTED:
                made[key] = self._schema(value)
            elif key in _LISTED and isinstance(value, list):
                made[key] = [self._schema(one) for one in value]
            elif key in _NAMED and isinstance(value, dict):
                made[key] = {str(name): self._schema(one) for name, one in value.items()}
        self._required(made, schema)
        return _of_version_3_0(made, schema) if self._old else made

    def _required(self, made: dict[str, Any], schema: dict[str, Any]) -> None:
        """What only requests hold is not required of answers."""
        properties = schema.get("properties")
        if isinstance(made.get("required"), list) and isinstance(properties, dict):
            made["required"] = [
                name for name in made["required"] if isinstance(name, str) and not self._write_only(properties.get(name))
            ]

    def _write_only(self, schema: Any) -> bool:
        return isinstance(schema, dict) and self._specification.resolve(schema).get("writeOnly") is True

    def _reference(self, reference: Any) -> str:
        match = _COMPONENT.fullmatch(str(reference))
        if match is None or len(self._definitions) > _NODES:
            raise _Unfit
        name = slug(match[1], "schema")
        if match[1] not in self._names:
            self._names[match[1]] = free(name, self._names.values())
            name = self._names[match[1]]
            self._definitions[name] = {}
            self._definitions[name] = self._schema(self._specification.resolve({"$ref": reference}))
        return f"#/$defs/{self._names[match[1]]}"


class _Unfit(ValueError):
    """A schema that cannot stand by itself."""


def _of_version_3_0(made: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """`nullable` and exclusive bounds as 2020-12 writes them."""
    if schema.get("nullable") is True and isinstance(made.get("type"), str):
        made["type"] = [made["type"], "null"]
        if isinstance(made.get("enum"), list) and None not in made["enum"]:
            made["enum"] = [*made["enum"], None]
    for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if made.pop(exclusive, None) is True and bound in made:
            made[exclusive] = made.pop(bound)
    return made


def _definition(schema: dict[str, Any]) -> str | None:
    """The definition that a schema consists of."""
    return schema["$ref"].removeprefix("#/$defs/") if list(schema) == ["$ref"] else None


def _refers(schema: Any, name: str) -> bool:
    return f'"#/$defs/{name}"' in json.dumps(schema)


def _usable(schema: dict[str, Any]) -> bool:
    """Whether the language can check with it: patterns may ask for more than it has."""
    try:
        evaluate("json_schema(null, schema)", Scope({"schema": schema}))
    except ExpressionError:
        return False
    return True
