"""What a backup holds: a ZIP file with one member a table, a manifest behind them, and SHA-256 over all as its comment.

The first member says the format, so that any version can say what it cannot read. A member of a table is the text of
PostgreSQL's COPY, one line a row. The last 64 bytes are SHA-256 (hexadecimal) of everything before them.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

import orjson

from application.dispatch import NAME as DISPATCHER
from application.schema import LOGS
from domain.errors import Invalid
from domain.values import dataclass

FORMAT = 2
HEAD, MANIFEST, KEY = "testmesh-backup.json", "manifest.json", "key"
DIGEST_CHARS = 64
MANIFEST_BYTES = 1024 * 1024
CHUNK = 1024 * 1024
_KEY_CHECK = b"testmesh backup"
_SINCE_FORMAT_2 = ("seals",)
"""Tables that files of format 1 do not have."""


@dataclass(frozen=True, slots=True)
class Part:
    """A table of a log: its columns, which rows of it, and in which order."""

    log: str
    table: str
    columns: tuple[str, ...]
    where: str = "true"
    order: str = "1"

    @property
    def name(self) -> str:
        """Its member in the file."""
        return f"{self.log}/{self.table}"

    def copy_out(self) -> str:
        """The statement that writes it."""
        columns = ", ".join(self.columns)
        rows = f"SELECT {columns} FROM {self.log}.{self.table} WHERE {self.where} ORDER BY {self.order}"
        return f"COPY ({rows}) TO STDOUT"

    def copy_in(self, columns: tuple[str, ...]) -> str:
        """The statement that reads it, with the columns that the file has."""
        return f"COPY {self.log}.{self.table} ({', '.join(columns)}) FROM STDIN"


_EVENTS = ("originator_id", "originator_version", "topic", "state", "notification_id")
_LEASES = ("execution", "attempt", "kind", "worker", "beat", "deadline", "cancel_requested", "missed")
_LETTERS = (
    *("id", "entry", "reason", "worker", "parked_at", "names", "contents", "size", "cut"),
    *("decision", "decided_by", "decided_at"),
)


def _of(log: str) -> tuple[Part, ...]:
    return (
        Part(log, "events", _EVENTS, order="notification_id"),
        Part(log, "payloads", ("workspace", "id", "size", "body", "created_at"), order="workspace, id"),
        Part(log, "workspace_keys", ("workspace", "wrapped")),
        Part(log, "seals", ("number", "statement", "signature", "entries")),
    )


PARTS: tuple[Part, ...] = (
    *(part for log in ("executions", *(log for log in LOGS if log != "executions")) for part in _of(log)),
    Part("executions", "tracking", ("name", "position"), where=f"name = '{DISPATCHER}'"),
    Part("executions", "leases", _LEASES),
    Part("executions", "dead_letters", _LETTERS),
    Part("identity", "api_key_usage", ("key_id", "last_used_at", "address")),
)
"""Everything that cannot be made again. Executions stand first: what they name is in the later snapshots of other databases.
Snapshots are left out, they are only faster; so are positions of read models, which are built anew."""


@dataclass(frozen=True, slots=True)
class Held:
    """What the manifest says of a member: rows, bytes of its text, SHA-256 of it, and the columns."""

    rows: int
    bytes: int
    sha256: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """`made_at` is the database's time of the snapshot (ISO 8601), `key_check` tells whether a key file is the right one."""

    testmesh: str
    made_at: str
    key_check: str
    parts: Mapping[str, Held]

    def text(self) -> bytes:
        """As JSON."""
        parts = {
            name: {"rows": held.rows, "bytes": held.bytes, "sha256": held.sha256, "columns": held.columns}
            for name, held in self.parts.items()
        }
        plain = {"testmesh": self.testmesh, "made_at": self.made_at, "key_check": self.key_check, "parts": parts}
        return orjson.dumps(plain, option=orjson.OPT_INDENT_2)


def read_manifest(text: bytes) -> Manifest:
    """The manifest of a file; Invalid when it is not one that this version writes."""
    try:
        data: Any = orjson.loads(text)
        parts = {
            name: Held(int(held["rows"]), int(held["bytes"]), str(held["sha256"]), tuple(map(str, held["columns"])))
            for name, held in data["parts"].items()
        }
        manifest = Manifest(str(data["testmesh"]), str(data["made_at"]), str(data["key_check"]), parts)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Invalid(f"the backup's manifest cannot be read: {error}", code="damaged_backup") from error
    known = {part.name: set(part.columns) for part in PARTS}
    asked = {part.name for part in PARTS if part.table not in _SINCE_FORMAT_2}
    if not asked <= parts.keys() <= known.keys() or any(
        not held.columns or not set(held.columns) <= known[name] for name, held in parts.items()
    ):
        raise Invalid("the backup's manifest names other tables than this version has", code="damaged_backup")
    return manifest


def key_check(key: bytes) -> str:
    """What tells a key from others without telling the key."""
    return hmac.new(key, _KEY_CHECK, hashlib.sha256).hexdigest()
