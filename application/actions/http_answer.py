"""What an HTTP answer is to a flow: status, body, headers, cookies, times; and the excerpt that reports show."""

from __future__ import annotations

import codecs
import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

from application.actions.http_headers import readable, shown
from application.actions.http_messages import Request
from application.actions.json_values import depth_of, no_constant

if TYPE_CHECKING:
    from application.actions.http_client import Answer
    from application.engine.action import ActionContext

_JSON = re.compile(r"\s*(application/json|text/json|[a-z0-9.!#$&^_-]+/[a-z0-9.!#$&^_-]+\+json)\s*(;|$)", re.IGNORECASE)
_LOCATION = 2000
_LONG_NUMBER = re.compile(rb"\d{17}")
_CHARSET = re.compile(
    r"(utf-?(8|16|32)|us-ascii|ascii|latin|iso|windows|cp|koi8|mac|euc|shift|big5|gb|hz|tis).*", re.IGNORECASE
)
"""Character sets of the web; Python knows codecs that are slow on purpose (punycode) or no text at all (hex)."""


def result_of(answer: Answer, context: ActionContext) -> dict[str, Any]:
    """The result of the action; the response part of the exchange is filled in."""
    response, body = answer.response, answer.body
    kept, kind = bytes(body.kept), response.header(b"content-type")
    text = decoded_text(kind, kept)
    if body.truncated:
        context.log("warning", f"the answer has {body.size} bytes, {len(kept)} are kept; its body is text")
    if answer.redirects:
        context.exchange["redirects"] = [
            {"status": status, "location": place[:_LOCATION]} for status, place in answer.redirects
        ]
    context.exchange["response"] = {
        "status": response.status,
        "headers": shown((name.decode("latin-1"), value.decode("utf-8", "replace")) for name, value in response.headers),
        "body": excerpt(text, context.limits.excerpt_bytes),
        "time": answer.timings["total"],
    }
    return {
        "status": response.status,
        "body": text if body.truncated else parsed(kind, kept, text, context.limits.json_depth),
        "text": text,
        "headers": readable(response.headers),
        "cookies": answer.cookies,
        "time": answer.timings["total"],
        "size": body.size,
        "url": str(answer.url),
        "timings": answer.timings,
        "http_version": response.http_version,
        "truncated": body.truncated,
        "sha256": body.digest.hexdigest(),
    }


def show_request(request: Request, context: ActionContext) -> None:
    """Fill in the request part of the exchange, before anything can fail."""
    context.exchange["request"] = {
        "method": request.method,
        "url": str(request.url),
        "headers": shown(request.headers),
        "body": excerpt(request.content.decode("utf-8", "replace"), context.limits.excerpt_bytes),
    }


def excerpt(text: str, limit: int) -> str:
    """The text, shortened to about `limit` bytes with a mark."""
    if len(text) <= limit // 4 or len(text.encode("utf-8", "replace")) <= limit:
        return text
    return text.encode("utf-8", "replace")[:limit].decode("utf-8", "ignore") + f"... ({len(text)} characters)"


def decoded_text(content_type: str, content: bytes) -> str:
    """A body as text, in the character set of its content type, else UTF-8; what cannot be decoded is replaced."""
    charset = _charset(content_type)
    try:
        return codecs.decode(content, charset, "replace")
    except (LookupError, ValueError):
        return content.decode("utf-8", "replace")


@lru_cache(maxsize=256)
def _charset(content_type: str) -> str:
    from email.message import Message

    message = Message()
    message["content-type"] = content_type.encode("ascii", "replace").decode()
    charset = message.get_content_charset() or "utf-8"
    return charset if _CHARSET.fullmatch(charset) else "utf-8"


def parsed(content_type: str, content: bytes, text: str, depth: int) -> Any:
    """The JSON value, if the content type says JSON and it is; else the text."""
    if not content or not _JSON.match(content_type):
        return text
    try:
        value = _load(content, text)
    except (ValueError, RecursionError):
        return text
    return value if _is_flat(content, depth) or depth_of(value, depth) <= depth else text


def _load(content: bytes, text: str) -> Any:
    """orjson, except where it would turn a long integer into a float."""
    if _LONG_NUMBER.search(content):
        return json.loads(text, parse_constant=no_constant)
    return orjson.loads(content if text.isascii() else text)


def _is_flat(content: bytes, depth: int) -> bool:
    """Too few brackets for too much depth: true for most answers, and cheap."""
    return content.count(b"[") + content.count(b"{") <= depth
