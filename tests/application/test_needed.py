"""What a flow of a suite run hands over to those that need it, on workers: as it is, and secret where it was secret."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from domain.execution import Execution
from tests.application.test_once_recorded import Suite
from tests.support.cluster import Cluster, Running
from tests.support.suites import BY, WORKSPACE

pytestmark = pytest.mark.servers
LOGIN = """name: login
outputs: {token: token, user: user}
steps:
  - {id: make, action: say, config: {message: s3cret-t0ken, secret: s3cret-t0ken}, output: {token: body}}
  - {id: who, action: say, config: {message: eva}, output: {user: body}}
"""
SHOP = """name: shop
needs: [login]
steps:
  - {id: use, action: say, config: {message: "${needs.login.token} of ${needs['f0.yaml'].user}"}}
  - {id: check, action: say, config: {message: x}, assert: ["len(needs.login.token) == 12"]}
"""


@pytest.fixture
def cluster(database_url: str, valkey_url: str) -> Iterator[Cluster]:
    made = Cluster(database_url, valkey_url)
    yield made
    made.close()


async def test_outputs_reach_those_that_need_them_and_secrets_are_recorded_nowhere(cluster: Cluster) -> None:
    suite = Suite(cluster)
    id = suite.request(LOGIN, SHOP)
    with cluster.following():
        async with Running(cluster.worker()):
            run = await suite.finished(id)
    assert run.counts() == {"passed": 2}
    assert "s3cret-t0ken of eva" in cluster.calls.seen
    (event,) = [
        event
        for event in cluster.events()
        if isinstance(event, Execution.Finished) and event.originator_id == run.execution_of(0)
    ]
    assert event.outputs["user"] == "eva"
    with cluster.database.connect() as connection:
        states = [bytes(row[0]) for row in connection.execute("SELECT state FROM executions.events").fetchall()]
    assert len(states) > 15
    assert [state for state in states if b"s3cret-t0ken" in state] == []


async def test_a_rerun_gets_the_outputs_of_what_passed_before(cluster: Cluster) -> None:
    suite = Suite(cluster)
    id = suite.request(LOGIN, SHOP.replace("== 12", "== 13"))
    with cluster.following():
        async with Running(cluster.worker()):
            first = await suite.finished(id)
            again, _ = suite.suites.rerun(BY, WORKSPACE, id, idempotency_key=None, digest="")
            second = await suite.finished(again)
    assert (first.verdict, second.verdict) == ("failed", "failed")
    assert cluster.calls.seen.count("s3cret-t0ken of eva") == 2
    assert cluster.calls.seen.count("s3cret-t0ken") == 1
