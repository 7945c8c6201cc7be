"""Reading of OpenAPI 3.0 and 3.1 descriptions (spec.openapis.org): a step for each operation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from application.importing.model import Body, Call, Draft, Imported
from application.importing.openapi_schema import Specification, type_of
from application.importing.reading import read_document
from application.importing.secrets import Vault
from application.importing.text import Template, compose, each_text, free, member, refer, rendered, slug
from domain.errors import Invalid

Per = Literal["tag", "operation", "file"]

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_ORDER = {"post": 0, "delete": 2}
"""What makes things comes first, what removes them last."""
_PARAMETER = re.compile(r"\{([^{}/]+)\}")
_JSON = re.compile(r"application/(?:[\w.+-]+\+)?json(?:;.*)?", re.IGNORECASE)
_SCHEMAS_LEFT = (
    "schemas of answers, of which only types and required names are asserted (json_schema cannot be called in flows yet)"
)


@dataclass(frozen=True, slots=True)
class _Operation:
    """An operation and what it inherits from its path."""

    path: str
    method: str
    value: dict[str, Any]
    parameters: list[dict[str, Any]]
    shared: dict[str, Any]

    @property
    def name(self) -> str:
        """Its id, else method and path."""
        given = self.value.get("operationId")
        return given if isinstance(given, str) and given.strip() else f"{self.method} {self.path}"


@dataclass(slots=True)
class _Names:
    """The variables of one flow, by what they stand for."""

    draft: Draft
    known: dict[str, str] = field(default_factory=dict)

    def variable(self, what: str, wanted: str, sample: Any) -> str:
        """A variable of `env` with a sample."""
        if what not in self.known:
            name = free(slug(wanted, "value"), [*self.draft.env, *self.draft.given])
            self.known[what] = name
            self.draft.env[name] = sample
        return self.known[what]

    def secret(self, what: str, wanted: str, told: str) -> Template:
        """A variable that must be given from outside."""
        if what not in self.known:
            name = free(slug(wanted, "secret"), [*self.draft.env, *self.draft.given])
            self.known[what] = name
            self.draft.given[name] = told
        return refer(self.known[what])


def read_openapi(data: bytes, name: str, *, per: Per = "tag", keep_secrets: bool = False) -> Imported:
    """Flows by tag, operation or file. Invalid for Swagger 2.0, external references and descriptions without operations."""
    root = _checked(read_document(data, name))
    specification = Specification(root)
    found = Imported()
    title = _text(specification.resolve(root.get("info")).get("title")) or "API"
    drafts: dict[str, tuple[Draft, _Names, list[_Operation]]] = {}
    for operation in _operations(specification, found):
        key = _group(operation, per, title)
        if key not in drafts:
            draft = Draft(
                key if per != "operation" else _title(operation),
                comments=[f"Imported from the OpenAPI description of {title}."],
            )
            draft.tags = [slug(key, "api")] if per == "tag" else []
            drafts[key] = (draft, _Names(draft), [])
        drafts[key][2].append(operation)
    if not drafts:
        raise Invalid("the description has no operations")
    for draft, names, operations in drafts.values():
        operations.sort(key=lambda operation: _ORDER.get(operation.method, 1))
        draft.calls = [_Reader(specification, operation, names, found).call() for operation in operations]
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


def _operations(specification: Specification, found: Imported) -> Iterator[_Operation]:
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
            yield _Operation(str(path), method, value, _parameters(specification, shared, value), shared)
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


def _group(operation: _Operation, per: Per, title: str) -> str:
    if per == "operation":
        return f"{operation.method} {operation.path}"
    if per == "file":
        return title
    tags = operation.value.get("tags")
    return str(tags[0]) if isinstance(tags, list) and tags else (operation.path.strip("/").partition("/")[0] or title)


def _title(operation: _Operation) -> str:
    return _text(operation.value.get("summary")) or operation.name


class _Reader:
    """Makes a request of one operation."""

    def __init__(self, specification: Specification, operation: _Operation, names: _Names, found: Imported) -> None:
        self._specification = specification
        self._operation = operation
        self._names = names
        self._found = found

    def call(self) -> Call:
        """The request with samples for everything that is required."""
        operation = self._operation
        call = Call(operation.method.upper(), "", name=_title(operation), id=slug(operation.name))
        call.url = compose([refer(self._base()), *self._path()])
        optional = []
        for parameter in operation.parameters:
            if parameter.get("in") == "path":
                continue
            if parameter.get("required") is True or "example" in parameter:
                self._parameter(call, parameter)
            else:
                optional.append(f"{_text(parameter.get('name'))} ({_text(parameter.get('in'))})")
        if optional:
            call.comments.append("Optional: " + ", ".join(optional))
        self._security(call)
        self._body(call)
        self._expect(call)
        return call

    def _base(self) -> str:
        for owner in (self._operation.value, self._operation.shared, self._specification.root):
            servers = owner.get("servers")
            if isinstance(servers, list) and servers and isinstance(servers[0], dict):
                url = _server(servers[0])
                if url.startswith(("http://", "https://")):
                    return self._names.variable(f"server {url}", "base_url", url)
                break
        self._names.secret("server", "base_url", "where the API is, such as http://localhost:8080")
        return self._names.known["server"]

    def _path(self) -> list[str]:
        """The path with its parameters as variables."""
        samples = {_text(one.get("name")): one for one in self._operation.parameters if one.get("in") == "path"}
        parts: list[str] = []
        for place, text in enumerate(_PARAMETER.split(self._operation.path)):
            if place % 2 == 0:
                parts.append(text)
                continue
            sample = self._sample(samples.get(text, {}))
            parts.append(refer(self._names.variable(f"path {text}", text, sample)))
        return parts

    def _parameter(self, call: Call, parameter: dict[str, Any]) -> None:
        name, where = _text(parameter.get("name")), parameter.get("in")
        sample = self._sample(parameter)
        values = [_shown(one) for one in (sample if isinstance(sample, list) else [sample])]
        if where == "query":
            call.params += [(name, value) for value in values]
        elif where == "header" and name.lower() not in ("accept", "content-type", "authorization"):
            call.headers.append((name, ",".join(values)))
        elif where == "cookie":
            call.cookies[name] = values[0]

    def _sample(self, holder: dict[str, Any]) -> Any:
        """The example of a parameter or media type, else one made from its schema."""
        if "example" in holder:
            return holder["example"]
        examples = holder.get("examples")
        if isinstance(examples, dict) and examples:
            first = self._specification.resolve(next(iter(examples.values())))
            if "value" in first:
                return first["value"]
        content = holder.get("content")
        if isinstance(content, dict) and content:
            return self._sample(self._specification.resolve(next(iter(content.values()))))
        return self._specification.sample(holder.get("schema"))

    def _security(self, call: Call) -> None:
        wanted = self._operation.value.get("security", self._specification.root.get("security"))
        first = wanted[0] if isinstance(wanted, list) and wanted and isinstance(wanted[0], dict) else {}
        components = self._specification.resolve(self._specification.root.get("components"))
        schemes = self._specification.resolve(components.get("securitySchemes"))
        for name, scopes in first.items():
            self._scheme(call, str(name), self._specification.resolve(schemes.get(name)), scopes)

    def _scheme(self, call: Call, name: str, scheme: dict[str, Any], scopes: Any) -> None:
        kind, http = scheme.get("type"), _text(scheme.get("scheme")).lower()
        secret = self._names.secret
        if kind == "apiKey":
            self._api_key(call, name, scheme)
        elif kind == "http" and http in ("basic", "digest"):
            call.auth = {
                "type": http,
                "username": secret(f"{name} user", "username", f"the user of {name}"),
                "password": secret(f"{name} password", "password", f"the password of {name}"),
            }
        elif kind == "oauth2" and (flow := self._grant(scheme)):
            call.auth = {
                "type": "oauth2",
                "token_url": flow,
                "client_id": secret(f"{name} id", "client_id", f"the client of {name}"),
                "client_secret": secret(f"{name} secret", "client_secret", f"the client's secret of {name}"),
            }
            if isinstance(scopes, list) and scopes:
                call.auth["scope"] = " ".join(map(str, scopes))
        elif kind in ("http", "oauth2", "openIdConnect") and (kind != "http" or http == "bearer"):
            call.auth = {"type": "bearer", "token": secret(f"{name} token", "token", f"a token of {name}")}
        else:
            self._found.left_out["security schemes of other types"] += 1

    def _api_key(self, call: Call, name: str, scheme: dict[str, Any]) -> None:
        key = self._names.secret(f"{name} key", "api_key", f"the key of {name}")
        header, where = _text(scheme.get("name")), scheme.get("in")
        if where == "cookie":
            call.cookies[header] = key
        elif call.auth is None:
            call.auth = {"type": "api_key", "name": header, "in": "query" if where == "query" else "header", "key": key}
        elif where == "query":
            call.params.append((header, key))
        else:
            call.headers.append((header, key))

    def _grant(self, scheme: dict[str, Any]) -> str:
        flows = self._specification.resolve(scheme.get("flows"))
        url = _text(self._specification.resolve(flows.get("clientCredentials")).get("tokenUrl"))
        return url if url.startswith(("http://", "https://")) else ""

    def _body(self, call: Call) -> None:
        body = self._specification.resolve(self._operation.value.get("requestBody"))
        content = body.get("content")
        if not isinstance(content, dict) or not content:
            return
        kind = next((one for one in content if _JSON.fullmatch(str(one))), None)
        kind = kind or next((one for one in content if str(one).startswith(("application/x-www-form", "multipart/form"))), None)
        kind = str(kind or next(iter(content)))
        sample = self._sample(self._specification.resolve(content.get(kind)))
        if _JSON.fullmatch(kind):
            call.body = Body("json", sample)
            if kind.lower() != "application/json":
                call.headers.append(("Content-Type", kind))
        elif kind.startswith("application/x-www-form") and isinstance(sample, dict):
            call.body = Body("form", {str(key): _shown(value) for key, value in sample.items()})
        elif kind.startswith("multipart/form") and isinstance(sample, dict):
            call.body = Body("multipart", [{"name": str(key), "value": _shown(value)} for key, value in sample.items()])
        else:
            if "*" not in kind:
                call.headers.append(("Content-Type", kind))
            call.body = Body("body", _shown(sample))

    def _expect(self, call: Call) -> None:
        """The first of the successful answers, and what its schema says."""
        responses = self._operation.value.get("responses")
        codes = [str(code) for code in responses] if isinstance(responses, dict) else []
        good = next((code for code in sorted(codes) if re.fullmatch(r"2(\d\d|XX)", code.upper())), None)
        if good is None:
            redirect = next((code for code in sorted(codes) if re.fullmatch(r"3\d\d", code)), None)
            call.asserts.append(f"status == {redirect}" if redirect else "status < 400")
            if redirect:
                call.options["follow_redirects"] = False
            return
        call.asserts.append("status >= 200 && status < 300" if good.upper() == "2XX" else f"status == {good}")
        schema = self._schema(responses, good)
        if schema is not None:
            call.asserts += self._specification.outline(schema)
            self._found.left_out[_SCHEMAS_LEFT] += 1

    def _schema(self, responses: Any, code: str) -> Any:
        value = responses.get(code, responses.get(int(code)) if code.isdigit() else None)
        content = self._specification.resolve(value).get("content")
        for kind, media in content.items() if isinstance(content, dict) else ():
            if _JSON.fullmatch(str(kind)):
                return self._specification.resolve(media).get("schema")
        return None

    def made(self) -> Any:
        """The schema of what a successful answer holds, merged."""
        responses = self._operation.value.get("responses")
        codes = [str(code) for code in responses if str(code).startswith("2")] if isinstance(responses, dict) else []
        return self._specification.merged(self._schema(responses, min(codes))) if codes else {}


def _chain(specification: Specification, draft: Draft, operations: list[_Operation], names: _Names) -> None:
    """What a POST makes is what later paths ask for: its id becomes the output that the path parameter reads."""
    for call, operation in zip(draft.calls, operations, strict=True):
        if operation.method != "post":
            continue
        below = re.compile(re.escape(operation.path.rstrip("/")) + r"/\{([^{}/]+)\}(?:/.*)?")
        parameter = next((found[1] for other in operations if (found := below.fullmatch(other.path))), None)
        schema = _Reader(specification, operation, names, Imported()).made()
        properties = schema.get("properties") if type_of(schema) == "object" else None
        if parameter is None or not isinstance(properties, dict):
            continue
        key = next((one for one in (parameter, slug(parameter), "id") if one in properties), None)
        variable = names.known.get(f"path {parameter}")
        if key and variable in draft.env and f"${{{variable}}}" not in call.url:
            del draft.env[variable]
            call.outputs[variable] = member("body", key)


def _server(server: dict[str, Any]) -> str:
    """The URL of a server, with the defaults of its variables."""
    url = _text(server.get("url"))
    variables = server.get("variables") if isinstance(server.get("variables"), dict) else {}
    for name, value in (variables or {}).items():
        url = url.replace(f"{{{name}}}", str(value.get("default", "")) if isinstance(value, dict) else "")
    return url.rstrip("/")


def _shown(value: Any) -> str:
    """A sample as text: JSON for what is no plain text."""
    import json

    if isinstance(value, str):
        return value
    if isinstance(value, dict | list):
        return Template(json.dumps(each_text(value, rendered)))
    return json.dumps(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
