"""Reads Pact contracts (versions 2, 3 and 4) into plain values: interactions over HTTP, each a request and its response."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Any, Literal
from urllib.parse import parse_qsl

from application.actions.pact_errors import contract_error
from application.actions.pact_rules import Rules, read_rules
from domain.values import dataclass

_JSON = re.compile(r"\s*[a-z0-9.!#$&^_-]+/(?:[a-z0-9.!#$&^_-]+\+)?json\s*(?:;|$)", re.IGNORECASE)
_HTTP = "Synchronous/HTTP"
_MOST = 1_000

BodyKind = Literal["missing", "null", "json", "text", "binary"]


@dataclass(frozen=True, slots=True)
class State:
    """What the provider must be in before the request."""

    name: str
    params: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Body:
    """A body by its kind: a JSON value, a text, or bytes."""

    kind: BodyKind = "missing"
    value: Any = None
    content_type: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """What the consumer sends; header values are joined, query values are lists."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, list[str]]
    body: Body


@dataclass(frozen=True, slots=True)
class Response:
    """What the consumer needs to get, and the rules by which it is looked at."""

    status: int | None
    headers: Mapping[str, list[str]]
    body: Body
    rules: Rules


@dataclass(frozen=True, slots=True)
class Interaction:
    """One request with its response. `pending`: it may fail without consequence (version 4)."""

    description: str
    states: tuple[State, ...]
    request: Request
    response: Response
    pending: bool = False
    generators: Any = None
    """What of the request is made anew when it is sent, as it is written."""

    @property
    def title(self) -> str:
        """Its description and states, for people."""
        given = " and ".join(state.name for state in self.states)
        return f"{self.description} (given {given})" if given else self.description


@dataclass(frozen=True, slots=True)
class Contract:
    """Who depends on whom, and every interaction as it is written; each is read when it is asked for."""

    consumer: str
    provider: str
    written: tuple[Mapping[str, Any], ...]

    def interactions(self) -> Iterator[tuple[str, tuple[State, ...], Mapping[str, Any]]]:
        """Description, states, and what is to be read."""
        for item in self.written:
            yield _text(item.get("description"), "the description of an interaction"), tuple(_states(item)), item


def read_contract(value: Any) -> Contract:
    """The contract of a Pact file's value. ActionError `config` says what cannot be read."""
    if not isinstance(value, Mapping):
        raise contract_error("it must be an object, or the text of one in JSON")
    major = _version(value.get("metadata"))
    if major not in (None, 1, 2, 3, 4):
        raise contract_error(f"version {major} of the Pact specification is not supported", "known are 2, 3 and 4")
    written = [*_items(value, "interactions"), *({**item, "type": "message"} for item in _items(value, "messages"))]
    if not written:
        raise contract_error("it has no interactions")
    if len(written) > _MOST:
        raise contract_error(f"it has more than {_MOST:,} interactions")
    return Contract(_party(value, "consumer"), _party(value, "provider"), tuple(written))


def read_interaction(item: Mapping[str, Any]) -> Interaction:
    """One interaction. ActionError `config` for messages, plugins, and what else is not supported."""
    description, states = _text(item.get("description"), "the description of an interaction"), tuple(_states(item))
    kind = item.get("type", _HTTP)
    if kind != _HTTP:
        hint = "choose those over HTTP by description or state"
        raise contract_error(f"{description!r} is of the type {str(kind)[:40]}; only {_HTTP} can be verified", hint)
    if item.get("pluginConfiguration"):
        raise contract_error(f"{description!r} needs a plugin of Pact, which is not supported")
    request, response = item.get("request"), item.get("response")
    if not isinstance(request, Mapping) or not isinstance(response, Mapping):
        raise contract_error(f"{description!r} must have a request and a response")
    return Interaction(
        description,
        states,
        _request(request, "type" in item),
        Response(_status(response), *_head(response, "type" in item), read_rules(response.get("matchingRules"))),
        pending=item.get("pending") is True,
        generators=request.get("generators"),
    )


def is_json(content_type: str) -> bool:
    """Whether a content type says JSON."""
    return _JSON.match(content_type) is not None


def values_of(headers: Mapping[str, list[str]], name: str) -> list[str] | None:
    """The values of a header, whose name counts in any case."""
    return next((values for key, values in headers.items() if key.lower() == name.lower()), None)


