"""R16: whatever is changed in a sealed log is found, by the id of the first event that is not as it was; nothing else is."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from threading import Event, Thread
from typing import Any
from uuid import UUID

import pytest

from application.schema import statements
from application.seals import SignedSeal
from tests.support.figures import Figure
from tests.support.sealing import LOG, SealedLog, sealed_log

pytestmark = [pytest.mark.row("R16"), pytest.mark.servers]
SEED = 16
EVENTS = 3200
_BACK = """
DELETE FROM executions.events e WHERE NOT EXISTS (SELECT 1 FROM kept k WHERE k = e);
INSERT INTO executions.events SELECT k.* FROM kept k WHERE NOT EXISTS
    (SELECT 1 FROM executions.events e WHERE e.notification_id = k.notification_id) ORDER BY notification_id;
INSERT INTO executions.seals SELECT * FROM kept_seals ON CONFLICT DO NOTHING;
"""


@pytest.fixture
def log(fresh_database: Callable[[], str]) -> Iterator[SealedLog]:
    with sealed_log(fresh_database, statements(), SEED) as made:
        made.append(EVENTS)
        made.sealer().seal(LOG)
        made.execute("CREATE TABLE kept AS SELECT * FROM executions.events")
        made.execute("CREATE TABLE kept_seals AS SELECT * FROM executions.seals")
        yield made


class Tamperer:
    """Somebody who owns the database and not the key. Each mutation returns the id of the first event that it concerns."""

    def __init__(self, log: SealedLog) -> None:
        self._log = log
        self._ids = log.ids()
        self._holes = sorted(set(range(-50, self._ids[-1])) - set(self._ids))
        self._rng = log.rng

    def mutate(self) -> tuple[str, int]:
        """One random mutation."""
        kind = self._rng.choice(["flip", "delete", "insert", "swap", "truncate", "truncate with seals"])
        return kind, {
            "flip": self._flip,
            "delete": self._delete,
            "insert": self._insert,
            "swap": self._swap,
            "truncate": self._truncate,
            "truncate with seals": self._truncate_with_seals,
        }[kind]()

    def _update(self, column: str, value: Any, position: int) -> None:
        self._log.execute(f"UPDATE executions.events SET {column} = %s WHERE notification_id = %s", (value, position))

    def _flip(self) -> int:
        """One bit of any column; of an id, any other number that is free."""
        position = self._rng.choice(self._ids)
        column = self._rng.choice(["state", "state", "topic", "originator_id", "originator_version", "notification_id"])
        if column == "notification_id":
            other = self._rng.choice([*self._rng.sample(self._holes, 3), self._ids[-1] + self._rng.randint(1, 1000)])
            self._update(column, other, position)
            return min(position, other)
        sql = f"SELECT {column} FROM executions.events WHERE notification_id = %s"
        self._update(column, self._flipped(self._log.execute(sql, (position,))[0][0]), position)
        return position

    def _flipped(self, value: Any) -> Any:
        if isinstance(value, bytes):
            at, bit = self._rng.randrange(len(value)), 1 << self._rng.randrange(8)
            return value[:at] + bytes([value[at] ^ bit]) + value[at + 1 :]
        if isinstance(value, str):
            at = self._rng.randrange(len(value))
            return value[:at] + chr(ord(value[at]) ^ 1) + value[at + 1 :]
        # High bits, so that the primary key stays free.
        return UUID(int=value.int ^ 1 << self._rng.randrange(100, 128)) if isinstance(value, UUID) else value ^ 1 << 20

    def _delete(self) -> int:
        chosen = self._rng.sample(self._ids, self._rng.randint(1, 5))
        self._log.execute("DELETE FROM executions.events WHERE notification_id = ANY(%s)", (chosen,))
        return min(chosen)

    def _insert(self) -> int:
        position = self._rng.choice(self._holes)
        sql = "INSERT INTO executions.events VALUES (gen_random_uuid(), 1, 'execution.requested', '{}', %s)"
        self._log.execute(sql, (position,))
        return position

    def _swap(self) -> int:
        """The contents of two events, or their ids."""
        first, second = sorted(self._rng.sample(self._ids, 2))
        if self._rng.random() < 0.5:
            sql = (
                "UPDATE executions.events e SET state = o.state FROM executions.events o"
                " WHERE e.notification_id = ANY(%s) AND o.notification_id = ANY(%s) AND e.notification_id <> o.notification_id"
            )
            self._log.execute(sql, ([first, second], [first, second]))
        else:
            for old, new in ((first, 10**9), (second, first), (10**9, second)):
                self._update("notification_id", new, old)
        return first

    def _truncate(self) -> int:
        cut = self._rng.choice(self._ids)
        self._log.execute("DELETE FROM executions.events WHERE notification_id >= %s", (cut,))
        return cut

    def _truncate_with_seals(self) -> int:
        """Nothing in the database is wrong afterwards; only the checkpoint tells. It tells from the last seal on."""
        cut = self._truncate()
        self._log.execute("DELETE FROM executions.seals WHERE split_part(statement, ' ', 5)::bigint >= %s", (cut,))
        sql = "SELECT coalesce(max(split_part(statement, ' ', 5)::bigint), -100) FROM executions.seals"
        proven = self._log.execute(sql)[0][0]
        return next((position for position in self._ids if proven < position < cut), proven + 1 if proven > 0 else 1)


def mutations(log: SealedLog, count: int, figure: Figure) -> None:
    """Each alone, on the log as it was sealed; audited with the checkpoint that was kept before."""
    kept: list[SignedSeal] = [log.checkpoint()]
    tamperer, done, found, named = Tamperer(log), Counter[str](), 0, 0
    for _ in range(count):
        kind, expected = tamperer.mutate()
        finding = log.audit(kept).finding
        found += finding is not None
        named += finding is not None and finding.position == expected
        assert finding is not None, (kind, expected)
        assert finding.position == expected, (kind, expected, finding)
        log.execute(_BACK)
        done[kind] += 1
    assert log.audit(kept).finding is None
    told = ", ".join(f"{number} {kind}" for kind, number in sorted(done.items()))
    figure(
        f"seed {SEED}, {EVENTS} events: {told}: {found} of {count} found, {named} with the first bad id (where seals were cut"
        " off too: the first that no seal proves any more)"
    )
    assert len(done) == 6


def no_false_alarm(log: SealedLog, count: int, figure: Figure) -> None:
    """Audited while events come and two sealers follow, and at the end."""
    stop, audits = Event(), 0

    def follow() -> None:
        sealer = log.sealer()
        while not stop.is_set():
            sealer.seal(LOG)
            stop.wait(0.02)

    threads = [Thread(target=follow) for _ in range(2)]
    for thread in threads:
        thread.start()
    kept: list[SignedSeal] = []
    try:
        for _ in range(20):
            log.append(count // 20)
            seen = log.audit(kept)
            assert seen.finding is None
            audits += 1
            kept += [log.checkpoint()] if seen.seals else []
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    log.sealer().seal(LOG)
    begun = time.monotonic()
    seen = log.audit(kept)
    seconds = time.monotonic() - begun
    figure(
        f"{seen.events} events in {seen.seals} seals by two sealers, {audits + 1} audits meanwhile with up to {len(kept)}"
        f" checkpoints: 0 false alarms; the last took {seconds:.1f} s"
    )
    assert (seen.events, seen.unsealed, seen.finding) == (EVENTS + count, 0, None)


def test_50_mutations_are_found_and_named(log: SealedLog, figure: Figure) -> None:
    mutations(log, 50, figure)


def test_10_000_events_give_no_false_alarm(log: SealedLog, figure: Figure) -> None:
    no_false_alarm(log, 10_000, figure)


@pytest.mark.nightly
def test_1_000_mutations_are_found_and_named(log: SealedLog, figure: Figure) -> None:
    mutations(log, 1000, figure)


@pytest.mark.nightly
def test_100_000_events_give_no_false_alarm(log: SealedLog, figure: Figure) -> None:
    no_false_alarm(log, 100_000, figure)
