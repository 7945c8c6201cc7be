"""The event store on real PostgreSQL: positions, conflicts, holes, ambiguous commits, payloads."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from eventsourcing.persistence import IntegrityError

from application.database import Database
from application.event_store import PostgresLog
from application.group_commit import Append, GroupCommitter
from application.log import LostTail, SideWrite, VersionConflict
from application.payloads import SealedPayloads
from domain.errors import Unavailable
from domain.events import SYSTEM
from domain.execution import Execution
from tests.domain.test_execution import requested
from tests.support.program import ROOT
from tests.support.tied import tied

pytestmark = pytest.mark.servers


@pytest.fixture
def log(database_url: str) -> Iterator[PostgresLog]:
    database = Database(database_url)
    log = PostgresLog("executions", database)
    yield log
    log.close()
    database.close()


def started(log: PostgresLog) -> Execution:
    execution = requested()
    execution.start_attempt(SYSTEM, 1, "w")
    log.put(execution)
    return execution


def test_what_is_put_is_loaded_and_read_in_order(log: PostgresLog):
    execution = started(log)
    assert vars(log.load(Execution, execution.id)) == vars(execution)
    assert [recorded.topic for recorded in log.read(0, 10)] == ["execution.requested", "execution.attempt_started"]
    assert log.head() == 2


def test_of_two_claims_one_wins(log: PostgresLog):
    execution = requested()
    log.put(execution)
    one, other = log.load(Execution, execution.id), log.load(Execution, execution.id)
    one.start_attempt(SYSTEM, 1, "one")
    other.start_attempt(SYSTEM, 1, "other")
    log.put(one)
    with pytest.raises(VersionConflict):
        log.put(other)
    assert log.load(Execution, execution.id).worker == "one"


def test_in_a_shared_commit_only_the_guilty_save_fails(log: PostgresLog):
    execution = requested()
    log.put(execution)
    rivals = [log.load(Execution, execution.id) for _ in range(5)]
    for number, rival in enumerate(rivals):
        rival.start_attempt(SYSTEM, 1, f"w{number}")
    bystanders = [requested() for _ in range(20)]
    futures = [log.submit(aggregate) for aggregate in [*rivals, *bystanders]]
    errors = [future.exception() for future in futures]
    assert [type(error) for error in errors[:5]].count(VersionConflict) == 4
    assert errors[5:] == [None] * 20


def test_a_hole_in_a_stream_is_refused(log: PostgresLog):
    execution = started(log)
    assert log.database is not None
    with log.database.connect() as connection:
        connection.execute("DELETE FROM executions.events WHERE originator_version = 2")
    execution.request_cancel(SYSTEM)
    with pytest.raises(LostTail):
        log.put(execution)


def test_positions_rise_in_the_order_of_commits_with_many_writers(log: PostgresLog):
    seen: list[int] = []
    stop = threading.Event()

    def tail() -> None:
        position = 0
        while not stop.is_set() or log.head() > position:
            for recorded in log.read(position, 100):
                seen.append(recorded.position)
                position = recorded.position

    reader = threading.Thread(target=tail)
    reader.start()
    assert log.database is not None
    others = [PostgresLog("executions", log.database) for _ in range(4)]
    writers = [threading.Thread(target=lambda mine=mine: [mine.put(requested()) for _ in range(50)]) for mine in others]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    stop.set()
    reader.join()
    for other in others:
        other.close()
    assert len(seen) == 200
    assert seen == sorted(seen)


def test_savers_that_wait_and_savers_that_do_not_share_one_committer(log: PostgresLog):
    positions: list[list[int]] = [[] for _ in range(12)]

    def save(mine: list[int], waits: bool) -> None:
        for _ in range(40):
            mine.append(log.put(requested()) if waits else log.submit(requested()).result(30))

    savers = [threading.Thread(target=save, args=(mine, number % 3 != 0)) for number, mine in enumerate(positions)]
    for saver in savers:
        saver.start()
    for saver in savers:
        saver.join(60)
    assert not any(saver.is_alive() for saver in savers), "a saver was left waiting"
    assert all(mine == sorted(mine) for mine in positions)
    assert sorted(position for mine in positions for position in mine) == [r.position for r in log.read(0, 1000)]


def test_a_saver_that_is_interrupted_leaves_nobody_waiting(log: PostgresLog):
    committer = log._committer
    write, others = committer._write, []

    def interrupted(batch: list[Append]) -> list[int]:
        committer._write = write  # type: ignore[method-assign]
        others.append(log.submit(requested()))
        raise KeyboardInterrupt

    committer._leading.acquire()
    others.append(log.submit(requested()))
    committer._write = interrupted  # type: ignore[method-assign]
    committer._hand_in(Append([log.application.mapper.to_stored_event(event) for event in requested().collect_events()]))
    batch = committer._next_batch()
    with pytest.raises(KeyboardInterrupt):
        committer._commit(batch)
    committer._leading.release()

    with pytest.raises(Unavailable, match="interrupted"):
        others[0].result(10)
    assert others[1].result(10) > 0
    assert log.put(requested()) > others[1].result()


class CommittedThenBroken:
    """A connection whose first append is committed, but whose answer is lost."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.broken = 0

    def connect(self) -> psycopg.Connection[tuple[object, ...]]:
        connection = self._database.connect()
        if not self.broken:
            real = connection.execute

            def lossy(*args: object, **kwargs: object) -> object:
                real(*args, **kwargs)  # type: ignore[arg-type]
                self.broken += 1
                connection.close()
                raise psycopg.OperationalError("server closed the connection unexpectedly")

            connection.execute = lossy  # type: ignore[method-assign,assignment]
        return connection


