"""Functions over texts that protocols need: digests, signatures, escapes of URLs, and parts found by a pattern."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, unquote

from domain.expressions.arguments import text_of
from domain.expressions.errors import Fault
from domain.expressions.frame import Frame, bounded_text
from domain.expressions.operators import is_number, pattern


def _bytes(frame: Frame, value: Any, function: str) -> bytes:
    raw = text_of(value, function).encode("utf-8", "surrogatepass")
    frame.charge(len(raw) >> 8)
    return raw


def _digest(function: str, algorithm: str) -> Callable[[Frame, Any], str]:
    def digest(frame: Frame, value: Any) -> str:
        return hashlib.new(algorithm, _bytes(frame, value, function), usedforsecurity=False).hexdigest()

    return digest


def _signature(function: str, algorithm: str) -> Callable[[Frame, Any, Any], str]:
    def sign(frame: Frame, key: Any, value: Any) -> str:
        return hmac.new(_bytes(frame, key, function), _bytes(frame, value, function), algorithm).hexdigest()

    return sign


def url_encode(frame: Frame, value: Any) -> str:
    """Everything but letters, digits and `-._~` as %XX of UTF-8 (RFC 3986 section 2.3)."""
    text = text_of(value, "urlEncode")
    bounded_text(len(text) * 3)
    return quote(text, safe="", errors="replace")


def url_decode(frame: Frame, value: Any) -> str:
    """The text behind %XX; `+` stays."""
    text = text_of(value, "urlDecode")
    frame.charge(len(text) >> 8)
    return unquote(text, errors="replace")


def capture(frame: Frame, value: Any, expression: Any, group: Any = None) -> str | None:
    """What a group of an RE2 pattern has found first, by its number or name; unless it is said, the first group, or all where
    there is none. Null when the pattern is not found."""
    text, compiled = text_of(value, "capture"), pattern(text_of(expression, "capture"))
    frame.charge(len(text) >> 8)
    wanted = min(1, compiled.groups) if group is None else group
    if is_number(wanted) and wanted in range(compiled.groups + 1):
        wanted = int(wanted)
    elif wanted not in (list(compiled.groupindex) if isinstance(wanted, str) else ()):
        names = ", ".join(["", *compiled.groupindex])
        raise Fault("value", f"the pattern has no group {wanted!r:.40}", f"it has {compiled.groups}{names}")
    try:
        found = compiled.search(text)
    except UnicodeEncodeError:
        raise Fault("value", "the text is not valid Unicode") from None
    return None if found is None else found[wanted]


PROTOCOL_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "md5": _digest("md5", "md5"),
    "sha1": _digest("sha1", "sha1"),
    "sha256": _digest("sha256", "sha256"),
    "sha512": _digest("sha512", "sha512"),
    "hmacSha1": _signature("hmacSha1", "sha1"),
    "hmacSha256": _signature("hmacSha256", "sha256"),
    "hmacSha512": _signature("hmacSha512", "sha512"),
    "urlEncode": url_encode,
    "urlDecode": url_decode,
    "capture": capture,
}
"""By the canonical name; each takes the frame first."""
