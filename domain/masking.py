"""Masking: secrets replaced by stable tokens, in every form in which a value may show itself."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

from domain.limits import LIMITS, MIB

SENSITIVE_HEADERS = frozenset({"authorization", "cookie", "set-cookie", "proxy-authorization", "x-api-key"})
_SENSITIVE_KEY = re.compile(r"password|passwd|secret|token|api[_-]?key|authorization", re.IGNORECASE)
MASKED = "[masked]"
AUTOMATON_BYTES = 128 * MIB
"""What the automaton of all secrets may grow to, as it meets text; beyond that it becomes slow."""


class Masker:
    """Knows the secrets of one execution. Tokens are stable under a key, so that equality can be checked again offline."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._tokens: dict[str, str] = {}
        self._finder: _Finder | None = None
        self.known: set[str] = set()
        """The secrets themselves."""

    def add(self, secret: str) -> bool:
        """Mask this value from now on, in all its forms. False for one so short that masking it would ruin everything."""
        if len(secret.strip()) < LIMITS.secret_min_chars:
            return not secret
        self.known.add(secret)
        token = f"[secret:{hmac.new(self._key, secret.encode('utf-8', 'replace'), hashlib.sha256).hexdigest()[:6]}]"
        for form in _forms(secret):
            if len(form) >= LIMITS.secret_min_chars:
                self._tokens.setdefault(form, token)
        self._finder = None
        return True

    def mask_text(self, text: str) -> str:
        """The text without secrets; the longest secret wins where one is a part of another."""
        if not self._tokens:
            return text
        if self._finder is None:
            self._finder = _Finder(self._tokens)
        return self._finder.replace(text)

    def mask(self, value: Any, *, sensitive_keys: bool = False) -> Any:
        """The value without secrets, keys included; with `sensitive_keys`, values under telling names go too. The value
        itself, not a copy, when there is nothing to mask."""
        if not self._tokens and not sensitive_keys:
            return value
        if isinstance(value, str):
            return self.mask_text(value)
        if isinstance(value, Mapping):
            return {self.mask(key): self._entry(key, item, sensitive_keys) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.mask(item, sensitive_keys=sensitive_keys) for item in value]
        return value

    def mask_headers(self, headers: Mapping[str, Any]) -> dict[str, Any]:
        """Headers without secrets; those that carry credentials are masked by name."""
        return {name: MASKED if name.lower() in SENSITIVE_HEADERS else self.mask(value) for name, value in headers.items()}

    def _entry(self, key: Any, item: Any, sensitive_keys: bool) -> Any:
        if sensitive_keys and isinstance(key, str) and isinstance(item, str) and item and _SENSITIVE_KEY.search(key):
            return MASKED
        return self.mask(item, sensitive_keys=sensitive_keys)


class _Finder:
    """All forms as one automaton over UTF-8, which reads a text once however many forms there are."""

    def __init__(self, tokens: Mapping[str, str], memory: int = AUTOMATON_BYTES) -> None:
        self._shortest = min(map(len, tokens))
        self._tokens = {_utf8(form): token.encode() for form, token in tokens.items()}
        self._pattern = _compiled(self._tokens, memory)

    def replace(self, text: str) -> str:
        """The text with a token at each place where a form begins, the longest first."""
        if len(text) < self._shortest:
            return text
        raw, end, parts = _utf8(text), 0, list[bytes]()
        for found in self._pattern.finditer(raw):
            parts += (raw[end : found.start()], self._tokens[found[0]])
            end = found.end()
        return b"".join((*parts, raw[end:])).decode("utf-8", "surrogatepass") if parts else text


def _compiled(forms: Iterable[bytes], memory: int) -> Any:
    """A pattern of literals, the longest of which wins. Secrets of megabytes are too much for RE2; `re` takes them, slowly.

    RE2 makes a trie of literals that stand in alphabetic order: without it, its states would be a hundred times larger.
    """
    import re2  # loaded only when there is a secret

    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.max_mem = memory
    options.longest_match = True
    options.never_capture = True
    options.log_errors = False
    try:
        # Not re2.compile: its cache would keep the secrets of executions that ended long ago.
        return re2._Regexp(b"|".join(map(re2.escape, sorted(forms))), options)
    except re2.error:
        return re.compile(b"|".join(map(re.escape, sorted(forms, key=len, reverse=True))))


def _utf8(text: str) -> bytes:
    """Lone surrogates included, and back again with the same error handler."""
    return text.encode("utf-8", "surrogatepass")


def _forms(secret: str) -> Iterator[str]:
    import html  # only where there is a secret

    for value in {secret, secret.strip(), *(line.strip() for line in secret.splitlines())}:
        raw = value.encode("utf-8", "replace")
        yield value
        for encoded in (json.dumps(value), json.dumps(value, ensure_ascii=False)):
            yield encoded[1:-1]
            yield json.dumps(encoded[1:-1])[1:-1]  # JSON that is a text inside JSON
        for percent in (
            quote(value, safe="", errors="replace"),
            quote_plus(value, errors="replace"),
            quote(value, errors="replace"),
        ):
            yield percent
            yield re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), percent)
        yield html.escape(value)
        yield html.escape(value, quote=False)
        yield "".join(f"\\u{ord(character):04x}" for character in value)
        yield raw.hex()
        yield raw.hex().upper()
        yield from _base64_forms(raw)


def _base64_forms(raw: bytes) -> Iterator[str]:
    """The part of the encoding that depends on the secret alone, at each of the three offsets within a longer text."""
    for lead in range(3):
        padded = b"\0" * lead + raw
        whole = len(padded) // 3 * 4
        skip = 0 if lead == 0 else 4
        for encode in (base64.standard_b64encode, base64.urlsafe_b64encode):
            inner = encode(padded).decode()[skip:whole]
            if len(inner) >= 8 or (lead == 0 and len(inner) >= LIMITS.secret_min_chars):
                yield inner
    yield base64.standard_b64encode(raw).decode()
    yield base64.urlsafe_b64encode(raw).decode().rstrip("=")
