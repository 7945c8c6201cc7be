"""Suite runs in memory: what is asked for is frozen, started in order, and ends in one verdict."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from application.data_rows import Case as Row
from application.executions import IdempotencyKeyReused
from application.memory_log import MemoryLog
from application.suite_plan import Member
from application.suites import SuiteRequest
from domain.errors import Conflict, Invalid, NotFound
from domain.execution import Execution
from domain.suite_run import SuiteRun
from tests.support.suites import BY, WORKSPACE, System


@pytest.fixture
def system() -> System:
    return System()


def cases(system: System, run: Any) -> list[str]:
    return [case["key"] for case in system.load(run).cases]


def test_each_case_is_an_execution_that_knows_its_suite_run(system: System) -> None:
    run = system.request(system.push("a"), system.push("b"), variables={"user": "eva"})
    coordinator = system.coordinator()
    coordinator.step()
    requested = system.requested()
    assert set(requested) == {system.load(run).execution_of(number) for number in (0, 1)}
    event = requested[system.load(run).execution_of(1)]
    assert (event.flow_name, event.flow_revision, event.trigger) == ("b", 1, "suite")
    assert (event.variables, event.suite_run) == ({"user": "eva"}, {"id": str(run), "case": 1})
    for id in requested:
        system.end(id)
    coordinator.step()
    assert system.load(run).verdict == "passed"
    assert coordinator.active == 0


def test_a_flow_that_is_needed_comes_along_and_hands_over_its_outputs(system: System) -> None:
    system.push("login")
    run = system.request(system.push("shop", "needs: [login]\n"))
    coordinator = system.coordinator()
    coordinator.step()
    assert cases(system, run) == ["shop.yaml", "login.yaml"]
    assert [event.flow_name for event in system.requested().values()] == ["login"]
    system.end_case(run, 1, token="t")
    coordinator.step()
    event = system.requested()[system.load(run).execution_of(0)]
    login = str(system.load(run).execution_of(1))
    assert event.suite_run == {"id": str(run), "case": 0, "needs": {"login": login, "login.yaml": login}}


def test_a_need_that_is_nowhere_and_a_circle_are_refused(system: System) -> None:
    with pytest.raises(NotFound, match="needs 'nowhere'"):
        system.request(system.push("a", "needs: [nowhere]\n"))
    one = system.push("one", "needs: [two]\n")
    system.push("two", "needs: [one]\n")
    with pytest.raises(Invalid, match="one > two > one"):
        system.request(one)


def test_rows_and_a_matrix_are_crossed(system: System) -> None:
    flow = system.push("a", "data:\n  key: city\n  rows: [{city: rome, n: 1}, {city: oslo, n: 2}]\n")
    run = system.request(flow, matrix={"browser": ["x", "y"]})
    assert cases(system, run) == [f"a.yaml[{city} browser={one}]" for one in "xy" for city in ("rome", "oslo")]
    system.coordinator().step()
    event = system.requested()[system.load(run).execution_of(3)]
    assert event.variables == {"city": "oslo", "n": 2, "row": {"city": "oslo", "n": 2}, "browser": "y"}
    assert event.case == "oslo browser=y"


def test_rows_come_from_a_file_of_the_bundle(system: System) -> None:
    file = {"rows.csv": b"city,n\nrome,1\noslo,2\n"}
    run = system.request(system.push("a", "data: {file: rows.csv}\n", **file))
    assert cases(system, run) == ["a.yaml[1]", "a.yaml[2]"]
    with pytest.raises(NotFound, match="did not come with"):
        system.request(system.push("b", "data: {file: rows.csv}\n"))
    with pytest.raises(Invalid, match=r"^rows.csv: two rows have the key"):
        system.request(system.push("c", "data: {file: rows.csv, key: city}\n", **{"rows.csv": b"city\nrome\nrome\n"}))


def test_rows_that_are_given_replace_those_of_the_flow(system: System) -> None:
    id = system.push("a", "data:\n  rows: [{n: 1}]\n")
    member = system.suites.member(WORKSPACE, id, rows=[Row("r", {"n": 7})], variables={"n": 1, "m": 2})
    run, _ = system.suites.request(BY, SuiteRequest(WORKSPACE, [member], variables={"m": 3}))
    system.coordinator().step()
    assert next(iter(system.requested().values())).variables == {"n": 7, "m": 3, "row": {"n": 7}}
    wanted = system.suites.member(WORKSPACE, id, only=frozenset({"x"}))
    with pytest.raises(NotFound, match="no row 'x'"):
        system.suites.request(BY, SuiteRequest(WORKSPACE, [wanted]))
    assert cases(system, run) == ["a.yaml[r]"]


@pytest.mark.parametrize(
    ("matrix", "said"), [({"a b": [1]}, "cannot be the name"), ({"a": []}, "different values"), ({"a": [[1]]}, "must be text")]
)
def test_a_matrix_that_makes_no_sense_is_refused(system: System, matrix: dict[str, Any], said: str) -> None:
    with pytest.raises(Invalid, match=said):
        system.request(system.push("a"), matrix=matrix)


def test_the_same_key_is_the_same_run_and_another_request_is_refused(system: System) -> None:
    flow = system.push("a")
    first = system.request(flow, idempotency_key="k", digest="1")
    assert system.request(flow, idempotency_key="k", digest="1") == first
    assert system.suites.accepted(WORKSPACE, "k", "1") == (first, system.log.position_of(first, 2))
    with pytest.raises(IdempotencyKeyReused):
        system.request(flow, idempotency_key="k", digest="2")


def test_fail_fast_cancels_what_runs_and_skips_the_rest(system: System) -> None:
    run = system.request(*(system.push(name) for name in "abc"), parallel=2, fail_fast=True)
    coordinator = system.coordinator()
    coordinator.step()
    system.end_case(run, 0, "failed")
    while coordinator.step():
        pass
    assert system.load(run).counts() == {"cancelled": 1, "failed": 1, "skipped": 1}
    assert system.load(run).verdict == "failed"


def test_a_cancelled_run_cancels_its_cases(system: System) -> None:
    run = system.request(*(system.push(name) for name in "abc"), parallel=2)
    coordinator = system.coordinator()
    coordinator.step()
    system.suites.cancel(BY, WORKSPACE, run, "enough")
    while coordinator.step():
        pass
    assert (system.load(run).verdict, system.load(run).counts()) == ("cancelled", {"cancelled": 2, "skipped": 1})
    with pytest.raises(Conflict):
        system.suites.cancel(BY, WORKSPACE, run)
    with pytest.raises(NotFound):
        system.suites.cancel(BY, "other", run)


class TimedLog(MemoryLog):
    """A log whose clock is set by hand."""

    moment = datetime(2026, 11, 26, 2, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment


def test_a_run_that_takes_too_long_is_ended_by_any_coordinator() -> None:
    log = TimedLog("executions")
    system = System(log)
    run = system.request(*(system.push(name) for name in "abc"), parallel=2, timeout=60.0)
    coordinator = system.coordinator()
    coordinator.step()
    log.moment += timedelta(seconds=59)
    coordinator.step()
    assert system.load(run).counts() == {"running": 2, "waiting": 1}
    system.end_case(run, 0, "passed")
    log.moment += timedelta(seconds=1)
    late = system.coordinator()
    while late.step() or coordinator.step():
        pass
    ended = system.load(run)
    assert (ended.verdict, ended.counts()) == ("timed_out", {"cancelled": 1, "passed": 1, "skipped": 1})
    assert log.load(Execution, ended.execution_of(1)).verdict == "cancelled"
    again, _ = system.suites.rerun(BY, WORKSPACE, run, idempotency_key=None, digest="")
    assert (system.load(again).timeout, system.load(again).deadline) == (60.0, "2026-11-26T02:02:00+00:00")
    freed, _ = system.suites.rerun(BY, WORKSPACE, run, timeout=0.0, idempotency_key=None, digest="")
    assert (system.load(freed).timeout, system.load(freed).deadline) == (0.0, "")


def test_a_time_limit_has_bounds(system: System) -> None:
    with pytest.raises(Invalid, match="timeout may be 30 days at most"):
        system.request(system.push("a"), timeout=1e12)


def test_a_rerun_runs_what_did_not_pass_with_the_outputs_of_what_did(system: System) -> None:
    system.push("login")
    shop, other = system.push("shop", "needs: [login]\n"), system.push("other")
    first = system.request(shop, other)
    coordinator = system.coordinator()
    coordinator.step()
    with pytest.raises(Conflict, match="has not finished"):
        system.suites.rerun(BY, WORKSPACE, first, idempotency_key=None, digest="")
    system.end_case(first, 2, token="t")
    system.end_case(first, 1)
    coordinator.step()
    system.end_case(first, 0, "failed")
    coordinator.step()
    second, _ = system.suites.rerun(BY, WORKSPACE, first, idempotency_key=None, digest="")
    coordinator.step()
    assert (cases(system, second), system.load(second).root) == (["shop.yaml"], str(first))
    event = system.requested()[system.load(second).execution_of(0)]
    assert event.suite_run["needs"]["login"] == str(system.load(first).execution_of(2))
    assert event.seed != system.requested()[system.load(first).execution_of(0)].seed
    system.end_case(second, 0)
    coordinator.step()
    assert system.load(second).verdict == "passed"
    with pytest.raises(Conflict, match="every case"):
        system.suites.rerun(BY, WORKSPACE, second, idempotency_key=None, digest="")


def test_variables_that_are_too_large_are_an_error_of_their_case_alone(system: System) -> None:
    big = system.suites.member(WORKSPACE, system.push("big"), rows=[Row("1", {"text": "x" * 60_000}), Row("2", {"text": ""})])
    run, _ = system.suites.request(BY, SuiteRequest(WORKSPACE, [big]))
    coordinator = system.coordinator()
    coordinator.step()
    system.end_case(run, 1)
    coordinator.step()
    assert (system.load(run).verdict, system.load(run).verdicts) == ("error", ["not_startable", "passed"])


def test_a_coordinator_that_begins_anew_goes_on_where_the_log_stands(system: System) -> None:
    run = system.request(*(system.push(name) for name in "abcd"), parallel=1)
    for number in range(4):
        coordinator = system.coordinator()
        coordinator.step()
        coordinator.step()
        assert system.load(run).running() == [number]
        system.end_case(run, number)
    later = system.coordinator()
    later.step()
    assert system.load(run).verdict == "passed"


def test_two_coordinators_start_each_case_once(system: System) -> None:
    run = system.request(*(system.push(name) for name in "abcdef"), parallel=2)
    one, other = system.coordinator(), system.coordinator()
    for _ in range(20):
        one.step()
        other.step()
        for number in system.load(run).running()[:1]:
            system.end_case(run, number)
    assert system.load(run).verdict == "passed"
    starts = [recorded.event.cases for recorded in system.log.read(0, 1000, (SuiteRun.CasesStarted.TOPIC,))]
    assert sorted(number for numbers in starts for number in numbers) == list(range(6))
    assert len(system.requested()) == 6


def test_members_may_be_documents_that_need_pushed_flows(system: System) -> None:
    system.push("login")
    from application.flow_documents import read_flow

    text = "name: here\nneeds: [login.yaml]\nsteps:\n  - {action: say, config: {message: x}}\n"
    member = Member(read_flow(text, file="here.yaml", actions=system.actions)[0], text)
    run, _ = system.suites.request(BY, SuiteRequest(WORKSPACE, [member]))
    assert cases(system, run) == ["here.yaml", "login.yaml"]
    with pytest.raises(NotFound):
        system.suites.get(WORKSPACE, uuid4())
