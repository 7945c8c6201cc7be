"""OpenAPI 3.1, and a page to read it, made from the table of routes."""

from __future__ import annotations

import re
from dataclasses import fields
from functools import cache
from html import escape
from typing import Any

from interfaces.rest.problems import CONTENT_TYPE
from interfaces.rest.route import Route
from interfaces.rest.shapes import schema

_PROBLEM = {
    "type": "object",
    "required": ["type", "code", "status", "title", "request_id"],
    "properties": {
        "type": {"type": "string"},
        "code": {"type": "string", "description": "Stable; branch on this."},
        "status": {"type": "integer"},
        "title": {"type": "string"},
        "remedy": {"type": "string"},
        "request_id": {"type": "string"},
        "problems": {"type": "array", "items": {"type": "object"}, "description": "Every problem of a flow document."},
    },
}
_REASONS = {
    400: "The body cannot be read.",
    401: "No valid key.",
    403: "The key lacks the scope.",
    404: "Not in this workspace.",
    408: "The body did not arrive in time.",
    409: "The state does not allow it.",
    410: "The position is too old.",
    413: "Too large: the body, a field of it, or the headers (8 KiB).",
    415: "Another content type or encoding.",
    422: "Not valid.",
    429: "Too many executions of the workspace wait; ask again after Retry-After seconds.",
    503: "A server does not answer.",
}


@cache
def document(routes: tuple[Route, ...], version: str) -> dict[str, Any]:
    """The OpenAPI document."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(_path(route.path), {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "TestMesh", "version": version, "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"}},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "bearerFormat": "tmk_..."}},
            "schemas": {"Problem": _PROBLEM},
        },
    }


def _path(path: str) -> str:
    return re.sub(r"<(\w+)>", r"{\1}", path)


def _operation(route: Route) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "parameters": _parameters(route),
        "responses": _responses(route),
        "security": [] if route.access == "anonymous" else [{"key": []}],
    }
    if route.scope:
        made["x-scope"] = route.scope
    if route.body is not None:
        made["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema(route.body)}}}
    return made


def _parameters(route: Route) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"<(\w+)>", route.path)
    ]
    if route.method == "GET" and route.access == "key":
        properties = schema(route.query)["properties"]
        found += [{"name": f.name, "in": "query", "schema": properties[f.name]} for f in fields(route.query)]
    if route.idempotent:
        found.append({"name": "Idempotency-Key", "in": "header", "schema": {"type": "string", "maxLength": 255}})
    return found


def _responses(route: Route) -> dict[str, Any]:
    statuses = {*route.errors, 413}
    if route.access == "key":
        statuses |= {401, 404, 422, 503} | ({403} if route.scope else set()) | ({400, 408, 415} if route.body else set())
    kind = "string" if route.media.startswith("text/") else "object"
    content = {route.media: {"schema": {"type": kind}}}
    found: dict[str, Any] = {str(route.status): {"description": route.summary, "content": content}}
    for status in sorted(statuses):
        problem = {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
        found[str(status)] = {"description": _REASONS[status], "content": problem}
    return found


@cache
def page(routes: tuple[Route, ...], version: str) -> str:
    """The description for people: a table without scripts or foreign resources."""
    rows = "\n".join(
        f"<tr><td><code>{route.method}</code></td><td><code>{escape(_path(route.path))}</code></td>"
        f"<td>{escape(route.summary)}</td><td>{escape(route.scope or route.access)}</td></tr>"
        for route in routes
    )
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>TestMesh API</title><h1>TestMesh API {escape(version)}</h1>"
        "<p>The full description with every field: <a href=openapi.json>openapi.json</a>.</p>"
        f"<table><thead><tr><th>Method<th>Path<th>What it does<th>Needs</tr></thead><tbody>{rows}</tbody></table></html>"
    )
