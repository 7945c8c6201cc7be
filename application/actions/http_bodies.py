"""Bodies of HTTP requests: body, json, form, multipart and graphql as bytes with their content type."""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from collections.abc import Iterator, Mapping
from mimetypes import MimeTypes
from typing import Any
from urllib.parse import quote_plus, urlencode

from application.actions.http_faults import BODIES, two_bodies
from application.actions.http_url import query_pairs, value_text
from application.actions.project_files import file_below
from application.engine.action import ActionContext, ActionError
from domain.values import dataclass

_JSON = "application/json"
_PART = {"name", "value", "content", "base64", "file", "filename", "content_type"}
_CONTENTS = ("value", "content", "base64", "file")
_GRAPHQL = {"query", "variables", "operation_name", "operationName", "extensions"}


@dataclass(frozen=True, slots=True)
class RequestBody:
    """The bytes that are sent, and the content type that they have unless the step sets one; empty = none."""

    content: bytes = b""
    content_type: str = ""


def read_body(config: Mapping[str, Any], context: ActionContext) -> RequestBody:
    """The body that the config describes; one key at most. ActionError `config` for what cannot be a body."""
    given = [key for key in BODIES if config.get(key) is not None]
    if len(given) > 1:
        raise ActionError("config", two_bodies(given), key=given[1])
    if not given:
        return RequestBody(b"null", _JSON) if "json" in config else RequestBody()
    if given[0] == "body_file":
        return _file(config["body_file"], context)
    if given[0] == "multipart":
        return _multipart(config["multipart"], context)
    return _READERS[given[0]](config[given[0]])


def _body(value: Any) -> RequestBody:
    return RequestBody(value.encode("utf-8", "replace")) if isinstance(value, str) else _json(value)


def _json(value: Any) -> RequestBody:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise ActionError("config", f"the body is not JSON: {error}") from None
    return RequestBody(text.encode("utf-8", "replace"), _JSON)


def _file(value: Any, context: ActionContext) -> RequestBody:
    """The bytes of a file as they are; what its name ends with tells their type."""
    path = file_below("body_file", value, context, "data/order.json")
    try:
        return RequestBody(path.read_bytes(), kind_of(path.name))
    except OSError as error:
        raise ActionError("config", f"body_file: {str(value)[:200]!r} cannot be read: {error.strerror}") from None


def kind_of(name: str) -> str:
    """The content type of a file by its name, by Python's own table alone: that of a machine would send other headers there."""
    kind, encoding = MimeTypes().guess_type(name)
    return kind if kind is not None and encoding is None else "application/octet-stream"


def _form(value: Any) -> RequestBody:
    if isinstance(value, str):
        return RequestBody(value.encode(), "application/x-www-form-urlencoded")
    content = urlencode(list(query_pairs(value)), quote_via=quote_plus, errors="replace")
    return RequestBody(content.encode(), "application/x-www-form-urlencoded")


def _graphql(value: Any) -> RequestBody:
    if isinstance(value, str):
        return _json({"query": value})
    if not isinstance(value, Mapping) or not isinstance(value.get("query"), str) or value.keys() - _GRAPHQL:
        raise ActionError("config", "graphql is an object of query, variables and operation_name")
    sent = {"query": value["query"]}
    for key, name in (("variables", "variables"), ("operation_name", "operationName"), ("extensions", "extensions")):
        given = value.get(key, value.get(name))
        if given is not None:
            sent[name] = given
    return _json(sent)


def _multipart(value: Any, context: ActionContext) -> RequestBody:
    """RFC 7578, the boundary chosen so that no part holds it."""
    parts = list(_parts(value, context))
    boundary = f"testmesh-{secrets.token_hex(12)}"
    content = b"".join(f"--{boundary}\r\n{head}\r\n".encode() + data + b"\r\n" for head, data in parts)
    return RequestBody(content + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}")


def _parts(value: Any, context: ActionContext) -> Iterator[tuple[str, bytes]]:
    if isinstance(value, Mapping):
        pairs = [(str(name), item) for name, given in value.items() for item in (given if isinstance(given, list) else [given])]
    elif isinstance(value, list) and all(isinstance(item, Mapping) and "name" in item for item in value):
        pairs = [(str(item["name"]), item) for item in value]
    else:
        raise ActionError("config", "multipart is an object of names and values, or a list of parts with a name")
    for name, item in pairs:
        if item is not None:
            yield _part(name, item if isinstance(item, Mapping) else {"value": item}, context)


def _part(name: str, part: Mapping[str, Any], context: ActionContext) -> tuple[str, bytes]:
    if part.keys() - _PART:
        raise ActionError("config", f"the part {name} has unknown keys", hint=f"known: {', '.join(sorted(_PART))}")
    given = [key for key in _CONTENTS if part.get(key) is not None]
    if "file" in given and len(given) > 1:
        raise ActionError("config", f"the part {name} has {' and '.join(given)}; keep one")
    file = file_below(f"the file of the part {name}", part["file"], context, "data/image.png") if "file" in given else None
    filename, kind = part.get("filename", None if file is None else file.name), part.get("content_type")
    head = f'Content-Disposition: form-data; name="{_quoted(name)}"'
    if filename is not None:
        head += f'; filename="{_quoted(str(filename))}"'
        kind = kind or "application/octet-stream"
    content = part.get("content", part.get("value"))
    if isinstance(content, Mapping | list):
        content, kind = _json(content).content.decode(), kind or _JSON
    if kind is not None:
        head += f"\r\nContent-Type: {_one_line(str(kind))}"
    return f"{head}\r\n", _data(name, part, content) if file is None else file.read_bytes()


def _data(name: str, part: Mapping[str, Any], content: Any) -> bytes:
    if "base64" in part:
        try:
            return base64.b64decode(str(part["base64"]), validate=True)
        except (binascii.Error, ValueError):
            raise ActionError("config", f"the part {name} is not base64") from None
    return value_text("" if content is None else content).encode("utf-8", "replace")


def _quoted(text: str) -> str:
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _one_line(text: str) -> str:
    if "\r" in text or "\n" in text:
        raise ActionError("config", "a content_type is one line")
    return text


_READERS = {"body": _body, "json": _json, "form": _form, "graphql": _graphql}
