"""The ApiKey aggregate and the form of a key: `tmk_` + 12 base62 id + `_` + 43 base62 secret + 6 base62 CRC32."""

from __future__ import annotations

import hashlib
import re
import secrets
import zlib
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import NAMESPACE_URL, UUID, uuid5

from domain.errors import Invalid
from domain.events import Actor, RecordedAggregate
from domain.values import dataclass

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
PATTERN = r"\btmk_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}\b"
"""For secret scanners; the last six characters are a checksum of everything before them."""
SCOPES = ("flows:read", "flows:write", "runs:read", "runs:write", "admin", "operator")
"""What a key may do. `admin` covers keys, members and projections, `operator` what belongs to the whole installation and is
given to owners of the workspace `default` alone; `admin` implies the others, as far as its user's role has them."""
MAX_LIFETIME_DAYS = 366
_FORM = re.compile(PATTERN)


@dataclass(frozen=True, slots=True)
class KeyText:
    """A key as its owner holds it. Only `key_id` and `digest` are ever stored."""

    key_id: str
    secret: str

    @property
    def text(self) -> str:
        """The key itself, to be shown once."""
        head = f"tmk_{self.key_id}_{self.secret}"
        return head + _base62(zlib.crc32(head.encode()), 6)

    @property
    def digest(self) -> str:
        """SHA-256 of the secret, hexadecimal; a fast hash is right for 256 random bits (ASVS 5.0, 6.5.2)."""
        return hashlib.sha256(self.secret.encode()).hexdigest()

    @classmethod
    def generate(cls) -> KeyText:
        """A new random key."""
        return cls(_random(12), _random(43))

    @classmethod
    def parse(cls, text: str) -> KeyText | None:
        """Read a key; None when its form or checksum is wrong (found without any database)."""
        if not _FORM.fullmatch(text):
            return None
        key = cls(text[4:16], text[17:60])
        return key if secrets.compare_digest(key.text, text) else None


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _base62(number: int, width: int) -> str:
    digits = ""
    while number:
        number, rest = divmod(number, 62)
        digits = _ALPHABET[rest] + digits
    return digits.rjust(width, "0")


def key_uuid(key_id: str) -> UUID:
    """The aggregate id of a key."""
    return uuid5(NAMESPACE_URL, f"testmesh:key:{key_id}")


class ApiKey(RecordedAggregate):
    """A key of one workspace with scopes and an end."""

    TOPIC = "api_key"

    class Event(RecordedAggregate.Event):
        """Base of the key's events."""

    class Issued(Event, RecordedAggregate.Created):
        """The key works from now until `expires_at`."""

        TOPIC = "api_key.issued"
        key_id: str
        digest: str
        name: str
        user: str
        scopes: Sequence[str]
        expires_at: datetime

        def apply(self, aggregate: ApiKey) -> None:
            """Valid."""
            aggregate.workspace, aggregate.key_id, aggregate.revoked = self.workspace, self.key_id, False
            aggregate.name = self.name

    Created = Issued

    class Revoked(Event):
        """The key works no more."""

        TOPIC = "api_key.revoked"

        def apply(self, aggregate: ApiKey) -> None:
            """Invalid for good."""
            aggregate.revoked = True

    if TYPE_CHECKING:
        key_id: str
        name: str
        revoked: bool

    @classmethod
    def issue(
        cls, by: Actor, key: KeyText, *, workspace: str, name: str, user: str, scopes: Sequence[str], expires_at: datetime
    ) -> ApiKey:
        """Issue a key; unknown scopes are refused."""
        unknown = sorted(set(scopes) - set(SCOPES))
        if unknown or not scopes:
            raise Invalid(
                f"unknown scopes: {', '.join(unknown)}" if unknown else "a key needs at least one scope",
                code="unknown_scope",
                remedy=f"choose from {', '.join(SCOPES)}",
            )
        values = {"key_id": key.key_id, "digest": key.digest, "name": name, "user": user, "scopes": tuple(scopes)}
        issued: ApiKey = cls._begin(
            cls.Issued, by, id=key_uuid(key.key_id), workspace=workspace, expires_at=expires_at, **values
        )
        return issued

    def revoke(self, by: Actor) -> None:
        """End the key; a second time changes nothing."""
        if not self.revoked:
            self._record(self.Revoked, by)
