"""Seals on a real server: what is sealed verifies, what was changed is found and named, and nobody seals over a loss."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from application.schema import statements
from application.sealer import Sealer
from application.seals import Seal, SignedSeal, entries_after, newest, read_checkpoints, sign, signing_key, split
from domain.errors import Conflict, Invalid
from domain.merkle import tree_hash
from tests.support.sealing import KEY, LOG, SealedLog, sealed_log

pytestmark = pytest.mark.servers
OTHER_KEY = bytes(range(1, 33))


@pytest.fixture
def log(fresh_database: Callable[[], str]) -> Iterator[SealedLog]:
    """2,500 events in three seals."""
    with sealed_log(fresh_database, statements()) as made:
        made.append(2500)
        assert made.sealer().seal(LOG) == 2500
        yield made


def forge(log: SealedLog, number: int, key: bytes) -> None:
    """Make a seal anew over what stands there now, as its maker would, and those after it."""
    for at in range(number, log.checkpoint().seal.number + 1):
        with log.database.connect() as connection:
            rows = connection.execute(
                "SELECT statement FROM executions.seals WHERE number IN (%s, %s) ORDER BY number", (at - 1, at)
            )
            texts = [row[0] for row in rows.fetchall()]
            old = read_checkpoints(f"{texts[-1]} AA==")[0].seal
            before = read_checkpoints(f"{texts[0]} AA==")[0].seal if at > 1 else None
            entries = entries_after(connection, LOG, before.last if before else -1, 2000, old.last)
        previous = before.digest if before else old.previous
        root = tree_hash(entries).hex()
        made = sign(Seal(LOG, at, old.first, old.last, len(entries), root, previous, old.at), signing_key(key))
        log.execute(
            "UPDATE executions.seals SET statement = %s, signature = %s, entries = %s WHERE number = %s",
            (made.seal.statement, made.signature, b"".join(entries), at),
        )


def test_what_was_sealed_verifies_and_what_came_later_is_counted(log: SealedLog) -> None:
    log.append(7)
    seen = log.audit()
    assert (seen.seals, seen.events, seen.unsealed, seen.finding) == (3, 2500, 7, None)
    assert seen.last == log.ids()[2499]


def test_an_empty_log_verifies(fresh_database: Callable[[], str]) -> None:
    with sealed_log(fresh_database, statements()) as log:
        assert log.sealer().seal(LOG) == 0
        assert (log.audit().seals, log.audit().finding) == (0, None)


def test_a_changed_event_is_named(log: SealedLog) -> None:
    position = log.ids()[1700]
    log.execute("UPDATE executions.events SET topic = topic || 'x' WHERE notification_id = %s", (position,))
    finding = log.audit().finding
    assert finding is not None
    assert finding.position == position
    assert finding.what.startswith("was changed after seal 2 of ")


def test_the_first_of_several_is_named_an_inserted_one_before_all_too(log: SealedLog) -> None:
    log.execute("DELETE FROM executions.events WHERE notification_id = ANY(%s)", (log.ids()[900:905],))
    log.execute("INSERT INTO executions.events VALUES (gen_random_uuid(), 1, 'x', 'x', -5)")
    finding = log.audit().finding
    assert finding is not None
    assert (finding.position, finding.what[:12]) == (-5, "was inserted")


def test_a_seal_of_somebody_else_is_found(log: SealedLog) -> None:
    log.execute("UPDATE executions.events SET state = 'x' WHERE notification_id = %s", (log.ids()[1200],))
    forge(log, 2, OTHER_KEY)
    finding = log.audit().finding
    assert finding is not None
    assert (finding.position, finding.what) == (log.ids()[1000], "seal 2 is not signed with this key")


def test_records_that_were_changed_with_their_event_are_found(log: SealedLog) -> None:
    log.execute("UPDATE executions.events SET state = 'x' WHERE notification_id = %s", (log.ids()[1200],))
    with log.database.connect() as connection:
        entries = entries_after(connection, LOG, log.ids()[999], 1000)
    log.execute("UPDATE executions.seals SET entries = %s WHERE number = 2", (b"".join(entries),))
    finding = log.audit().finding
    assert finding is not None
    assert (finding.position, finding.what) == (log.ids()[1000], "seal 2 has other records of its events than were signed")


@pytest.mark.parametrize(("number", "first"), [(1, 0), (2, 1000)])
def test_a_removed_seal_is_found(log: SealedLog, number: int, first: int) -> None:
    log.execute("DELETE FROM executions.seals WHERE number = %s", (number,))
    finding = log.audit().finding
    assert finding is not None
    assert (finding.position, finding.what) == (log.ids()[first], f"seal {number} is missing")


def test_seals_that_changed_places_are_found(log: SealedLog) -> None:
    log.execute("UPDATE executions.seals SET number = CASE number WHEN 1 THEN 1002 ELSE 1001 END WHERE number <= 2")
    log.execute("UPDATE executions.seals SET number = number - 1000 WHERE number > 1000")
    finding = log.audit().finding
    assert finding is not None
    assert (finding.position, finding.what) == (log.ids()[0], "seal 1 is another one: executions, 2")


def test_a_tail_that_was_cut_off_with_its_seals_is_shown_by_the_checkpoint_alone(log: SealedLog) -> None:
    kept, cut = log.checkpoint(), log.ids()[2000]
    log.execute("DELETE FROM executions.events WHERE notification_id >= %s", (cut,))
    log.execute("DELETE FROM executions.seals WHERE number = 3")
    assert log.audit().finding is None
    finding = log.audit([kept]).finding
    assert finding is not None
    assert finding.what == f"seal 3 of {kept.seal.at}, up to event {kept.seal.last}, is gone since the checkpoint"
    assert log.ids()[-1] < finding.position <= cut


def test_whoever_owns_database_and_key_is_shown_by_the_checkpoint_alone(log: SealedLog) -> None:
    kept = log.checkpoint()
    log.execute("UPDATE executions.events SET state = 'x' WHERE notification_id = %s", (log.ids()[2100],))
    forge(log, 3, KEY)
    assert log.audit().finding is None
    finding = log.audit([kept]).finding
    assert finding is not None
    assert (finding.position, finding.what) == (log.ids()[2000], f"seal 3 of {kept.seal.at} was made anew since the checkpoint")


def test_an_older_checkpoint_narrows_what_was_made_anew(log: SealedLog) -> None:
    old = log.checkpoint()
    log.append(2000)
    log.sealer().seal(LOG)
    kept = log.checkpoint()
    log.execute("UPDATE executions.events SET state = 'x' WHERE notification_id = %s", (log.ids()[2600],))
    forge(log, 4, KEY)
    finding = log.audit([kept, old]).finding
    assert finding is not None
    assert finding.position == log.ids()[2500]


def test_a_checkpoint_that_was_changed_is_refused(log: SealedLog) -> None:
    kept = log.checkpoint()
    with pytest.raises(Invalid, match="seal 3, is not signed with this key"):
        log.audit([kept], OTHER_KEY)
    with pytest.raises(Invalid, match="is no checkpoint"):
        read_checkpoints(kept.line.replace("testmesh-seal-1 ", "testmesh-seal-1  "))
    assert read_checkpoints(f"# of Monday\n\n{kept.line}\n") == [kept]


def test_several_sealers_at_once_make_one_chain(log: SealedLog) -> None:
    stop = threading.Event()
    failed: list[BaseException] = []

    def follow(sealer: Sealer) -> None:
        try:
            while not stop.is_set():
                sealer.seal(LOG)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=follow, args=(log.sealer(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        log.append(150)
    stop.set()
    for thread in threads:
        thread.join()
    log.sealer().seal(LOG)
    assert failed == []
    assert (log.audit().events, log.audit().unsealed, log.audit().finding) == (5500, 0, None)


def test_nobody_seals_over_what_was_taken_away(log: SealedLog, tmp_path: Path) -> None:
    file = tmp_path / "checkpoints"
    sealer = log.sealer(file)
    sealer.seal(LOG)
    kept = log.checkpoint()
    assert read_checkpoints(file.read_text()) == [kept]
    log.execute("DELETE FROM executions.seals WHERE number = 3")
    log.execute("UPDATE executions.events SET state = 'x' WHERE notification_id = %s", (log.ids()[2100],))
    for one in (sealer, log.sealer(file)):
        with pytest.raises(Conflict, match=r"does not hold seal 3 of .* any more"):
            one.seal(LOG)
    file.unlink()
    assert log.sealer(file).seal(LOG) == 500
    finding = log.audit([kept]).finding
    assert finding is not None
    assert (finding.position, finding.what[-14:]) == (log.ids()[2000], "the checkpoint")


def test_what_comes_while_sealing_waits_for_the_next_time(log: SealedLog) -> None:
    arriving = iter([10] * 5)

    def now() -> datetime:
        log.append(next(arriving, 0))
        return datetime.now(UTC)

    log.append(10)
    assert Sealer({LOG: log.database}, signing_key(KEY), now=now).seal(LOG) == 10
    assert log.audit().unsealed == 10


def test_a_thousand_events_are_not_kept_waiting(log: SealedLog) -> None:
    sealer = log.sealer()
    sealer.seal(LOG)
    log.append(999)
    assert sealer.seal(LOG, least=1000) == 0
    log.append(1)
    assert sealer.seal(LOG, least=1000) == 1000


def test_a_sealer_with_another_key_leaves_the_log_alone(log: SealedLog) -> None:
    log.append(1)
    with pytest.raises(Conflict, match="not signed with this key file"):
        log.sealer(key=OTHER_KEY).seal(LOG)


def test_the_records_of_a_seal_are_in_the_order_of_ids(log: SealedLog) -> None:
    entries = log.execute("SELECT entries FROM executions.seals WHERE number = 1")[0][0]
    assert [int.from_bytes(entry[:8], "big") for entry in split(entries)] == log.ids()[:1000]


def test_the_newest_seal_is_the_checkpoint(log: SealedLog) -> None:
    with log.database.connect() as connection:
        found = newest(connection, LOG)
    assert isinstance(found, SignedSeal)
    assert (found.seal.number, found.seal.count) == (3, 500)
