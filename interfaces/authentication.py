"""Authentication by API key, and what a key may do: its scopes, within its user's role."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from domain.api_key import KeyText
from domain.errors import Refusal

CACHED_SECONDS = 1.0
"""A revocation works after this long at the latest."""
CACHED_KEYS = 10_000
_READ = frozenset({"flows:read", "runs:read"})
_WRITE = _READ | {"flows:write", "runs:write"}
_ROLES = {"viewer": _READ, "editor": _WRITE, "admin": _WRITE | {"admin"}, "owner": _WRITE | {"admin"}}


class Unauthenticated(Refusal):
    """Who is asking cannot be told; the reason stays inside."""

    code = "unauthenticated"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking: a key of one workspace, with what it may do."""

    key_id: str
    workspace: str
    user: str
    name: str
    scopes: frozenset[str]

    def may(self, scope: str | None) -> bool:
        """Whether the caller has the scope; None asks for nothing."""
        return scope is None or scope in self.scopes


class Authenticator:
    """Keys to callers. A key with a wrong checksum is refused without asking the database."""

    def __init__(self, find: Callable[[str], Any], role: Callable[[str, str], str | None]) -> None:
        """`find` gives the key's row by its id, `role` the role of a user in a workspace."""
        self._find = find
        self._role = role
        self._cache: OrderedDict[bytes, tuple[float, Caller]] = OrderedDict()

    def __call__(self, header: str | None) -> Caller:
        """The caller of an `Authorization: Bearer` header; blocking. Raises Unauthenticated."""
        text = self._bearer(header)
        known = hashlib.sha256(text.encode()).digest()
        cached = self._cache.get(known)
        if cached is not None and cached[0] > time.monotonic():
            return cached[1]
        caller = self._check(text)
        self._cache[known] = (time.monotonic() + CACHED_SECONDS, caller)
        if len(self._cache) > CACHED_KEYS:
            self._cache.popitem(last=False)
        return caller

    def cached(self, header: str | None) -> Caller | None:
        """The caller when it was verified a moment ago; never blocks."""
        text = (header or "")[7:]
        found = self._cache.get(hashlib.sha256(text.encode()).digest())
        return found[1] if found is not None and found[0] > time.monotonic() else None

    @staticmethod
    def _bearer(header: str | None) -> str:
        scheme, _, text = (header or "").partition(" ")
        if scheme.lower() != "bearer" or not text.strip():
            raise Unauthenticated(
                "this request needs a key", remedy="send `Authorization: Bearer tmk_...`; make a key with `testmesh admin keys`"
            )
        return text.strip()

    def _check(self, text: str) -> Caller:
        refused = Unauthenticated("the key is not valid", remedy="check TESTMESH_API_KEY, or make a new key")
        key = KeyText.parse(text)
        if key is None:
            raise refused
        row = self._find(key.key_id)
        stored = row["digest"] if row is not None else "0" * 64
        same = hmac.compare_digest(stored, key.digest)
        if row is None or not same or row["revoked"] or row["expires_at"] <= datetime.now(UTC):
            raise refused
        role = self._role(row["workspace"], row["user"])
        if role is None:
            raise refused
        return Caller(key.key_id, row["workspace"], row["user"], row["name"], _scopes(row["scopes"], role))


def _scopes(given: list[str], role: str) -> frozenset[str]:
    """The key's scopes within the role of its user; `admin` implies the others."""
    wanted = _ROLES["owner"] if "admin" in given else frozenset(given)
    return wanted & _ROLES[role]
