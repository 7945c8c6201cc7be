"""What a mock server answers: the endpoint that takes a request, the changes of state, the response."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from dataclasses import field
from difflib import SequenceMatcher
from typing import Any

from application.actions.config_values import is_mistake, untrue
from application.actions.http_headers import has, read_headers
from application.actions.http_messages import Pairs
from application.actions.mock_server_endpoints import Endpoint
from application.actions.mock_server_faults import Fault, chosen, is_status
from application.actions.mock_server_match import ANY
from application.actions.mock_server_paths import canonical
from application.actions.mock_server_state import StateError, changed
from application.actions.partial import as_json, missing
from application.engine.action import ActionError, KeptNames
from domain.duration import parse_duration
from domain.expressions import ExpressionError
from domain.limits import Limits
from domain.values import dataclass

_JSON = "application/json"
_TEXT = "text/plain; charset=utf-8"
_LIKENESS, _COMPARED = 80, 50
"""Characters and endpoints that are compared to find the one that was meant: it costs time that other steps need."""
_OTHER_PATH, _OTHER_METHOD, _REFUSED = range(3)
"""How near an endpoint is that does not take a request."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent: after `delay` seconds, unless there is a fault. `endpoint` is None when no endpoint took the request;
    `error` says why a template could not be resolved."""

    status: int
    headers: Pairs = field(default_factory=list)
    content: bytes = b""
    delay: float = 0.0
    fault: Fault | None = None
    endpoint: Endpoint | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    error: str = ""


@dataclass(slots=True)
class _Live:
    """An endpoint with the names of the step that wrote it, and how often it answered."""

    endpoint: Endpoint
    names: KeptNames
    hits: int = 0


class Answers:
    """The endpoints and the state of one mock server. Nothing here waits: one request is answered before the next."""

    def __init__(self, state: Mapping[str, Any], limits: Limits) -> None:
        self._limits = limits
        self._initial = dict(state)
        self._live: list[_Live] = []
        self._uses = 0
        self.state: dict[str, Any] = dict(state)

    @property
    def endpoints(self) -> list[str]:
        """Their titles, in the order in which they are asked."""
        return [live.endpoint.title for live in self._live]

    def put(self, endpoints: Iterable[Endpoint], names: KeptNames) -> None:
        """Add endpoints: each takes the place of those with its id, or with its method and path; others come first."""
        fresh = [_Live(endpoint, names) for endpoint in endpoints]
        for live in fresh:
            self._live = [other for other in self._live if not _replaces(live.endpoint, other.endpoint)]
        if len(fresh) + len(self._live) > self._limits.mock_endpoints:
            raise ActionError("config", f"a mock server has at most {self._limits.mock_endpoints} endpoints")
        self._live = sorted([*fresh, *self._live], key=lambda live: -live.endpoint.priority)

    def reset(self) -> None:
        """The state of the beginning; sequences of responses begin anew."""
        self.state = dict(self._initial)
        for live in self._live:
            live.hits = 0

    def answer(self, request: Mapping[str, Any]) -> Answer:
        """The answer to a request, which is an object as templates see it. The state changes before the response is made."""
        reasons: list[tuple[int, _Live, str]] = []
        path, body = canonical(request["path"]), as_json(request["body"])
        for live in self._live:
            params = live.endpoint.path.match(path)
            seen = {**request, "params": params or {}}
            try:
                weight, why = (_OTHER_PATH, "another path") if params is None else self._refusal(live, seen, body)
            except ExpressionError as error:
                return _told(live.endpoint, seen, f"{error.message} in `{error.text}`")
            if not why:
                return self._take(live, seen)
            reasons.append((weight, live, why))
        return _unmatched(request, reasons)

    def _refusal(self, live: _Live, request: Mapping[str, Any], body: Any) -> tuple[int, str]:
        """How near the endpoint is, and why it does not take a request to its path; no reason when it does."""
        endpoint = live.endpoint
        if endpoint.methods and request["method"] not in endpoint.methods:
            return _OTHER_METHOD, f"its method is {'|'.join(sorted(endpoint.methods))}"
        if endpoint.times is not None and live.hits >= endpoint.times:
            return _REFUSED, f"it answers {endpoint.times} times only"
        try:
            return _REFUSED, self._state_refusal(live, request) or self._match_refusal(live, request, body)
        except ExpressionError as error:
            if is_mistake(error):
                raise
            return _REFUSED, f"{error.message} in `{error.text}`"

    def _state_refusal(self, live: _Live, request: Mapping[str, Any]) -> str:
        wanted = live.endpoint.when_state
        if wanted is None:
            return ""
        if isinstance(wanted, Mapping):
            return missing(self._render(live, wanted, request), self.state, "state")
        return untrue(wanted, lambda text: self._evaluate(live, text, request))

    def _match_refusal(self, live: _Live, request: Mapping[str, Any], body: Any) -> str:
        return live.endpoint.match.refusal(
            request,
            body,
            lambda value: self._render(live, value, request),
            lambda text: self._evaluate(live, text, request),
        )

    def _evaluate(self, live: _Live, text: str, request: Mapping[str, Any]) -> Any:
        self._uses += 1
        return live.names.evaluate(text, {"request": request, "state": self.state}, self._uses)

    def _render(self, live: _Live, value: Any, request: Mapping[str, Any], state: Mapping[str, Any] | None = None) -> Any:
        self._uses += 1
        return live.names.render(value, {"request": request, "state": self.state if state is None else state}, self._uses)

    def _take(self, live: _Live, request: Mapping[str, Any]) -> Answer:
        endpoint = live.endpoint
        response = endpoint.responses[min(live.hits, len(endpoint.responses) - 1)]
        live.hits += 1
        try:
            self.state = changed(
                self.state, endpoint.changes, lambda value, state: self._render(live, value, request, state), self._limits
            )
            fault = chosen(endpoint.fault, self._chance(live, endpoint.fault))
            status, headers, content, delay = _made(self._render(live, response, request))
        except (ExpressionError, ActionError, StateError) as error:
            message = f"{error.message} in `{error.text}`" if isinstance(error, ExpressionError) else str(error)
            return _told(endpoint, request, message)
        if fault is not None and fault.kind == "random_status":
            status = fault.statuses[self._chance(live, fault) % len(fault.statuses)]
            fault = None
        return Answer(status, headers, content, delay, fault, endpoint, request["params"])

    def _chance(self, live: _Live, fault: Fault | None) -> int:
        """A number below a million, the same again under the same seed."""
        if fault is None:
            return 0
        self._uses += 1
        return int(live.names.evaluate("random.int", {}, self._uses))


def _replaces(fresh: Endpoint, old: Endpoint) -> bool:
    return fresh is not old and (fresh.id == old.id or fresh.title == old.title)


def _made(response: Mapping[str, Any]) -> tuple[int, Pairs, bytes, float]:
    """Status, headers, body and seconds of delay. ActionError says what cannot be sent."""
    status = response.get("status", 200)
    status = int(status) if isinstance(status, str) and status.isdecimal() and len(status) == 3 else status
    if not is_status(status):
        raise ActionError("config", f"the status of a response is a number from 200 to 599, not {status!r:.80}")
    headers = read_headers(response.get("headers"), {})
    content, kind = _content(response)
    if kind and not has(headers, "content-type"):
        headers.append(("Content-Type", kind))
    try:
        return status, headers, content, parse_duration(response.get("delay", 0))
    except ValueError as error:
        raise ActionError("config", f"delay: {error}") from None


def _content(response: Mapping[str, Any]) -> tuple[bytes, str]:
    if "base64" in response:
        try:
            return base64.b64decode(str(response["base64"]), validate=True), "application/octet-stream"
        except (binascii.Error, ValueError):
            raise ActionError("config", "base64 of a response cannot be decoded") from None
    if "json" in response:
        return _encoded(response["json"]), _JSON
    body = response.get("text", response.get("body"))
    if body is None:
        return b"", ""
    if isinstance(body, str):
        looks_like_json = "body" in response and isinstance(as_json(body.strip()), dict | list)
        return body.encode("utf-8", "replace"), _JSON if looks_like_json else _TEXT
    return _encoded(body), _JSON


def _encoded(value: Any) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode("utf-8", "replace")
    except (TypeError, ValueError) as error:
        raise ActionError("config", f"the response is not JSON: {error}") from None


def _told(endpoint: Endpoint, request: Mapping[str, Any], message: str) -> Answer:
    """A mistake of the flow: 500, so that the caller does not take it for an answer of the endpoint."""
    told = f"{endpoint.title} cannot be answered: {message}"
    headers = [("Content-Type", _JSON)]
    return Answer(500, headers, _encoded({"error": told}), endpoint=endpoint, params=request["params"], error=told)


def _unmatched(request: Mapping[str, Any], reasons: list[tuple[int, _Live, str]]) -> Answer:
    """404 with the endpoint that was most likely meant."""
    asked = f"{request['method']} {request['path']}"[:500]
    told: dict[str, Any] = {"error": f"no endpoint takes {asked}"}
    if reasons:
        best = max(level for level, _, _ in reasons)
        near = [reason for reason in reasons if reason[0] == best][:_COMPARED]
        weight, live, why = max(near, key=lambda reason: _likeness(asked, reason[1].endpoint))
        if weight == _OTHER_METHOD:
            methods = frozenset[str]().union(*(one.endpoint.methods for _, one, _ in near))
            why = f"its methods are {', '.join(sorted(methods))}"
        told |= {"nearest": live.endpoint.title, "why": why} if weight or _likeness(asked, live.endpoint) > 0.5 else {}
        told["endpoints"] = [reason[1].endpoint.title for reason in reasons][:20]
    return Answer(404, [("Content-Type", _JSON)], _encoded(told))


def _likeness(asked: str, endpoint: Endpoint) -> float:
    method = asked.partition(" ")[0]
    taken = endpoint.methods == ANY or method in endpoint.methods
    shown = f"{method} {endpoint.path.text}" if taken else endpoint.title
    return SequenceMatcher(None, asked[:_LIKENESS], shown[:_LIKENESS], autojunk=False).ratio()
