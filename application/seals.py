"""Seals of a log: each signs a Merkle root over a stretch of its events and names the seal before it."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from uuid import UUID

from application.schema import LOGS
from domain.errors import Invalid
from domain.values import dataclass

if TYPE_CHECKING:
    import psycopg
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

ENTRY_BYTES = 40
"""What a seal records of an event: its notification id (8 bytes), and SHA-256 of its row."""
BEFORE_ALL = -(2**63)
"""Below every notification id: whoever may write rows may also choose a negative one."""
NONE_BEFORE = "0" * 64
"""What the first seal of a log names as the one before it."""
_FORMAT = "testmesh-seal-1"
_KEY_USE = b"testmesh seals 1"


@dataclass(frozen=True, slots=True)
class Seal:
    """What is signed: `count` events from id `first` to id `last`, their Merkle root, and the digest of the seal before."""

    log: str
    number: int
    first: int
    last: int
    count: int
    root: str
    previous: str
    at: str

    @property
    def statement(self) -> str:
        """The text that is signed, in one line."""
        parts = (_FORMAT, self.log, self.number, self.first, self.last, self.count, self.root, self.previous, self.at)
        return " ".join(map(str, parts))

    @property
    def digest(self) -> str:
        """What the next seal names: SHA-256 of the statement."""
        return hashlib.sha256(self.statement.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class SignedSeal:
    """A seal and its Ed25519 signature (RFC 8032, 64 bytes). As a line of text, it is a checkpoint to keep elsewhere."""

    seal: Seal
    signature: bytes

    @property
    def line(self) -> str:
        """The checkpoint."""
        return f"{self.seal.statement} {base64.b64encode(self.signature).decode()}"

    def is_by(self, key: Ed25519PublicKey) -> bool:
        """Whether this key has signed it."""
        from cryptography.exceptions import InvalidSignature

        try:
            key.verify(self.signature, self.seal.statement.encode())
        except InvalidSignature:
            return False
        return True


def read_statement(text: str) -> Seal:
    """The seal of a statement; Invalid when it is not one, letter by letter."""
    try:
        _, log, number, first, last, count, root, previous, at = text.split(" ")
        seal = Seal(log, int(number), int(first), int(last), int(count), root, previous, at)
    except ValueError as error:
        raise Invalid("this is no seal", code="invalid_seal") from error
    if seal.statement != text or log not in LOGS:
        raise Invalid("this is no seal", code="invalid_seal")
    return seal


def read_checkpoints(text: str) -> list[SignedSeal]:
    """The checkpoints of a text, one a line; lines that are empty or begin with # are passed over."""
    return [_read_line(line.strip()) for line in text.splitlines() if line.strip() and not line.startswith("#")]


def _read_line(line: str) -> SignedSeal:
    statement, _, signature = line.rpartition(" ")
    try:
        return SignedSeal(read_statement(statement), base64.b64decode(signature, validate=True))
    except (Invalid, binascii.Error) as error:
        remedy = "give the lines that `testmesh audit checkpoint` has printed, or a file with them"
        raise Invalid(f"{line[:40]!r} is no checkpoint", code="invalid_checkpoint", remedy=remedy) from error


def signing_key(key: bytes) -> Ed25519PrivateKey:
    """The private key, derived from the key file's 32 bytes (HKDF with SHA-256, RFC 5869)."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return Ed25519PrivateKey.from_private_bytes(HKDF(SHA256(), 32, None, _KEY_USE).derive(key))


def public_text(key: Ed25519PublicKey) -> str:
    """A public key as 64 hexadecimal digits."""
    return key.public_bytes_raw().hex()


def read_public(text: str) -> Ed25519PublicKey:
    """The public key of 64 hexadecimal digits."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        return Ed25519PublicKey.from_public_bytes(bytes.fromhex(text))
    except ValueError as error:
        raise Invalid("the key is not what `testmesh audit key` prints: 64 hexadecimal digits", code="invalid_key") from error


def sign(seal: Seal, key: Ed25519PrivateKey) -> SignedSeal:
    """Sign."""
    return SignedSeal(seal, key.sign(seal.statement.encode()))


def entry_of(position: int, id: UUID, version: int, topic: str, state: bytes) -> bytes:
    """What a seal records of a row. Numbers are big-endian; the topic has its length before it, so no two rows are alike."""
    name = topic.encode()
    row = id.bytes + version.to_bytes(4, "big", signed=True) + len(name).to_bytes(4, "big") + name + state
    return position.to_bytes(8, "big", signed=True) + hashlib.sha256(row).digest()


def position_in(entry: bytes) -> int:
    """The notification id of an entry."""
    return int.from_bytes(entry[:8], "big", signed=True)


def split(entries: bytes) -> list[bytes]:
    """The entries of their concatenation."""
    return [entries[at : at + ENTRY_BYTES] for at in range(0, len(entries), ENTRY_BYTES)]


def entries_after(connection: psycopg.Connection[Any], log: str, after: int, limit: int, up_to: int = 2**63 - 1) -> list[bytes]:
    """Entries of the events as they are now, in the order of their ids."""
    sql = (
        f"SELECT notification_id, originator_id, originator_version, topic, state FROM {log}.events"
        " WHERE notification_id > %s AND notification_id <= %s ORDER BY notification_id LIMIT %s"
    )
    with connection.cursor(binary=True) as cursor:
        rows: Iterable[Any] = cursor.execute(sql.encode(), (after, up_to, limit)).fetchall()
    return [entry_of(*row) for row in rows]


def newest(connection: psycopg.Connection[Any], log: str) -> SignedSeal | None:
    """The newest seal of a log, as it is stored; Invalid when it cannot be read."""
    sql = f"SELECT statement, signature FROM {log}.seals ORDER BY number DESC LIMIT 1"
    row = connection.execute(sql.encode()).fetchone()
    return SignedSeal(read_statement(row[0]), row[1]) if row else None


def statement_of(connection: psycopg.Connection[Any], log: str, number: int) -> str | None:
    """The statement of a seal, as it is stored."""
    row = connection.execute(f"SELECT statement FROM {log}.seals WHERE number = %s".encode(), (number,)).fetchone()
    return row[0] if row else None
