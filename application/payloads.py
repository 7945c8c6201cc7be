"""Payloads: what is too big or too personal for an event, content-addressed and encrypted under a workspace's own key."""

from __future__ import annotations

import hashlib
import hmac
import os
import zlib
from collections.abc import Mapping
from typing import Any, Protocol

from application.database import Database
from application.log import SideWrite
from domain.errors import NotFound, Unavailable

Reference = Mapping[str, Any]
"""What an event keeps of a payload: {"id": hex, "size": bytes}."""


class Payloads(Protocol):
    """Keeps payloads of one domain."""

    def seal(self, workspace: str, content: bytes) -> tuple[Reference, list[SideWrite]]:
        """A reference for an event, and the writes that belong in the event's transaction."""
        ...

    def open(self, workspace: str, reference: Reference) -> bytes:
        """The content; NotFound when it was forgotten, Unavailable when its key does not fit."""
        ...


class MemoryPayloads:
    """Payloads of a local run."""

    def __init__(self) -> None:
        self._contents: dict[str, bytes] = {}

    def seal(self, workspace: str, content: bytes) -> tuple[Reference, list[SideWrite]]:
        """Keep the content by its hash."""
        id = hashlib.sha256(content).hexdigest()
        self._contents[id] = content
        return {"id": id, "size": len(content)}, []

    def open(self, workspace: str, reference: Reference) -> bytes:
        """Give the content back."""
        try:
            return self._contents[reference["id"]]
        except KeyError as error:
            raise NotFound("the payload is not kept") from error


class SealingOnce:
    """Payloads for several transactions, one after the other: what one has written, the next only name."""

    def __init__(self, payloads: Payloads) -> None:
        self._payloads = payloads
        self._sealed: dict[tuple[str, bytes], tuple[Reference, list[SideWrite]]] = {}
        self._open: set[tuple[str, bytes]] = set()

    def seal(self, workspace: str, content: bytes) -> tuple[Reference, list[SideWrite]]:
        """As the payloads do, but what was written is not written again."""
        key = (workspace, hashlib.sha256(content).digest())
        if key not in self._sealed:
            self._sealed[key] = self._payloads.seal(workspace, content)
        self._open.add(key)
        reference, side = self._sealed[key]
        return reference, list(side)

    def ended(self, *, committed: bool) -> None:
        """The transaction of what was sealed since the last one is over."""
        if committed:
            self._sealed.update({key: (self._sealed[key][0], []) for key in self._open})
        self._open.clear()

    def open(self, workspace: str, reference: Reference) -> bytes:
        """As the payloads do."""
        return self._payloads.open(workspace, reference)


class SealedPayloads:
    """Payloads in PostgreSQL: zlib, then AES-256-GCM under a random workspace key that the key file wraps.

    Additional data binds a row to its workspace and id, so rows cannot be swapped. Deleting the row of a workspace in
    `workspace_keys` forgets all its payloads.
    """

    def __init__(self, database: Database, schema: str, key: bytes) -> None:
        """`key` is the 32 bytes of the key file."""
        self._database = database
        self._schema = schema
        self._kek = key
        self._keys: dict[str, bytes] = {}

    def seal(self, workspace: str, content: bytes) -> tuple[Reference, list[SideWrite]]:
        """Encrypt; equal content in a workspace is one row."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        key = self._workspace_key(workspace)
        id = hmac.new(key, content, hashlib.sha256).hexdigest()
        nonce = os.urandom(12)
        body = nonce + AESGCM(key).encrypt(nonce, zlib.compress(content, 6), self._bound(workspace, id))
        sql = (
            f"INSERT INTO {self._schema}.payloads (workspace, id, size, body) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT (workspace, id) DO NOTHING"
        )
        return {"id": id, "size": len(content)}, [SideWrite(sql, (workspace, id, len(content), body))]

    def open(self, workspace: str, reference: Reference) -> bytes:
        """Decrypt."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        sql = f"SELECT body FROM {self._schema}.payloads WHERE workspace = %s AND id = %s"
        with self._database.pool.connection() as connection:
            row = connection.execute(sql, (workspace, reference["id"])).fetchone()
        if row is None:
            raise NotFound("the payload is not kept any more")
        body: bytes = row[0]
        try:
            plain = AESGCM(self._workspace_key(workspace)).decrypt(
                body[:12], body[12:], self._bound(workspace, reference["id"])
            )
        except InvalidTag as error:
            raise Unavailable("the payload cannot be decrypted: is this the key file of this database?") from error
        return zlib.decompress(plain)

    def _bound(self, workspace: str, id: str) -> bytes:
        return f"testmesh1|{self._schema}|{workspace}|{id}".encode()

    def _workspace_key(self, workspace: str) -> bytes:
        """The workspace's key, made when first needed; whoever inserts first wins."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        if workspace in self._keys:
            return self._keys[workspace]
        bound = f"testmesh1|{self._schema}|{workspace}".encode()
        nonce = os.urandom(12)
        wrapped = nonce + AESGCM(self._kek).encrypt(nonce, os.urandom(32), bound)
        table = f"{self._schema}.workspace_keys"
        with self._database.pool.connection() as connection:
            connection.execute(
                f"INSERT INTO {table} (workspace, wrapped) VALUES (%s, %s) ON CONFLICT DO NOTHING", (workspace, wrapped)
            )
            row = connection.execute(f"SELECT wrapped FROM {table} WHERE workspace = %s", (workspace,)).fetchone()
        stored: bytes = row[0] if row else b""
        try:
            key = AESGCM(self._kek).decrypt(stored[:12], stored[12:], bound)
        except InvalidTag as error:
            raise Unavailable("the key file does not belong to this database; give the server the right one") from error
        self._keys[workspace] = key
        return key
