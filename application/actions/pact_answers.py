"""Compares an HTTP answer with the response of a Pact contract: status, headers, body."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from application.actions.json_values import depth_of
from application.actions.pact_body import Mismatch, body_mismatches
from application.actions.pact_contract import Body, Response, is_json
from application.actions.pact_matchers import check, shown
from application.actions.pact_paths import Found
from application.engine.action import ActionError
from domain.limits import LIMITS

_PARAMETERS = ("content-type", "accept")
_MISSING = object()


def answer_mismatches(response: Response, result: Mapping[str, Any]) -> list[Mismatch]:
    """Where the result of http_request differs from the contract."""
    return [*_status(response, result["status"]), *_headers(response, result["headers"]), *_body(response, result)]


def _status(response: Response, actual: int) -> Iterator[Mismatch]:
    if response.rules.status is not None:
        message = check(Found(response.rules.status), response.status, actual)
    elif response.status is None or response.status == actual:
        message = None
    else:
        message = f"expected {response.status}, got {actual}"
    if message is not None:
        yield Mismatch("status", response.status, actual, message)


def _headers(response: Response, actual: Mapping[str, Any]) -> Iterator[Mismatch]:
    came = {name.lower(): value for name, value in actual.items()}
    for name, values in response.headers.items():
        expected, given = ", ".join(values), came.get(name.lower())
        if given is None:
            yield Mismatch(f"header {name}", expected, None, f"expected {shown(expected)}, and it is missing")
            continue
        message = _header(response, name.lower(), values, given)
        if message is not None:
            yield Mismatch(f"header {name}", expected, given, message)


def _header(response: Response, name: str, values: list[str], given: Any) -> str | None:
    rules = response.rules.headers.get(name)
    actual = given if isinstance(given, str) else ", ".join(given)
    if rules is not None:
        return check(Found(rules), ", ".join(values), actual, texts=True)
    if name == "set-cookie":
        cookies = given if isinstance(given, list) else [given]
        same = all(value in cookies for value in values)
    elif name in _PARAMETERS:
        same = _with_parameters(", ".join(values), actual)
    else:
        same = _parts(", ".join(values)) == _parts(actual)
    return None if same else f"expected {shown(', '.join(values))}, got {shown(actual)}"


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",")]


def _with_parameters(expected: str, actual: str) -> bool:
    """The same media types; parameters that the contract names must be there, in any case."""
    wanted, given = _parts(expected.lower()), _parts(actual.lower())
    return len(wanted) == len(given) and all(map(_media_type, wanted, given))


def _media_type(expected: str, actual: str) -> bool:
    wanted, *parameters = (part.strip() for part in expected.split(";"))
    given, *others = (part.strip().replace('"', "") for part in actual.split(";"))
    return wanted == given and all(parameter.replace('"', "") in others for parameter in parameters)


def _body(response: Response, result: Mapping[str, Any]) -> list[Mismatch]:
    body, text = response.body, result["text"]
    if body.kind == "missing":
        return []
    if body.kind == "binary":
        same = hashlib.sha256(body.value).hexdigest() == result["sha256"]
        return [] if same else [Mismatch("body", None, None, "the bytes are not those of the contract")]
    if result["truncated"]:
        raise ActionError("response_too_large", f"the answer has {result['size']:,} bytes, too many to be compared")
    if body.kind == "null":
        empty = text == "" or text.strip() == "null"
        return [] if empty else [Mismatch("body $", None, text[:200], f"expected no body, got {shown(text)}")]
    if body.kind == "json":
        actual = _json_of(body, result)
        if actual is _MISSING:
            return [Mismatch("body $", body.value, text[:200], f"expected JSON, got {shown(text)}")]
        return body_mismatches(body.value, actual, response.rules.body)
    return body_mismatches(body.value, text, response.rules.body)


def _json_of(body: Body, result: Mapping[str, Any]) -> Any:
    """The JSON value that came, whatever the answer calls it: a wrong content type is told as one of the headers."""
    content_type = next((value for name, value in result["headers"].items() if name.lower() == "content-type"), "")
    value = result["body"]
    if isinstance(content_type, str) and is_json(content_type) and not isinstance(value, str):
        return value
    try:
        value = json.loads(result["text"])
    except (ValueError, RecursionError):
        return _MISSING
    return value if depth_of(value, LIMITS.json_depth) <= LIMITS.json_depth else _MISSING
