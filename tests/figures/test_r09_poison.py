"""R9: an event that a projection cannot read stops that projection, is shown, and holds up nobody else."""

from __future__ import annotations

import time
from uuid import uuid4

import httpx
import psycopg
import pytest

from interfaces.adapters.embedded import free_port
from tests.chaos.afterwards import read_models_equal_a_rebuild, wait_for_the_end
from tests.chaos.checker import read_log
from tests.chaos.clients import Clients
from tests.chaos.harness import until
from tests.chaos.trial import running
from tests.support.figures import Figure

pytestmark = [pytest.mark.row("R9"), pytest.mark.long]
METRIC = 'testmesh_projection_stopped{projection="execution_details"} 1.0'
ADD = "SELECT executions.append(%b::uuid[], %b::int4[], %b::text[], %b::bytea[])"


def test_an_event_that_a_projection_cannot_read_is_shown_within_five_seconds_and_the_others_go_on(figure: Figure) -> None:
    port = free_port(None)
    with running(workers=1, projector={"TESTMESH_METRICS_PORT": str(port)}) as system:
        clients = Clients(system)
        clients.start(100, pause=0.05)
        until(lambda: clients.answers["202"] > 20, "some work")
        poison = uuid4()
        with psycopg.connect(system.settings.database_url, autocommit=True) as connection:
            connection.execute(ADD, ([poison], [1], ["execution.log_written"], [b'{"class_version": 99}']))
        begun = time.monotonic()
        until(lambda: METRIC in _metrics(port), "the metric of the stopped projection", 30)
        seconds = time.monotonic() - begun
        clients.join()
        with psycopg.connect(system.settings.database_url, autocommit=True) as connection:
            behind = _positions(connection)
            connection.execute("DELETE FROM executions.events WHERE originator_id = %s", (poison,))
        ended = sum(events[-1][1] == "finished" for events in read_log(system.settings.database_url).values())
        wait_for_the_end(system.settings.database_url)
        until(lambda: METRIC not in _metrics(port), "the projection to go on", 60)
        figure(f"shown by the metrics after {seconds:.1f} s; meanwhile {ended} executions ended; then it went on: {behind}")
        assert seconds <= 5.0
        assert behind["execution_list"] > behind["execution_details"]
        assert read_models_equal_a_rebuild(system) > 0


def _positions(connection: psycopg.Connection[tuple[object, ...]]) -> dict[str, int]:
    rows = connection.execute("SELECT name, position FROM executions.tracking").fetchall()
    return {str(name): int(str(position)) for name, position in rows}


def _metrics(port: int) -> str:
    return httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
