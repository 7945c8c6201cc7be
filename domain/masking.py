"""Masking: secrets replaced by stable tokens, in every form in which a value may show itself."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Any

from domain.cut_secrets import CUTS, ENDS, Rests
from domain.limits import KIB, LIMITS
from domain.secret_automaton import AUTOMATON_BYTES, automaton
from domain.secret_forms import forms, patterns

SENSITIVE_HEADERS = frozenset({"authorization", "cookie", "set-cookie", "proxy-authorization", "x-api-key"})
_SENSITIVE_KEY = re.compile(r"password|passwd|secret|token|api[_-]?key|authorization", re.IGNORECASE)
MASKED = "[masked]"

PATTERN_BYTES = 24 * KIB
"""Of all patterns together: a hundred or more secrets with a special character, or some of nothing else. Secrets beyond that
are looked for in their literal forms alone, as texts would wait too long."""


class Masker:
    """Knows the secrets of one execution. Tokens are stable under a key, so that equality can be checked again offline."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._tokens: dict[str, str] = {}
        self._patterns: dict[str, str] = {}
        """What stands for secrets with characters that encodings write in many ways."""
        self._finder: _Finder | None = None
        self._rests: Rests | None = None
        self.known: set[str] = set()
        """The secrets themselves."""

    def add(self, secret: str) -> bool:
        """Mask this value from now on, in all its forms. False for one so short that masking it would ruin everything."""
        if len(secret.strip()) < LIMITS.secret_min_chars:
            return not secret
        self.known.add(secret)
        token = f"[secret:{hmac.new(self._key, secret.encode('utf-8', 'replace'), hashlib.sha256).hexdigest()[:6]}]"
        for form in forms(secret):
            if len(form) >= LIMITS.secret_min_chars:
                self._tokens.setdefault(form, token)
        for pattern in patterns(secret):
            if sum(map(len, self._patterns)) + len(pattern) <= PATTERN_BYTES:
                self._patterns.setdefault(pattern, token)
        self._finder = self._rests = None
        return True

    def mask_text(self, text: str) -> str:
        """The text without secrets; the longest secret wins where one is a part of another."""
        if not self._tokens:
            return text
        if self._finder is None:
            self._finder = _Finder(self._tokens, self._patterns)
        text = self._finder.replace(text)
        return self._without_rests(text, CUTS) if any(map(text.__contains__, CUTS)) else text

    def mask_message(self, text: str) -> str:
        """A message without secrets, nor what is left of one in what it quotes: servers and actions cut long texts off, and
        who cuts does not know of secrets. A rest is a third of a secret or more, and 8 characters at least."""
        return self._without_rests(self.mask_text(text), ENDS, part=3)

    def _without_rests(self, text: str, ends: tuple[str, ...], part: int = 0) -> str:
        if not self._tokens or len(text) > 2 * LIMITS.excerpt_bytes:
            return text
        if self._rests is None:
            self._rests = Rests(self._tokens)
        return self._rests.replaced(text, ends, part)

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

    def __init__(self, tokens: Mapping[str, str], patterns: Mapping[str, str], memory: int = AUTOMATON_BYTES) -> None:
        self._shortest = min(map(len, tokens))
        self._tokens = {_utf8(form): token.encode() for form, token in tokens.items()}
        self._patterns = patterns
        self._each: list[tuple[Any, bytes]] = []
        self._loose = automaton((), patterns, memory) if patterns else None
        self._pattern = automaton(self._tokens, (), memory)

    def replace(self, text: str) -> str:
        """The text with a token at each place where a form begins, the longest first. Patterns come before literals, in an
        automaton of their own: both in one have too many states."""
        if len(text) < self._shortest:
            return text
        raw = _utf8(text)
        found = self._replaced(self._replaced(raw, self._loose), self._pattern)
        return text if found is raw else found.decode("utf-8", "surrogatepass")

    def _replaced(self, raw: bytes, pattern: Any) -> bytes:
        end, parts = 0, list[bytes]()
        for found in pattern.finditer(raw) if pattern is not None else ():
            parts += (raw[end : found.start()], self._tokens.get(found[0]) or self._token(found[0]))
            end = found.end()
        return b"".join((*parts, raw[end:])) if parts else raw

    def _token(self, found: bytes) -> bytes:
        """Of a form that no literal is."""
        if not self._each:
            self._each = [(automaton((), [pattern]), token.encode()) for pattern, token in self._patterns.items()]
        self._tokens[found] = next(token for one, token in self._each if one.fullmatch(found))
        return self._tokens[found]


def _utf8(text: str) -> bytes:
    """Lone surrogates included, and back again with the same error handler."""
    return text.encode("utf-8", "surrogatepass")