def _request(given: Mapping[str, Any], four: bool) -> Request:
    path = given.get("path", "/")
    if not isinstance(path, str) or not path.startswith("/"):
        raise contract_error(f"the path of a request begins with /, not {path!r:.80}")
    return Request(
        _text(given.get("method", "GET"), "the method").upper(), path, _query(given.get("query")), *_head(given, four)
    )


def _head(given: Mapping[str, Any], four: bool) -> tuple[Mapping[str, list[str]], Body]:
    headers = _values(given.get("headers"), "headers")
    return headers, _body(given, "".join((values_of(headers, "content-type") or [""])[:1]), four)


def _body(given: Mapping[str, Any], content_type: str, four: bool) -> Body:
    """Version 4, whose interactions have a type, writes {content, contentType, encoded}, the others the value itself."""
    if "body" not in given:
        return Body()
    value, encoded = given["body"], False
    if four and isinstance(value, Mapping):
        if "content" not in value:
            return Body()
        content_type = content_type or str(value.get("contentType") or "")
        value, encoded = value["content"], value.get("encoded", False)
    if value is None:
        return Body("null", None, content_type)
    if isinstance(encoded, str) and encoded.lower() == "json":
        return Body("json", _json(str(value)), content_type or "application/json")
    if encoded in (True, "base64"):
        return _decoded(value, content_type)
    if not isinstance(value, str):
        return Body("json", value, content_type or "application/json")
    return Body("json", _json(value), content_type) if is_json(content_type) else Body("text", value, content_type)


def _decoded(value: Any, content_type: str) -> Body:
    try:
        data = base64.b64decode(str(value), validate=True)
    except (binascii.Error, ValueError):
        raise contract_error("a body is not base64") from None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return Body("binary", data, content_type)
    return Body("json", _json(text), content_type) if is_json(content_type) else Body("text", text, content_type)


def _json(text: str) -> Any:
    """JSON in a text is what it says; any other text is a JSON string."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _status(response: Mapping[str, Any]) -> int | None:
    status = response.get("status")
    if status is None:
        return None
    if isinstance(status, str) and status.isdecimal() and len(status) == 3:
        return int(status)
    if isinstance(status, bool) or not isinstance(status, int) or not 100 <= status <= 999:
        raise contract_error(f"not a status code: {status!r:.40}")
    return status


def _query(given: Any) -> Mapping[str, list[str]]:
    if not isinstance(given, str):
        return _values(given, "query")
    values: dict[str, list[str]] = {}
    for name, value in parse_qsl(given, keep_blank_values=True, max_num_fields=1000):
        values.setdefault(name, []).append(value)
    return values


def _values(given: Any, what: str) -> dict[str, list[str]]:
    """Names and their values, which are texts or lists of them."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise contract_error(f"{what} must be an object of names and values")
    made = {}
    for name, value in given.items():
        items = value if isinstance(value, list) else [value]
        if any(isinstance(item, Mapping | list) for item in items):
            raise contract_error(f"{what}: the value of {name!r:.80} must be text or a list of texts")
        made[str(name)] = [item if isinstance(item, str) else json.dumps(item) for item in items if item is not None]
    return made


def _states(item: Mapping[str, Any]) -> Iterator[State]:
    given = item.get("providerStates", item.get("providerState"))
    for state in given if isinstance(given, list) else [given]:
        if isinstance(state, str):
            yield State(state)
        elif isinstance(state, Mapping):
            params = state.get("params")
            yield State(_text(state.get("name"), "the name of a provider state"), params if isinstance(params, Mapping) else {})


def _items(value: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    items = value.get(name, [])
    if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
        raise contract_error(f"{name} must be a list of objects")
    return items


def _party(value: Mapping[str, Any], name: str) -> str:
    party = value.get(name)
    return _text(party.get("name") if isinstance(party, Mapping) else party, f"the name of the {name}")


def _version(metadata: Any) -> int | None:
    if not isinstance(metadata, Mapping):
        return None
    for key in ("pactSpecification", "pact-specification", "pactSpecificationVersion"):
        given = metadata.get(key)
        text = str(given.get("version", "") if isinstance(given, Mapping) else given or "")
        if text:
            return int(text.split(".")[0]) if text.split(".")[0].isdecimal() and len(text) < 20 else 0
    return None


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str) or not value:
        raise contract_error(f"{what} is missing")
    return value
