"""Bodies of imported requests: text with a content type, as the key of `http_request` that sends the same."""

from __future__ import annotations

from urllib.parse import parse_qsl

from application.importing.model import Body, Call
from application.importing.reading import json_body
from application.importing.text import Template
from domain.limits import LIMITS

_FORM = "application/x-www-form-urlencoded"
_JSON = "application/json"


def as_body(text: str, call: Call, default: str) -> Body:
    """JSON and plain forms become values, and the header that they imply is left out; anything else goes as it is, with its
    header. `default` is the content type when the request names none."""
    given = call.header("content-type")
    kind = (given or default).partition(";")[0].strip().lower()
    found = _read(text, kind)
    if found is not None:
        if given is not None and given.strip().lower() == kind:
            call.without_header("content-type")
        return found
    if given is None and default:
        call.headers.append(("Content-Type", default))
    if len(text.encode("utf-8", "replace")) > LIMITS.string_bytes:
        call.comments.append(f"The body of {len(text):,} characters is too long for a flow and was left out.")
        return Body("body", "")
    return Body("body", text)


def _read(text: str, kind: str) -> Body | None:
    if isinstance(text, Template):
        return None
    if kind == _JSON and (value := json_body(text)) is not None:
        return Body("json", value[0])
    pairs = form_pairs(text) if kind == _FORM else None
    return Body("form", pairs) if pairs else None


def form_pairs(text: str) -> dict[str, str | list[str]] | None:
    """A form's fields by name, repeated ones as lists; None when that would lose something."""
    if any("=" not in part for part in text.split("&")) or text.count("&") > LIMITS.page:
        return None
    try:
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=True, errors="strict")
    except ValueError:
        return None
    found: dict[str, str | list[str]] = {}
    last = None
    for name, value in pairs:
        if name in found:
            if name != last:
                return None
            before = found[name]
            found[name] = [*before, value] if isinstance(before, list) else [before, value]
        else:
            found[name] = value
        last = name
    return found
