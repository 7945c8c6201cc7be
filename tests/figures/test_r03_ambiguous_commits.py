"""R3: a commit whose acknowledgement is lost is looked for, not guessed at."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit
from uuid import UUID

import psycopg
import pytest

from application import leases
from application.database import Database
from application.event_store import PostgresLog
from tests.support.events import events_of_attempt, requested
from tests.support.figures import Figure
from tests.support.tcp_proxy import TcpProxy

pytestmark = [pytest.mark.row("R3"), pytest.mark.long]
APPENDS, WRITERS = 1_000, 5


def test_no_acknowledgement_of_a_thousand_appends_arrives_and_nobody_notices(database_url: str, figure: Figure) -> None:
    port = urlsplit(database_url).port
    proxy = TcpProxy(port or 0)
    databases = [Database(database_url.replace(f":{port}/", f":{proxy.port}/"), size=1) for _ in range(WRITERS)]
    logs = [PostgresLog("executions", database) for database in databases]
    proxy.swallow_answer(b"executions.append", always=True)

    def write(log: PostgresLog) -> tuple[int, list[str], dict[UUID, int]]:
        """Appends of six events each, every other one with a row of its own in the same transaction."""
        errors, expected = [], dict[UUID, int]()
        for number in range(APPENDS // WRITERS):
            execution = events_of_attempt(requested())
            side = [leases.take(execution.id, 1, "attempt", "w", 60.0)] if number % 2 else []
            try:
                log.put(execution, side=side, patience=20.0)
            except Exception as error:
                errors.append(f"{type(error).__name__}: {error}")
            expected[execution.id] = execution.version
        return len(errors), errors, expected

    with ThreadPoolExecutor(WRITERS) as threads:
        done = list(threads.map(write, logs))
    for log, database in zip(logs, databases, strict=True):
        log.close()
        database.close()
    proxy.close()
    expected = {id: version for _, _, versions in done for id, version in versions.items()}
    with psycopg.connect(database_url) as connection:
        sql = "SELECT originator_id, count(*), max(originator_version) FROM executions.events GROUP BY 1"
        there = {id: (count, version) for id, count, version in connection.execute(sql).fetchall()}
        sides = connection.execute("SELECT count(*) FROM executions.leases").fetchone()
    errors = [error for _, errors, _ in done for error in errors]
    figure(
        f"{APPENDS:,} appends, {proxy.swallowed:,} acknowledgements dropped: {len(errors)} errors, {len(there):,} recorded once"
    )
    assert errors == []
    assert there == {id: (version, version) for id, version in expected.items()}
    assert sides == (APPENDS // 2,)
    assert proxy.swallowed >= APPENDS
