"""Cases of a suite run in concurrency groups: their flows' locks hold, and a full group skips those that say so."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

import pytest

from application import group_places
from application.flows import Document
from application.queueing import Wish
from application.suites import SuiteRequest
from domain.execution import Execution
from domain.queueing import Group
from tests.application.test_coordinators_together import Process
from tests.support.suites import BY, FLOW, WORKSPACE

pytestmark = pytest.mark.servers


@pytest.fixture
def process(database_url: str) -> Iterator[Process]:
    made = Process(database_url)
    yield made
    made.close()


def requested(process: Process, rows: int, more: str = "", **wanted: object) -> UUID:
    """A suite run of a flow with so many rows; `more` are lines of its document. The coordinator has looked at it."""
    data = "data:\n  rows: [" + ", ".join("{n: 1}" for _ in range(rows)) + "]\n"
    pushed, _ = process.flows.push(BY, WORKSPACE, "", [Document("f.yaml", FLOW.format(name="f", more=data + more))])
    members = process.suites.members(WORKSPACE, [flow.id for flow in pushed])
    id = process.suites.request(BY, SuiteRequest(WORKSPACE, members, **wanted))[0]  # type: ignore[arg-type]
    process.coordinator.step()
    return id


def callable_now(process: Process) -> list[UUID]:
    with process.database.pool.connection() as connection:
        return [id for id, _, _ in group_places.callable_now(connection)]


def test_cases_of_a_locked_flow_are_called_one_after_the_other_in_their_order(process: Process) -> None:
    id = requested(process, 3, "lock: db\n")
    run = process.run(id)
    assert len(run.running()) == 3
    for number in range(3):
        assert callable_now(process) == [run.execution_of(number)]
        process.end(run.execution_of(number))
    process.coordinator.step()
    assert process.run(id).verdict == "passed"


def test_a_group_that_is_full_skips_the_cases_that_say_so_and_the_suite_run_goes_on(process: Process) -> None:
    id = requested(process, 4, "config:\n  concurrency: {group: shop, max: 2, when_full: skip}\n")
    run = process.run(id)
    assert sorted(process.requested()) == sorted(run.execution_of(number) for number in range(4))
    assert callable_now(process) == [run.execution_of(0), run.execution_of(1)]
    for number in range(2):
        process.end(run.execution_of(number))
    while process.coordinator.step():
        pass
    assert process.run(id).counts() == {"cancelled": 2, "passed": 2}
    other = requested(process, 1, "config:\n  concurrency: {group: shop, max: 2, when_full: skip}\n")
    assert callable_now(process) == [process.run(other).execution_of(0)]


def test_what_a_request_says_about_waiting_counts_for_every_case_and_for_its_reruns(process: Process) -> None:
    wish = Wish("high", ("gpu",), Group("tenant 7", 2), 60.0)
    id = requested(process, 2, wish=wish)
    process.end(process.run(id).execution_of(0))
    process.end(process.run(id).execution_of(1), "failed")
    process.coordinator.step()
    again, _ = process.suites.rerun(BY, WORKSPACE, id, idempotency_key=None, digest="")
    process.coordinator.step()
    for execution in (process.run(id).execution_of(0), process.run(again).execution_of(0)):
        request = process.log.load(Execution, execution).request
        assert (request.priority, request.runs_on, request.queue_timeout) == (1, ["gpu"], 60.0)
        assert [group["name"] for group in request.groups] == ["tenant 7"]
