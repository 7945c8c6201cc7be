"""Snapshots on a real server: a long aggregate comes back as it was, and decides the same."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from application.database import Database
from application.event_store import PostgresLog
from application.log import SNAPSHOT_EVERY
from domain.events import Actor
from domain.execution import Execution
from domain.flow import Flow
from tests.support.cluster import Cluster, Running
from tests.support.local import flow

pytestmark = pytest.mark.servers
BY = Actor("user:test")


@pytest.fixture
def log(database_url: str) -> Iterator[PostgresLog]:
    database = Database(database_url)
    made = PostgresLog("flows", database)
    yield made
    made.close()
    database.close()


def _snapshots(log: PostgresLog, schema: str) -> list[int]:
    assert log.database is not None
    with log.database.connect() as connection:
        rows = connection.execute(f"SELECT originator_version FROM {schema}.snapshots ORDER BY 1".encode()).fetchall()
    return [row[0] for row in rows]


def test_events_count_as_appended_although_no_snapshot_could_be_kept(log: PostgresLog) -> None:
    source = {"description": "", "suite": "", "digest": "0", "document": {"id": "d", "size": 1}, "steps": 1}
    known = Flow.register(BY, workspace="w", project="", key="k", path="p", name="n", tags=["a"], **source)
    assert log.database is not None
    with log.database.connect() as connection:
        connection.execute("DROP TABLE flows.snapshots")
    for number in range(SNAPSHOT_EVERY):
        known.revise(BY, path="p", name="n", tags=["a"], **{**source, "digest": str(number + 1)})
    assert log.put(known) == SNAPSHOT_EVERY + 1


def test_a_flow_of_many_revisions_is_loaded_from_a_snapshot_as_it_was(log: PostgresLog) -> None:
    source = {"description": "", "suite": "", "digest": "0", "document": {"id": "d", "size": 1}, "steps": 1}
    known = Flow.register(BY, workspace="w", project="", key="k", path="p", name="n", tags=["a"], **source)
    log.put(known)
    for number in range(SNAPSHOT_EVERY + 5):
        known.revise(BY, path="p", name="n", tags=["a"], **{**source, "digest": str(number + 1)})
        log.put(known)
    assert _snapshots(log, "flows") == [SNAPSHOT_EVERY]
    loaded = log.load(Flow, known.id)
    assert vars(loaded) == vars(known)
    loaded.revise(BY, path="p", name="n", tags=["a"], **{**source, "digest": known.digest})
    assert loaded.pending_events == []
    assert loaded.document_of(3) == {"id": "d", "size": 1}


async def test_a_long_execution_is_cancelled_from_its_snapshot(database_url: str, valkey_url: str) -> None:
    cluster = Cluster(database_url, valkey_url)
    steps = "\n".join(f"- {{id: s{n}, action: say, config: {{message: {n}}}}}" for n in range(SNAPSHOT_EVERY // 3 + 5))
    id = cluster.request(flow(f"{steps}\n- {{id: hang, action: nap, config: {{seconds: 60}}}}"))
    with cluster.following():
        async with Running(cluster.worker()):
            await cluster.until(lambda: "nap" in cluster.calls.seen)
            execution = cluster.load(id)
            assert _snapshots(cluster.log, "executions")
            assert isinstance(execution.request, Execution.Requested)
            assert execution.request.originator_id == id
            cluster.executions.cancel(BY, "w", id)
            assert (await cluster.finished(id)).verdict == "cancelled"
    cluster.close()


def test_an_aggregate_that_is_not_there_is_not_found(log: PostgresLog) -> None:
    assert log.find(Flow, uuid4()) is None
