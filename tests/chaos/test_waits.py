"""What looks for waits sees them."""

from __future__ import annotations

import threading
import time

import psycopg
import pytest

from tests.chaos.harness import until
from tests.chaos.waits import Waits

pytestmark = pytest.mark.servers


def test_waits_idle_transactions_and_deadlocks_are_seen(database_url: str) -> None:
    with Waits(database_url) as waits, psycopg.connect(database_url) as one, psycopg.connect(database_url) as two:
        before = waits.deadlocks
        one.execute("SELECT pg_advisory_xact_lock(1)")
        two.execute("SELECT pg_advisory_xact_lock(2)")
        time.sleep(0.3)
        waiting = threading.Thread(target=_lock, args=(two, 1))
        waiting.start()
        _lock(one, 2)
        one.rollback()
        waiting.join()
        two.rollback()
        until(lambda: waits.deadlocks > before, "the deadlock to be counted")
    assert waits.idle[0] > 0.2
    assert "pg_advisory_xact_lock" in waits.idle[1]
    assert waits.lock[0] > 0.5, "PostgreSQL looks for deadlocks after a second"
    assert "pg_advisory_xact_lock" in waits.lock[1]


def _lock(connection: psycopg.Connection[tuple[object, ...]], number: int) -> None:
    try:
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (number,))
    except psycopg.errors.DeadlockDetected:
        connection.rollback()
