"""R14: the guards of a log's tail, which a failover to a standby that is behind needs: each, taken away, is missed."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from application.database import Database
from application.event_store import PostgresLog
from application.group_commit import Append, GroupCommitter
from application.log import LostTail
from domain.events import SYSTEM
from domain.execution import Execution
from tests.chaos.checker import Event, broken_so_far, read_log
from tests.domain.test_execution import requested

pytestmark = [pytest.mark.servers, pytest.mark.row("R14")]


class Failover(GroupCommitter):
    """Its connection breaks before the next append, as in a failover."""

    breaks = 0

    def _write(self, batch: list[Append]) -> list[int]:
        if self.breaks:
            self.breaks -= 1
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        return super()._write(batch)


class ForgetsItsTail(Failover):
    """Whatever stands before what it appends is taken for its own."""

    def _check_tail(self, append: Append) -> None:
        """Nothing."""


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    made = Database(database_url, size=2)
    yield made
    made.close()


def play(database: Database, committer: type[Failover], *, rival: bool) -> list[Event]:
    """A worker begins a step; the event is lost in a failover, and somebody else may write in its place; the worker ends the
    step. The execution's events, as they stand then."""
    log, other = PostgresLog("executions", database), PostgresLog("executions", database)
    log._committer = mine = committer("executions", database.connect)
    execution = requested()
    log.put(execution)
    execution.start_attempt(SYSTEM, 1, "w")
    execution.start_step(SYSTEM, 1, "w", path="one", phase="steps", number=1, name="one", action="log", teardown=0)
    log.put(execution)
    with database.connect() as connection:
        connection.execute("DELETE FROM executions.events WHERE originator_version = 3")
    if rival:
        asked = other.load(Execution, execution.id)
        asked.request_cancel(SYSTEM)
        other.put(asked)
    mine.breaks = 1
    execution.finish_step(SYSTEM, 1, "w", path="one", phase="steps", outcome={"verdict": "passed"}, state={}, payload=None)
    try:
        log.put(execution)
    finally:
        log.close()
        other.close()
    return read_log(database.url)[execution.id]


@pytest.mark.parametrize("rival", [False, True])
def test_what_a_failover_has_lost_is_not_built_upon(database: Database, rival: bool) -> None:
    with pytest.raises(LostTail):
        play(database, Failover, rival=rival)
    (events,) = read_log(database.url).values()
    assert broken_so_far(events) == []
    assert "step_finished" not in [name for _, name, _ in events]


def test_a_log_that_takes_events_after_a_hole_has_one(database: Database) -> None:
    with database.connect() as connection:
        connection.execute("ALTER TABLE executions.events DISABLE TRIGGER refuse_holes")
    assert "versions have holes or repeat" in broken_so_far(play(database, ForgetsItsTail, rival=False))


def test_a_log_that_does_not_know_its_last_event_ends_a_step_that_never_began(database: Database) -> None:
    names = [name for _, name, _ in play(database, ForgetsItsTail, rival=True)]
    assert names == ["requested", "attempt_started", "cancel_requested", "step_finished"]
