"""Follows the logs and seals what is new: every 1,000 events or 10 seconds. Appends know nothing of it."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from application.database import Database
from application.group_commit import is_connection_error
from application.seals import (
    BEFORE_ALL,
    NONE_BEFORE,
    Seal,
    SignedSeal,
    entries_after,
    newest,
    position_in,
    read_checkpoints,
    sign,
    statement_of,
)
from domain.errors import Conflict, Refusal
from domain.merkle import tree_hash

if TYPE_CHECKING:
    import psycopg
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SEAL_EVENTS = 1000
SEAL_SECONDS = 10.0
LOOK_SECONDS = 1.0
"""How often it is looked whether SEAL_EVENTS are new already."""
TELL_SECONDS = 3600.0
"""How often the newest checkpoint of a log is also written into this process's own log."""
logger = logging.getLogger("testmesh.sealer")


class Sealer:
    """Seals the logs. Two at once are harmless: a seal's number is its key, whoever is second begins from the first one's.

    It never seals over a loss: a log that does not hold the newest seal that it knew (from before, or from its file) is
    left alone, so that nobody can take seals away, change events, and have them sealed anew.
    """

    def __init__(
        self,
        databases: Mapping[str, Database],
        key: Ed25519PrivateKey,
        file: Path | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`databases` by log; `file` is where the newest checkpoint of each log is kept."""
        self._databases = databases
        self._key = key
        self._file = file
        self._now = now
        self._known: dict[str, SignedSeal] | None = None
        self._told: dict[str, float] = {}

    def run(self, stop: threading.Event) -> None:
        """Seal until stopped; one log's trouble is not another's."""
        due = dict.fromkeys(self._databases, 0.0)
        while not stop.is_set():
            for log in self._databases:
                if time.monotonic() >= due[log]:
                    due[log] = time.monotonic() + SEAL_SECONDS
                    self._try(log, stop)
                else:
                    self._try(log, stop, least=SEAL_EVENTS)
            stop.wait(LOOK_SECONDS)

    def seal(self, log: str, stop: threading.Event | None = None, *, least: int = 1) -> int:
        """Seal what a log holds now, if `least` events are new; their number. Conflict when seals are gone or are not ours.

        A seal of fewer than SEAL_EVENTS is the last: what comes meanwhile is for the next time, or seals would be tiny.
        """
        sealed, count = 0, SEAL_EVENTS
        with self._databases[log].pool.connection() as connection:
            if least > 1 and not self._has(connection, log, least):
                return 0
            while count == SEAL_EVENTS and not (stop and stop.is_set()):
                count = self._seal_next(connection, log)
                sealed += count
        return sealed

    def _has(self, connection: psycopg.Connection[Any], log: str, count: int) -> bool:
        """Whether so many events are not sealed, as far as is known here."""
        known = self._checkpoints.get(log)
        after = known.seal.last if known else BEFORE_ALL
        sql = f"SELECT 1 FROM {log}.events WHERE notification_id > %s ORDER BY notification_id OFFSET %s LIMIT 1"
        return connection.execute(sql.encode(), (after, count - 1)).fetchone() is not None

    def _try(self, log: str, stop: threading.Event, least: int = 1) -> None:
        try:
            if self.seal(log, stop, least=least):
                self._tell(log)
        except Refusal as error:
            logger.error("%s is not sealed any more: %s (%s)", log, error, error.remedy or "see `testmesh audit verify`")
        except Exception as error:
            if not is_connection_error(error):
                logger.exception("%s could not be sealed; it is tried again", log)

    def _seal_next(self, connection: psycopg.Connection[Any], log: str) -> int:
        """One more seal; the events in it, 0 when there is nothing new."""
        before = newest(connection, log)
        self._check(connection, log, before)
        entries = entries_after(connection, log, before.seal.last if before else BEFORE_ALL, SEAL_EVENTS)
        if not entries:
            return 0
        made = sign(self._seal_of(log, before.seal if before else None, entries), self._key)
        sql = f"INSERT INTO {log}.seals (number, statement, signature, entries) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING"
        values = (made.seal.number, made.seal.statement, made.signature, b"".join(entries))
        if connection.execute(sql.encode(), values).rowcount:
            self._keep(log, made)
        return len(entries)

    def _seal_of(self, log: str, before: Seal | None, entries: list[bytes]) -> Seal:
        return Seal(
            log,
            before.number + 1 if before else 1,
            position_in(entries[0]),
            position_in(entries[-1]),
            len(entries),
            tree_hash(entries).hex(),
            before.digest if before else NONE_BEFORE,
            self._now().strftime("%Y-%m-%dT%H:%M:%SZ"),
        )

    def _check(self, connection: psycopg.Connection[Any], log: str, before: SignedSeal | None) -> None:
        """That the log still holds what was known, and that the seal to go on from is ours."""
        known = self._checkpoints.get(log)
        if known == before:
            return
        if known and statement_of(connection, log, known.seal.number) != known.seal.statement:
            raise Conflict(
                f"it does not hold seal {known.seal.number} of {known.seal.at} any more, up to event {known.seal.last}",
                code="seal_lost",
                remedy="look with `testmesh audit verify`; after a restore or a failover that lost commits, remove "
                + (str(self._file) if self._file else "nothing, and start the projector again"),
            )
        if before and not before.is_by(self._key.public_key()):
            raise Conflict(f"seal {before.seal.number} is not signed with this key file", code="seal_not_ours")
        if before:
            self._keep(log, before)

    @property
    def _checkpoints(self) -> dict[str, SignedSeal]:
        if self._known is None:
            there = self._file is not None and self._file.exists()
            kept = read_checkpoints(self._file.read_text()) if self._file and there else []
            self._known = {one.seal.log: one for one in kept}
        return self._known

    def _keep(self, log: str, seal: SignedSeal) -> None:
        self._checkpoints[log] = seal
        if self._file is None:
            return
        self._file.parent.mkdir(parents=True, exist_ok=True)
        partial = self._file.with_name(f".{self._file.name}.{os.getpid()}")
        with partial.open("w") as file:
            file.write("".join(f"{one.line}\n" for one in self._checkpoints.values()))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self._file)

    def _tell(self, log: str) -> None:
        if time.monotonic() >= self._told.get(log, 0.0):
            self._told[log] = time.monotonic() + TELL_SECONDS
            logger.info("checkpoint: %s", self._checkpoints[log].line)
