"""Interactions out of what HTTP steps of this attempt sent and received."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from application.actions.pact_contract import is_json
from application.actions.pact_writing import Exactly
from application.engine.action import ActionContext, ActionError
from domain.expressions.errors import did_you_mean
from domain.masking import MASKED

_KEYS = ("step", "description", "provider_states", "given")
_ANY = ("", "*/*")


def recorded(given: Any, context: ActionContext, headers: frozenset[str], *, by_type: bool) -> dict[str, Any]:
    """The interaction of a step, given by its id or as {step, description, given}. Of the headers only Content-Type, Accept
    and those named (in lower case) are kept, and none that carries credentials."""
    item = {"step": given} if isinstance(given, str) else given
    if not isinstance(item, Mapping) or not isinstance(item.get("step"), str) or item.keys() - set(_KEYS):
        raise ActionError("config", f"from_steps has ids of steps, or objects of {', '.join(_KEYS)}")
    step = item["step"]
    exchange = _exchange(step, context)
    request, result = exchange["request"], exchange["result"]
    told = {name: item[name] for name in ("provider_states", "given") if name in item}
    return {
        "description": item.get("description", step),
        **told,
        "request": _request(request, headers, f"the request of {step}", context),
        "response": _response(result, headers, f"the answer of {step}", by_type),
    }


def _exchange(step: str, context: ActionContext) -> Mapping[str, Any]:
    found = context.exchanges.get(step)
    if found is None:
        known = list(context.exchanges)
        hint = did_you_mean(step, known) or "name an http_request step that has run in this attempt"
        raise ActionError("config", f"from_steps: the step {step[:80]!r} has sent nothing", hint=hint)
    result, request = found.get("result"), found.get("request")
    if not isinstance(request, Mapping) or "url" not in request or not isinstance(result, Mapping) or "status" not in result:
        raise ActionError("config", f"from_steps: {step[:80]!r} is no http_request step that got an answer")
    return found


def _request(request: Mapping[str, Any], headers: frozenset[str], what: str, context: ActionContext) -> dict[str, Any]:
    url = urlsplit(str(request["url"]))
    query: dict[str, list[str]] = {}
    for name, value in parse_qsl(url.query, keep_blank_values=True, max_num_fields=1000):
        query.setdefault(name, []).append(value)
    kept = _kept(request.get("headers") or {}, headers | {"content-type", "accept"})
    made = {"method": request["method"], "path": url.path or "/", "query": query, "headers": kept}
    text = str(request.get("body") or "")
    if len(text) > context.limits.excerpt_bytes:
        raise ActionError("config", f"{what} is longer than what is recorded of it", hint="write it as an interaction")
    return {**made, **({"body": Exactly(_value(text, kept))} if text else {})}


def _response(result: Mapping[str, Any], headers: frozenset[str], what: str, by_type: bool) -> dict[str, Any]:
    if result.get("truncated"):
        raise ActionError("config", f"{what} is longer than what is kept of it", hint="write it as an interaction")
    made: dict[str, Any] = {"status": result["status"], "headers": _kept(result["headers"], headers | {"content-type"})}
    body = result["body"]
    if body in ("", None):
        return made
    rules = {"matching_rules": {"body": {"$": {"combine": "AND", "matchers": [{"match": "type"}]}}}}
    return {**made, "body": Exactly(body), **(rules if by_type and isinstance(body, dict | list) else {})}


def _kept(given: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    """The headers of these names that say something and were not masked."""
    return {
        name: value for name, value in given.items() if name.lower() in names and value not in _ANY and MASKED not in str(value)
    }


def _value(text: str, headers: Mapping[str, Any]) -> Any:
    called = next((str(value) for name, value in headers.items() if name.lower() == "content-type"), "")
    if not is_json(called):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
