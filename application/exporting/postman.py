"""Flows as a Postman collection, version 2.1 (schema.getpostman.com): a request for each HTTP step."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from application.actions.http_url import query_pairs
from application.exporting.javascript import set_line, test_lines
from application.exporting.requests import Request, compact, http_steps, json_text, part_text, parts, read_request
from application.exporting.templates import Resolver
from application.importing.text import slug
from domain.definition import FlowDefinition, Step
from domain.errors import Invalid

SCHEMA = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"

_DYNAMIC = {
    "UUID": "$guid", "RANDOM_ID": "$guid", "TIMESTAMP": "$timestamp", "ISO_TIMESTAMP": "$isoTimestamp",
    "RANDOM_INT": "$randomInt",
    "RANDOM_INT % 1001": "$randomInt", "FAKER.first_name": "$randomFirstName", "FAKER.last_name": "$randomLastName",
    "FAKER.name": "$randomFullName", "FAKER.email": "$randomEmail", "FAKER.city": "$randomCity", "FAKER.word": "$randomWord",
    "$uuid": "$guid", "$timestamp": "$timestamp", "$random_int": "$randomInt", "random.uuid": "$guid",
}  # fmt: skip
_STRING = re.compile(r"string\((\w+)\)")
_REFERENCE = re.compile(r"(\{\{[^{}]*\}\})")


def postman_collection(definitions: Sequence[FlowDefinition]) -> tuple[dict[str, Any], Counter[str]]:
    """The collection, a folder for each flow when there are several, and what has no form in Postman, counted."""
    left: Counter[str] = Counter()
    resolver = Resolver({}, _spelling)
    folders = [(definition.name, _items(definition, resolver, left)) for definition in definitions]
    if not any(items for _, items in folders):
        raise Invalid("there is no HTTP step to export")
    items = folders[0][1] if len(folders) == 1 else [{"name": name, "item": inner} for name, inner in folders if inner]
    name = definitions[0].name if len(definitions) == 1 else "Flows of TestMesh"
    variables = {key: value for one in reversed(definitions) for key, value in one.env.items()}
    collection = {"info": {"name": name, "schema": SCHEMA}, "item": items}
    if variables:
        collection["variable"] = [{"key": key, "value": _variable(resolver.value(value))} for key, value in variables.items()]
    return collection, left


def _spelling(expression: str, plain: bool) -> str:
    """`{{name}}`, a dynamic variable, or for other expressions a name made of it."""
    wrapped = _STRING.fullmatch(expression)
    expression = wrapped[1] if wrapped else expression
    if expression in _DYNAMIC:
        return f"{{{{{_DYNAMIC[expression]}}}}}"
    return f"{{{{{expression if plain or wrapped else slug(expression, 'value')}}}}}"


def _variable(value: Any) -> str:
    return value if isinstance(value, str) else compact(value)


def _items(definition: FlowDefinition, resolver: Resolver, left: Counter[str]) -> list[dict[str, Any]]:
    steps, others = http_steps(definition)
    left["steps that are no HTTP requests"] += others
    return [_item(step, resolver, left) for step in steps if not step.disabled]


def _item(step: Step, resolver: Resolver, left: Counter[str]) -> dict[str, Any]:
    request = read_request(step, resolver)
    item: dict[str, Any] = {"name": resolver.text(request.title), "request": _request(request, resolver)}
    script = _script(step, left)
    if script:
        item["event"] = [{"listen": "test", "script": {"type": "text/javascript", "exec": script}}]
    behavior: dict[str, Any] = {}
    for ours, theirs in (
        ("follow_redirects", "followRedirects"),
        ("verify_ssl", "strictSSL"),
        ("max_redirects", "maxRedirects"),
    ):
        if request.config.get(ours) is not None:
            behavior[theirs] = request.config[ours]
    if behavior:
        item["protocolProfileBehavior"] = behavior
    return item


def _request(request: Request, resolver: Resolver) -> dict[str, Any]:
    made: dict[str, Any] = {"method": request.method, "header": _headers(request), "url": _url(request)}
    if request.step.description:
        made["description"] = resolver.text(request.step.description)
    if (auth := _auth(request.config.get("auth"))) is not None:
        made["auth"] = auth
    if (body := _body(request)) is not None:
        made["body"] = body
    return made


def _headers(request: Request) -> list[dict[str, str]]:
    headers = [{"key": name, "value": value} for name, value in request.headers if value is not None]
    cookies = "; ".join(f"{name}={value}" for name, value in query_pairs(request.config.get("cookies")))
    return [*headers, {"key": "Cookie", "value": cookies}] if cookies else headers


def _url(request: Request) -> dict[str, Any]:
    """The URL as it is shown, and its parts as the schema wants them."""
    added = "&".join(f"{_encoded(name)}={_encoded(value)}" for name, value in request.params)
    raw = request.url + (("&" if "?" in request.url else "?") + added if added else "")
    address, _, query = raw.partition("?")
    scheme, mark, rest = address.rpartition("://")
    host, *path = rest.split("/")
    made: dict[str, Any] = {"raw": raw, "host": [host] if host.startswith("{{") else host.split("."), "path": path}
    if mark:
        made["protocol"] = scheme
    name, colon, port = host.rpartition(":")
    if colon and port.isdecimal():
        made |= {"host": name.split("."), "port": port}
    if query:
        pairs = [pair.partition("=") for pair in query.split("&")]
        made["query"] = [{"key": key, "value": value} for key, _, value in pairs]
    return made


def _encoded(text: str) -> str:
    """Percent-encoded, references left alone."""
    return "".join(piece if place % 2 else quote(piece, safe="") for place, piece in enumerate(_REFERENCE.split(text)))


def _auth(auth: Any) -> dict[str, Any] | None:
    if not isinstance(auth, dict):
        return None
    kind = str(auth.get("type", "")).lower()
    given = {key: str(value) for key, value in auth.items() if key != "type" and value is not None}
    if kind == "api_key":
        values = {"key": given.get("name", "X-API-Key"), "value": given.get("key", ""), "in": given.get("in", "header")}
        return _pairs("apikey", values)
    if kind == "oauth2":
        values = {"grant_type": "client_credentials", "accessTokenUrl": given.get("token_url", "")}
        values |= {"clientId": given.get("client_id", ""), "clientSecret": given.get("client_secret", "")}
        return _pairs("oauth2", values | ({"scope": given["scope"]} if "scope" in given else {}))
    return _pairs(kind, given) if kind in ("basic", "bearer", "digest") else None


def _pairs(kind: str, values: dict[str, str]) -> dict[str, Any]:
    return {"type": kind, kind: [{"key": key, "value": value, "type": "string"} for key, value in values.items()]}


def _body(request: Request) -> dict[str, Any] | None:
    config = request.config
    if isinstance(graphql := config.get("graphql"), dict):
        made = {"query": str(graphql.get("query", "")), "variables": compact(graphql.get("variables") or {})}
        if graphql.get("operation_name"):
            made["operationName"] = str(graphql["operation_name"])
        return {"mode": "graphql", "graphql": made}
    if isinstance(config.get("form"), dict):
        return {
            "mode": "urlencoded",
            "urlencoded": [{"key": name, "value": value} for name, value in query_pairs(config["form"])],
        }
    if config.get("multipart") is not None:
        return {"mode": "formdata", "formdata": [_part(part) for part in parts(config["multipart"])]}
    if config.get("body_file") is not None:
        return {"mode": "file", "file": {"src": str(config["body_file"])}}
    json = json_text(request)
    if json is not None:
        return {"mode": "raw", "raw": json, "options": {"raw": {"language": "json"}}}
    text = config.get("form") if config.get("form") is not None else config.get("body")
    return {"mode": "raw", "raw": str(text)} if text is not None else None


def _part(part: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"key": str(part.get("name", "")), "type": "text", "value": part_text(part)}
    file = part.get("file", part.get("filename"))
    if file is not None:
        made = {"key": made["key"], "type": "file", "src": str(file)}
    if part.get("content_type") is not None:
        made["contentType"] = str(part["content_type"])
    return made


def _script(step: Step, left: Counter[str]) -> list[str]:
    lines: list[str] = []
    for check in step.asserts:
        lines += test_lines(check.expression, check.message)
    for kind, checks in (("assert_any", step.assert_any), ("assert_none", step.assert_none)):
        lines += [f"// Not translated, {kind}: {check.expression}" for check in checks]
    lines += [set_line(name, path) for name, path in step.output.items()]
    for key in ("when", "retry", "until"):
        if getattr(step, key) is not None:
            lines.append(f"// Not translated: {key} of the step")
    left["statements, kept as comments"] += sum(line.startswith("// Not translated") for line in lines)
    return [line for text in lines for line in text.split("\n")]
