"""One operation of an OpenAPI description as a request, with samples for everything that it needs."""

from __future__ import annotations

import re
from dataclasses import field
from typing import Any

from application.importing.model import Body, Call, Draft, Imported
from application.importing.openapi_answers import AnswerSchemas
from application.importing.openapi_schema import Specification
from application.importing.text import Template, compose, each_text, free, refer, rendered, slug
from domain.values import dataclass

_PARAMETER = re.compile(r"\{([^{}/]+)\}")
_JSON = re.compile(r"application/(?:[\w.+-]+\+)?json(?:;.*)?", re.IGNORECASE)
_SCHEMAS_LEFT = "schemas of answers that are too large or cannot be checked, of which types and required names are asserted"


@dataclass(frozen=True, slots=True)
class Operation:
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
class Names:
    """The variables of one flow, by what they stand for; `shared` are the credentials of all flows, so that two never have one
    name."""

    draft: Draft
    shared: dict[str, str] = field(default_factory=dict)
    known: dict[str, str] = field(default_factory=dict)

    def variable(self, what: str, wanted: str, sample: Any) -> str:
        """A variable of `env` with a sample."""
        if what not in self.known:
            name = free(slug(wanted, "value"), [*self.draft.env, *self.draft.given, *self.shared.values()])
            self.known[what] = name
            self.draft.env[name] = sample
        return self.known[what]

    def secret(self, what: str, wanted: str, told: str) -> Template:
        """A variable that must be given from outside."""
        if what not in self.known:
            if what not in self.shared:
                self.shared[what] = free(slug(wanted, "secret"), [*self.draft.env, *self.draft.given, *self.shared.values()])
            self.known[what] = self.shared[what]
            self.draft.given[self.known[what]] = told
        return refer(self.known[what])


def title_of(operation: Operation) -> str:
    """What people call an operation."""
    return _text(operation.value.get("summary")) or operation.name


class OperationReader:
    """Makes a request of one operation."""

    def __init__(
        self, specification: Specification, operation: Operation, names: Names, found: Imported, answers: AnswerSchemas
    ) -> None:
        self._specification = specification
        self._answers = answers
        self._operation = operation
        self._names = names
        self._found = found

    def call(self) -> Call:
        """The request with samples for everything that is required."""
        operation = self._operation
        call = Call(operation.method.upper(), "", name=title_of(operation), id=slug(operation.name))
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
        schema = _schema(self._specification, responses, good)
        if schema is not None:
            self._fits(call, schema)

    def _fits(self, call: Call, schema: Any) -> None:
        """The whole schema, or what it says in a few assertions."""
        checks = self._answers.checks(schema, self._operation.name)
        if checks is not None:
            call.asserts += checks
            return
        call.asserts += self._specification.outline(schema)
        self._found.left_out[_SCHEMAS_LEFT] += 1


def made(specification: Specification, operation: Operation) -> Any:
    """The schema of what a successful answer holds, merged."""
    responses = operation.value.get("responses")
    codes = [str(code) for code in responses if str(code).startswith("2")] if isinstance(responses, dict) else []
    return specification.merged(_schema(specification, responses, min(codes))) if codes else {}


def _schema(specification: Specification, responses: Any, code: str) -> Any:
    value = responses.get(code, responses.get(int(code)) if code.isdigit() else None)
    content = specification.resolve(value).get("content")
    for kind, media in content.items() if isinstance(content, dict) else ():
        if _JSON.fullmatch(str(kind)):
            return specification.resolve(media).get("schema")
    return None


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
