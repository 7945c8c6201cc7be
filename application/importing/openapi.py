"""Reading of OpenAPI 3.0 and 3.1 descriptions (spec.openapis.org): a step for each operation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal

from application.importing.model import Draft, Imported
from application.importing.openapi_answers import AnswerSchemas
from application.importing.openapi_operation import Names, Operation, OperationReader, made, title_of
from application.importing.openapi_schema import Specification, type_of
from application.importing.reading import read_document
from application.importing.secrets import Vault
from application.importing.text import member, slug
from domain.errors import Invalid

Per = Literal["tag", "operation", "file"]

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_ORDER = {"post": 0, "delete": 2}
"""What makes things comes first, what removes them last."""


def read_openapi(data: bytes, name: str, *, per: Per = "tag", keep_secrets: bool = False) -> Imported:
    """Flows by tag, operation or file. Invalid for Swagger 2.0, external references and descriptions without operations."""
    root = _checked(read_document(data, name))
    specification = Specification(root)
    found = Imported()
    title = _text(specification.resolve(root.get("info")).get("title")) or "API"
    drafts: dict[str, tuple[Draft, Names, list[Operation]]] = {}
    shared: dict[str, str] = {}
    for operation in _operations(specification, found):
        key = _group(operation, per, title)
        if key not in drafts:
            draft = Draft(
                key if per != "operation" else title_of(operation),
                comments=[f"Imported from the OpenAPI description of {title}."],
            )
            draft.tags = [slug(key, "api")] if per == "tag" else []
            drafts[key] = (draft, Names(draft, shared), [])
        drafts[key][2].append(operation)
    if not drafts:
        raise Invalid("the description has no operations")
    for draft, names, operations in drafts.values():
        operations.sort(key=lambda operation: _ORDER.get(operation.method, 1))
        answers = AnswerSchemas(specification, draft)
        draft.calls = [OperationReader(specification, operation, names, found, answers).call() for operation in operations]
        _chain(specification, draft, operations, names)
        vault = Vault(draft, keep_secrets)
        for call in draft.calls:
            vault.call(call)
        found.drafts.append(draft)
    found.limit_calls()
    return found


def _checked(root: Any) -> dict[str, Any]:
    if isinstance(root, dict) and "swagger" in root:
        raise Invalid(
            "this is Swagger 2.0; OpenAPI 3.0 and 3.1 are read", remedy="convert it first, for instance with swagger2openapi"
        )
    version = str(root.get("openapi", "")) if isinstance(root, dict) else ""
    if not version.startswith(("3.0", "3.1")):
        told = f"OpenAPI {version[:20]}" if version else "no OpenAPI description: it has no key openapi"
        raise Invalid(f"this is {told}; versions 3.0 and 3.1 are read")
    found: dict[str, Any] = root
    return found


def _operations(specification: Specification, found: Imported) -> Iterator[Operation]:
    paths = specification.root.get("paths")
    for path, item in paths.items() if isinstance(paths, dict) else ():
        shared = specification.resolve(item)
        for method in _METHODS:
            value = shared.get(method)
            if not isinstance(value, dict):
                continue
            if value.get("deprecated") is True:
                found.left_out["deprecated operations"] += 1
                continue
            yield Operation(str(path), method, value, _parameters(specification, shared, value), shared)
            found.left_out["callbacks"] += len(value["callbacks"]) if isinstance(value.get("callbacks"), dict) else 0
    hooks = specification.root.get("webhooks")
    found.left_out["webhooks"] += len(hooks) if isinstance(hooks, dict) else 0


def _parameters(specification: Specification, *owners: dict[str, Any]) -> list[dict[str, Any]]:
    """Those of the path, replaced by those of the operation with the same name and place."""
    merged: dict[tuple[str, str], dict[str, Any]] = {}
    for owner in owners:
        listed = owner.get("parameters")
        for given in listed if isinstance(listed, list) else []:
            parameter = specification.resolve(given)
            merged[(_text(parameter.get("name")), _text(parameter.get("in")))] = parameter
    return list(merged.values())


def _group(operation: Operation, per: Per, title: str) -> str:
    if per == "operation":
        return f"{operation.method} {operation.path}"
    if per == "file":
        return title
    tags = operation.value.get("tags")
    return str(tags[0]) if isinstance(tags, list) and tags else (operation.path.strip("/").partition("/")[0] or title)


def _chain(specification: Specification, draft: Draft, operations: list[Operation], names: Names) -> None:
    """What a POST makes is what later paths ask for: its id becomes the output that the path parameter reads."""
    for call, operation in zip(draft.calls, operations, strict=True):
        if operation.method != "post":
            continue
        below = re.compile(re.escape(operation.path.rstrip("/")) + r"/\{([^{}/]+)\}(?:/.*)?")
        parameter = next((found[1] for other in operations if (found := below.fullmatch(other.path))), None)
        schema = made(specification, operation)
        properties = schema.get("properties") if type_of(schema) == "object" else None
        if parameter is None or not isinstance(properties, dict):
            continue
        key = next((one for one in (parameter, slug(parameter), "id") if one in properties), None)
        variable = names.known.get(f"path {parameter}")
        if key and variable in draft.env and f"${{{variable}}}" not in call.url:
            del draft.env[variable]
            call.outputs[variable] = member("body", key)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