def test_a_commit_whose_answer_was_lost_is_found_and_not_repeated(log: PostgresLog):
    assert log.database is not None
    lossy = CommittedThenBroken(log.database)
    log._committer = GroupCommitter("executions", lossy.connect)
    execution = started(log)
    assert lossy.broken == 1
    assert log.load(Execution, execution.id).version == 2
    assert log.head() == 2


FROZEN = """
import os, signal, sys
from application.database import Database
from application.event_store import PostgresLog
from application.log import SideWrite
from tests.domain.test_execution import requested

log = PostgresLog("executions", Database(sys.argv[1]))
log.put(requested())
connection = log._committer._connected()
execute = connection.execute

def freezing(statement, *args, **kwargs):
    found = execute(statement, *args, **kwargs)
    if "append(" in statement:
        os.kill(os.getpid(), signal.SIGSTOP)
    return found

connection.execute = freezing
side = [SideWrite("SELECT 1"), SideWrite("SELECT 2")]
try:
    log.put(requested(), side=side, patience=0.0)
except Exception as error:
    print(type(error).__name__)
"""


def test_a_process_that_is_frozen_between_two_statements_of_an_append_holds_up_others_for_a_second(log: PostgresLog):
    argv = [sys.executable, "-c", FROZEN, log.database.url]
    with subprocess.Popen(tied(*argv), cwd=ROOT, stdout=subprocess.PIPE, text=True) as frozen:
        _, status = os.waitpid(frozen.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        try:
            begun = time.monotonic()
            assert log.put(requested(), patience=20.0) > 0, "while the other stands still in its append"
            assert time.monotonic() - begun < 3.0, "a second, and what a busy machine adds"
        finally:
            frozen.send_signal(signal.SIGCONT)
        assert frozen.stdout is not None
        assert frozen.stdout.read().strip() == "Unavailable"
    assert log.head() == 2 + 1, "the gap is that of a position which was taken and not kept"
    assert len(log.read(0, 10)) == 2


def test_a_database_that_stays_away_is_said_after_a_bounded_time():
    database = Database("postgresql://nobody:x@127.0.0.1:1/none")
    committer = GroupCommitter("executions", database.connect)
    log = PostgresLog("executions", database)
    log._committer = committer
    with pytest.raises(Unavailable, match="PostgreSQL does not answer"):
        log.put(requested(), patience=0.2)
    log.close()


def test_side_writes_take_effect_with_the_events_or_not_at_all(log: PostgresLog):
    write = [SideWrite("INSERT INTO executions.tracking (name, position) VALUES ('side', 1)")]
    execution = requested()
    log.put(execution, side=write)
    rival = log.load(Execution, execution.id)
    execution.start_attempt(SYSTEM, 1, "w")
    log.put(execution)
    rival.start_attempt(SYSTEM, 1, "v")
    with pytest.raises(VersionConflict):
        log.put(rival, side=[SideWrite("DELETE FROM executions.tracking")])
    assert log.database is not None
    with log.database.connect() as connection:
        assert connection.execute("SELECT count(*) FROM executions.tracking").fetchone() == (1,)


def test_the_librarys_own_write_path_is_closed(log: PostgresLog):
    with pytest.raises(IntegrityError, match=r"Log\.put"):
        log.application.save(requested())


def test_payloads_are_encrypted_bound_to_their_place_and_shared_when_equal(log: PostgresLog):
    assert log.database is not None
    payloads = SealedPayloads(log.database, "executions", b"k" * 32)
    content = b"a secret body " * 100
    reference, side = payloads.seal("w", content)
    again, _ = payloads.seal("w", content)
    elsewhere, _ = payloads.seal("v", content)
    assert again == reference
    assert elsewhere["id"] != reference["id"]
    log.put(requested(), side=side)
    assert payloads.open("w", reference) == content
    with log.database.connect() as connection:
        row = connection.execute("SELECT body FROM executions.payloads").fetchone()
    assert row is not None
    assert b"secret" not in row[0]
    with pytest.raises(Unavailable):
        SealedPayloads(log.database, "executions", b"x" * 32).open("w", reference)


def test_an_idempotent_id_is_one_execution(log: PostgresLog):
    id = uuid4()
    first, second = (Execution.request_run(SYSTEM, id=id, workspace="w", **{**REQUEST}) for _ in range(2))
    log.put(first)
    with pytest.raises(VersionConflict):
        log.put(second)


NAMES = (
    *("project", "flow_id", "flow_revision", "flow_name", "file", "document", "variables", "tags", "trigger"),
    *("request_digest", "seed", "on_worker_lost", "max_attempts", "timeout", "teardown_timeout", "case"),
)
REQUEST = {name: getattr(requested().request, name) for name in NAMES}
