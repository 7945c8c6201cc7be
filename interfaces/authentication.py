"""Authentication by API key, and what a key may do: its scopes, within its user's role."""

from __future__ import annotations

import hmac
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from domain.api_key import KeyText
from domain.errors import Refusal
from domain.values import dataclass
from domain.workspace import workspace_uuid

CACHED_SECONDS = 1.0
"""A revocation works after this long at the latest."""
CACHED_KEYS = 10_000
_READ = frozenset({"flows:read", "runs:read"})
_WRITE = _READ | {"flows:write", "runs:write"}
_ROLES = {"viewer": _READ, "editor": _WRITE, "admin": _WRITE | {"admin"}, "owner": _WRITE | {"admin", "operator"}}
_HOME = str(workspace_uuid("default"))
"""Made with the installation: what belongs to all of it is for the owners of this workspace alone."""


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
        self._cache: OrderedDict[str, tuple[float, Caller]] = OrderedDict()
        self._guard = threading.Lock()

    def __call__(self, header: str | None) -> Caller:
        """The caller of an `Authorization: Bearer` header; blocking. Raises Unauthenticated."""
        key = _key_in(header)
        caller = self._remembered(key)
        if caller is None:
            row = self._find(key.key_id)
            stored = row["digest"] if row is not None else "0" * 64
            if not hmac.compare_digest(stored, key.digest):
                raise _refused()
            caller = self._caller(row)
            self._remember(key, caller)
        return caller

    def cached(self, header: str | None) -> Caller | None:
        """The caller when it was verified a moment ago; never blocks. Raises Unauthenticated for what is no key at all."""
        return self._remembered(_key_in(header))

    def renewed(self, caller: Caller) -> Caller | None:
        """The caller with what the key may do now, None when that is nothing any more; blocking, never from memory."""
        try:
            return self._caller(self._find(caller.key_id))
        except Unauthenticated:
            return None

    def _remembered(self, key: KeyText) -> Caller | None:
        with self._guard:
            end, caller = self._cache.get(key.digest, (0.0, None))
        return caller if caller is not None and caller.key_id == key.key_id and end > time.monotonic() else None

    def _remember(self, key: KeyText, caller: Caller) -> None:
        with self._guard:
            self._cache[key.digest] = (time.monotonic() + CACHED_SECONDS, caller)
            self._cache.move_to_end(key.digest)
            if len(self._cache) > CACHED_KEYS:
                self._cache.popitem(last=False)

    def _caller(self, row: Mapping[str, Any] | None) -> Caller:
        """The caller behind a key's row, with what its user may do now."""
        if row is None or row["revoked"] or row["expires_at"] <= datetime.now(UTC):
            raise _refused()
        role = self._role(row["workspace"], row["user"])
        if role is None:
            raise _refused()
        return Caller(row["key_id"], row["workspace"], row["user"], row["name"], _scopes(row["scopes"], role, row["workspace"]))


def _key_in(header: str | None) -> KeyText:
    """The key of a header, its form and checksum right; no database is asked."""
    scheme, _, text = (header or "").partition(" ")
    if scheme.lower() != "bearer" or not text.strip():
        raise Unauthenticated(
            "this request needs a key", remedy="send `Authorization: Bearer tmk_...`; make a key with `testmesh admin keys`"
        )
    key = KeyText.parse(text.strip())
    if key is None:
        raise _refused()
    return key


def _refused() -> Unauthenticated:
    """The same words whatever the reason."""
    return Unauthenticated("the key is not valid", remedy="check TESTMESH_API_KEY, or make a new key")


def _scopes(given: list[str], role: str, workspace: str) -> frozenset[str]:
    """The key's scopes within the role of its user; `admin` implies the others."""
    wanted = _ROLES["owner"] if "admin" in given else frozenset(given)
    return wanted & (_ROLES[role] if workspace == _HOME else _ROLES[role] - {"operator"})
