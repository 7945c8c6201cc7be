"""R5: how soon a cancelled execution has ended, with the hint that a cancel gives and without it, where steps hang in I/O."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

import httpx
import psycopg
import pytest

from application.executions import _cancel_hint
from domain.execution import Execution
from tests.chaos.checker import read_log
from tests.chaos.harness import System, until
from tests.chaos.trial import running
from tests.docs.conftest import in_a_thread
from tests.support.events import BY
from tests.support.figures import Figure
from tests.support.http_server import Received, http_server
from tests.support.websocket_server import websocket_server

pytestmark = [pytest.mark.row("R5"), pytest.mark.long]
LEASE, BEAT, SEED = 15.0, 5.0, 5
"""As by default. Seconds."""
HINTED, UNHINTED, AT_ONCE = 100, 20, 20
HUNG = {
    "http": '{id: hang, action: http_request, config: {method: GET, url: "%(http)s/never", timeout: 10m}}',
    "sql": '{id: hang, action: postgresql.query, config: {connection: "%(sql)s", query: SELECT pg_sleep(600)}}',
    "redis": '{id: hang, action: redis.command, config: {url: "%(redis)s", command: BLPOP, args: [x, 600]}, timeout: 10m}',
    "websocket": '{id: hang, action: websocket, config: {url: "%(websocket)s", expect: message == 1, timeout: 10m}}',
}
FLOW = """
flow:
  name: hangs in %s
  setup: [{id: make, action: log, config: {message: made}, output: {made: $.message}}]
  steps:
    - %s
  teardown: [{id: clean, action: log, config: {message: "clean ${made}"}}]
"""


async def _never(received: Received, writer: Any) -> None:
    """Answer nothing for as long as anybody waits."""
    await asyncio.sleep(600)


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    """Two workers with the default heartbeat, which may reach what their flows hang in."""
    places = {"concurrency": 16, "lease": LEASE, "heartbeat": BEAT}
    with running(workers=2, **places, TESTMESH_EGRESS_ALLOW="127.0.0.1") as made:
        yield made


@pytest.fixture(scope="module")
def flows(system: System) -> Iterator[list[str]]:
    """A flow that hangs in each kind of I/O."""
    with in_a_thread(lambda: http_server(_never)) as http, in_a_thread(websocket_server) as socket:
        where = {"http": http.url, "websocket": socket.url, "sql": system.postgres.url, "redis": system.valkey.url}
        yield [FLOW % (kind, step % where) for kind, step in HUNG.items()]


def hanging(system: System, http: httpx.Client, flows: list[str], number: int) -> list[UUID]:
    """So many executions, of each flow alike, that have all begun to hang."""
    ids = []
    for index in range(number):
        body = {"document": flows[index % len(flows)], "file": "hangs.yaml"}
        answer = http.post(system.path("/executions"), json=body)
        assert answer.status_code == 202, answer.text
        ids.append(UUID(answer.json()["id"]))
    until(lambda: _hung(system, ids) == number, "all to hang", 60)
    return ids


def _hung(system: System, ids: list[UUID]) -> int:
    sql = (
        "SELECT count(*) FROM executions.events WHERE originator_id = ANY(%s) AND topic = 'execution.step_started'"
        " AND convert_from(state, 'UTF8')::jsonb ->> 'path' = 'hang'"
    )
    with psycopg.connect(system.settings.database_url) as connection:
        row = connection.execute(sql, (ids,)).fetchone()
    return int(row[0]) if row else 0


def ended(system: System, asked: dict[UUID, float], seconds: float) -> list[float]:
    """Seconds from each cancel to the end of its execution, which was cancelled and torn down; in order."""
    until(lambda: all(_end(read_log(system.settings.database_url)[id]) for id in asked), "all to end", seconds)
    log = read_log(system.settings.database_url)
    for id in asked:
        assert [fields["verdict"] for _, name, fields in log[id] if name == "finished"] == ["cancelled"]
        assert [name for _, name, _ in log[id]].count("teardown_finished") == 1
    return sorted(_end(log[id]) - at for id, at in asked.items())


def _end(events: list[Any]) -> float:
    moments = [datetime.fromisoformat(fields["timestamp"]).timestamp() for _, name, fields in events if name == "finished"]
    return moments[0] if moments else 0.0


def test_ninety_nine_of_a_hundred_cancels_have_ended_a_hung_execution_within_a_second(
    system: System, flows: list[str], figure: Figure
) -> None:
    took = list[float]()
    with system.client() as http:
        for _ in range(HINTED // AT_ONCE):
            asked = {}
            for id in hanging(system, http, flows, AT_ONCE):
                asked[id] = time.time()
                assert http.post(system.path(f"/executions/{id}/cancel"), json={}).status_code == 202
            took += ended(system, asked, 30)
    took.sort()
    figure(
        f"{len(took)} cancels of executions that hang in HTTP, SQL, Redis and WebSocket, to the end after teardown:"
        f" {took[len(took) // 2] * 1000:.0f} ms (median), {took[-2] * 1000:.0f} ms (p99), {took[-1] * 1000:.0f} ms at most"
    )
    assert took[-2] <= 1.0


def test_a_cancel_whose_hint_is_lost_has_ended_a_hung_execution_within_six_seconds(
    system: System, flows: list[str], figure: Figure
) -> None:
    chance, asked, log = random.Random(SEED), dict[UUID, float](), system.platform.logs["executions"]
    with system.client() as http:
        for id in hanging(system, http, flows, UNHINTED):
            time.sleep(chance.random() * 2 * BEAT / UNHINTED)
            asked[id] = time.time()
            execution = log.load(Execution, id)
            execution.request_cancel(BY)
            log.put(execution, side=[write for write in _cancel_hint(id) if "pg_notify" not in write.sql])
    took = ended(system, asked, 30)
    figure(
        f"{len(took)} cancels without the hint, heartbeat {BEAT:.0f} s, seed {SEED}: {took[len(took) // 2]:.1f} s (median),"
        f" {took[-1]:.1f} s at most"
    )
    assert took[-1] <= 6.0
