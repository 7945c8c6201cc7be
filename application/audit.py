"""Audit of a log: every event is compared with its seal, every seal with its signature, its neighbours and checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from application.seals import (
    BEFORE_ALL,
    ENTRY_BYTES,
    NONE_BEFORE,
    Seal,
    SignedSeal,
    entries_after,
    position_in,
    read_statement,
    split,
    statement_of,
)
from domain.errors import Invalid
from domain.merkle import tree_hash
from domain.values import dataclass

if TYPE_CHECKING:
    import psycopg
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class Finding:
    """The first event (by notification id) that is not what was sealed, or whose seal is no proof any more; and why."""

    position: int
    what: str


@dataclass(frozen=True, slots=True)
class Audited:
    """What an audit saw of a log: seals and events in order, the last of those, how many are not sealed, what is wrong."""

    log: str
    seals: int
    events: int
    last: int
    unsealed: int
    finding: Finding | None


def audit(connection: psycopg.Connection[Any], log: str, key: Ed25519PublicKey, since: Sequence[SignedSeal] = ()) -> Audited:
    """Audit a log in one snapshot. `since` are checkpoints kept elsewhere; Invalid when one is not signed with the key."""
    kept = sorted((one for one in since if one.seal.log == log), key=lambda one: one.seal.number)
    for one in kept:
        if not one.is_by(key):
            raise Invalid(
                f"the checkpoint of {log}, seal {one.seal.number}, is not signed with this key",
                code="invalid_checkpoint",
            )
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        connection.execute("SET LOCAL idle_in_transaction_session_timeout = '60s'")
        return _Audit(connection, log, key).run([one.seal for one in kept])


class _Audit:
    """One audit under way: the last seal that held, and what has been counted up to it."""

    def __init__(self, connection: psycopg.Connection[Any], log: str, key: Ed25519PublicKey) -> None:
        self._connection = connection
        self._log = log
        self._key = key
        self._before: Seal | None = None
        self._events = 0

    def run(self, kept: Sequence[Seal]) -> Audited:
        finding = self._walk() or self._compare(kept)
        count = f"SELECT count(*) FROM {self._log}.events WHERE notification_id > %s"
        row = self._connection.execute(count.encode(), (self._last,)).fetchone()
        seals = self._before.number if self._before else 0
        return Audited(self._log, seals, self._events, max(self._last, 0), row[0] if row else 0, finding)

    @property
    def _last(self) -> int:
        return self._before.last if self._before else BEFORE_ALL

    def _walk(self) -> Finding | None:
        """From seal to seal, until one does not hold."""
        sql = f"SELECT number, statement, signature, entries FROM {self._log}.seals WHERE number > %s ORDER BY number LIMIT 1"
        number = -(2**63)
        while row := self._connection.execute(sql.encode(), (number,), binary=True).fetchone():
            number = row[0]
            finding = self._seal(*row)
            if finding:
                return finding
        return None

    def _seal(self, number: int, statement: str, signature: bytes, entries: bytes) -> Finding | None:
        """Compare one seal and its events; it is the last one that held when nothing is found."""
        expected = self._before.number + 1 if self._before else 1
        if number != expected:
            return self._from_here(f"seal {expected} is missing" if number > expected else f"there is a seal {number}")
        try:
            seal = read_statement(statement)
        except Invalid:
            return self._from_here(f"seal {number} cannot be read")
        wrong = self._wrong(seal, number, signature, entries)
        if wrong:
            return self._from_here(f"seal {number} {wrong}")
        there = entries_after(self._connection, self._log, self._last, seal.count + 1, seal.last)
        finding = first_difference(split(entries), there)
        if finding:
            return Finding(finding.position, f"{finding.what} after seal {number} of {seal.at}")
        self._before, self._events = seal, self._events + seal.count
        return None

    def _wrong(self, seal: Seal, number: int, signature: bytes, entries: bytes) -> str | None:
        """What is wrong with a seal by itself and beside the one before it."""
        if not SignedSeal(seal, signature).is_by(self._key):
            return "is not signed with this key"
        if (seal.log, seal.number) != (self._log, number):
            return f"is another one: {seal.log}, {seal.number}"
        if seal.previous != (self._before.digest if self._before else NONE_BEFORE):
            return "does not follow the one before it"
        if len(entries) != seal.count * ENTRY_BYTES or tree_hash(split(entries)).hex() != seal.root:
            return "has other records of its events than were signed"
        return None

    def _compare(self, kept: Sequence[Seal]) -> Finding | None:
        """Whether the seals are those of the checkpoints."""
        proven = BEFORE_ALL
        for one in kept:
            stored = statement_of(self._connection, self._log, one.number)
            if stored is None:
                return self._from_here(f"seal {one.number} of {one.at}, up to event {one.last}, is gone since the checkpoint")
            if stored != one.statement:
                after = max(proven, self._named_by(one))
                return self._from_here(f"seal {one.number} of {one.at} was made anew since the checkpoint", after)
            proven = one.last
        return None

    def _named_by(self, kept: Seal) -> int:
        """The last event that a checkpoint proves although its own seal is another now: up to the seal that it names."""
        before = statement_of(self._connection, self._log, kept.number - 1)
        seal = read_statement(before) if before else None
        return seal.last if seal and seal.digest == kept.previous else BEFORE_ALL

    def _from_here(self, what: str, after: int | None = None) -> Finding:
        """From the first event on that no seal proves any more; where it is gone too, from the id that may have been its."""
        after = self._last if after is None else after
        sql = f"SELECT min(notification_id) FROM {self._log}.events WHERE notification_id > %s"
        row = self._connection.execute(sql.encode(), (after,)).fetchone()
        return Finding(row[0] if row and row[0] is not None else max(after, 0) + 1, what)


def first_difference(sealed: Sequence[bytes], there: Sequence[bytes]) -> Finding | None:
    """The smallest id whose entry differs between what was sealed and what is there; both in the order of ids."""
    for was, now in zip_longest(sealed, there):
        if was == now:
            continue
        if now is None or (was is not None and position_in(was) < position_in(now)):
            return Finding(position_in(was), "was deleted")
        if was is None or position_in(now) < position_in(was):
            return Finding(position_in(now), "was inserted")
        return Finding(position_in(now), "was changed")
    return None
