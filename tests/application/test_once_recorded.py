"""Steps that run once for all cases of a suite run, over real servers and workers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from application.coordinating import Coordinator
from application.data_rows import Case as Row
from application.flow_documents import read_flow
from application.flows import Flows
from application.memory_log import MemoryLog
from application.payloads import MemoryPayloads
from application.suite_plan import Member
from application.suites import SuiteRequest, Suites
from domain.execution import Execution
from domain.once_step import OnceStep
from domain.suite_run import SuiteRun
from tests.support.cluster import Cluster, Running
from tests.support.suites import BY, WORKSPACE, Directory

pytestmark = pytest.mark.servers
SETUP = "setup:\n  - {id: seed, once: seed, action: say, config: {message: seeded, secret: s3cret}, output: {token: body}}\n"
BODY = "steps:\n  - {id: use, action: say, config: {message: '${token}'}, assert: [\"body == 'seeded'\"]}\n"


@pytest.fixture
def cluster(database_url: str, valkey_url: str) -> Iterator[Cluster]:
    made = Cluster(database_url, valkey_url)
    yield made
    made.close()


class Suite:
    """Suite runs of documents on a cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        flows = Flows(MemoryLog("flows"), MemoryPayloads(), cluster.actions)
        self.suites = Suites(cluster.log, cluster.payloads, flows, Directory(flows))
        self.coordinator = Coordinator(cluster.log, cluster.payloads, lambda: (0, []))

    def request(self, *texts: str, rows: int = 1, **more: Any) -> UUID:
        """Accept a suite run of these documents with so many rows each."""
        given = [Row(str(number), {"n": number}) for number in range(rows)]
        members = []
        for number, text in enumerate(texts):
            definition, _ = read_flow(text, file=f"f{number}.yaml", actions=self.cluster.actions)
            members.append(Member(definition, text, rows=given))
        return self.suites.request(BY, SuiteRequest(WORKSPACE, members, **more))[0]

    async def finished(self, id: UUID) -> SuiteRun:
        """Coordinate until the suite run has its verdict."""

        def over() -> bool:
            self.coordinator.step()
            return self.cluster.log.load(SuiteRun, id).verdict is not None

        await self.cluster.until(over, 20.0)
        return self.cluster.log.load(SuiteRun, id)


async def test_on_two_workers_a_step_runs_once_and_the_others_share_it(cluster: Cluster) -> None:
    suite = Suite(cluster)
    id = suite.request(*(f"name: f{number}\n{SETUP}{BODY}" for number in range(3)), rows=5)
    with cluster.following():
        async with Running(cluster.worker()), Running(cluster.worker()):
            run = await suite.finished(id)
    assert run.counts() == {"passed": 15}
    ends = [event for event in cluster.events() if isinstance(event, Execution.StepFinished) and event.path == "seed"]
    ran = [event for event in ends if not str(event.outcome["reason"]).startswith("once: it ran in f")]
    assert (len(ends), len(ran)) == (15, 1)
    assert len([event for event in cluster.events() if isinstance(event, OnceStep.Finished)]) == 1


async def test_a_failure_is_shared_too(cluster: Cluster) -> None:
    suite = Suite(cluster)
    setup = "setup:\n  - {id: seed, once: seed, action: fail}\n"
    id = suite.request(f"name: a\n{setup}{BODY}", rows=4)
    with cluster.following():
        async with Running(cluster.worker()):
            run = await suite.finished(id)
    assert run.counts() == {"failed": 4}
    assert len([event for event in cluster.events() if isinstance(event, OnceStep.Claimed)]) == 1
    messages = {event.message for event in cluster.events() if isinstance(event, Execution.Finished)}
    assert messages == {"seed: it does not hold"}


async def test_each_cell_of_a_matrix_has_its_own(cluster: Cluster) -> None:
    suite = Suite(cluster)
    id = suite.request(f"name: a\n{SETUP}{BODY}", rows=2, matrix={"site": ["x", "y"]})
    with cluster.following():
        async with Running(cluster.worker()):
            run = await suite.finished(id)
    assert run.counts() == {"passed": 4}
    assert cluster.calls.seen.count("seeded") == 2 + 4


async def test_when_whoever_runs_it_is_cancelled_the_next_one_runs_it(cluster: Cluster) -> None:
    suite = Suite(cluster)
    setup = "setup:\n  - {id: seed, once: seed, action: nap, config: {seconds: '${n == 0 ? 60 : 0}'}}\n"
    id = suite.request(f"name: a\n{setup}{BODY.replace('${token}', 'seeded')}", rows=2, parallel=1)
    with cluster.following():
        async with Running(cluster.worker()):
            suite.coordinator.step()
            first = cluster.log.load(SuiteRun, id).execution_of(0)
            await cluster.until(lambda: any(isinstance(event, OnceStep.Claimed) for event in cluster.events()))
            await asyncio.to_thread(cluster.executions.cancel, BY, WORKSPACE, first)
            run = await suite.finished(id)
    assert run.verdicts == ["cancelled", "passed"]
    topics = [event.TOPIC for event in cluster.events() if isinstance(event, OnceStep.Event)]
    assert topics == ["once_step.claimed", "once_step.given_up", "once_step.reclaimed", "once_step.finished"]


async def test_when_the_attempt_that_runs_it_is_taken_from_its_worker_the_next_one_runs_it(cluster: Cluster) -> None:
    suite = Suite(cluster)
    setup = "setup:\n  - {id: seed, once: seed, action: nap, config: {seconds: '${attempt == 1 ? 60 : 0}'}}\n"
    id = suite.request(f"name: a\n{setup}{BODY.replace('${token}', 'seeded')}", rows=2, parallel=1)
    with cluster.following():
        async with Running(cluster.worker()), Running(cluster.worker()):
            suite.coordinator.step()
            await cluster.until(lambda: any(isinstance(event, OnceStep.Claimed) for event in cluster.events()))
            first = cluster.log.load(SuiteRun, id).execution_of(0)
            await asyncio.to_thread(cluster.abandon, first)
            run = await suite.finished(id)
    assert run.counts() == {"passed": 2}
    (reclaimed,) = [event for event in cluster.events() if isinstance(event, OnceStep.Reclaimed)]
    assert (reclaimed.execution, reclaimed.attempt) == (str(first), 2)
