"""The SuiteRun aggregate: given(past).when(command).then(events)."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given as each
from hypothesis import strategies as st

from domain.errors import Conflict, Invalid, LimitExceeded
from domain.limits import LIMITS, replace_limits
from domain.suite_case import Case, case_key, case_uuid
from domain.suite_run import PASSED, SuiteRun
from tests.support.given_when_then import given
from tests.support.suites import BY, advanced, case, cases, ended, suite_run

Started, Ended, Skipped, Finished = SuiteRun.CasesStarted, SuiteRun.CasesEnded, SuiteRun.CasesSkipped, SuiteRun.Finished


def test_a_request_records_its_cases_in_portions_that_fit_events() -> None:
    run = suite_run(*(case("a" * 100, number, row=str(number)) for number in range(1000)))
    requested, *planned = run.collect_events()
    assert isinstance(requested, SuiteRun.Requested)
    assert (requested.total, len(planned) > 5) == (1000, True)
    assert [event.first for event in planned] == [sum(len(e.cases) for e in planned[:n]) for n in range(len(planned))]
    assert run.statuses == ["waiting"] * 1000


def test_as_many_cases_start_as_may_run_at_once() -> None:
    (started,) = given(suite_run(parallel=2)).when(advanced).then(Started)
    assert started.cases == [0, 1]
    scenario = given(suite_run(parallel=2), advanced, ended(0)).when(advanced)
    assert scenario.then(Started)[0].cases == [2]


def test_the_last_end_is_the_end_of_the_run() -> None:
    run = suite_run()
    (finished,) = given(run, advanced, ended(0), ended(1), ended(2, "passed_on_retry")).when(advanced).then(Finished)
    assert (finished.verdict, finished.counts) == ("passed_on_retry", {"passed": 2, "passed_on_retry": 1})
    given(run).when(advanced).then()


def test_a_need_comes_before_what_needs_it_with_all_its_rows() -> None:
    rows = [case("login", 0, row=row) for row in ("1", "2")]
    run = suite_run(case("shop", 1, needs=[0]), *rows)
    assert given(run).when(advanced).then(Started)[0].cases == [1, 2]
    given(run, ended(1)).when(advanced).then()
    assert given(run, ended(2, "passed_on_retry")).when(advanced).then(Started)[0].cases == [0]


def test_what_needs_a_case_that_did_not_pass_is_skipped_and_what_needs_that() -> None:
    run = suite_run(*cases((), (0,), (1,), ()))
    first, second, finished = given(run, advanced, ended(0, "failed"), ended(3)).when(advanced).then(Skipped, Skipped, Finished)
    assert (first.cases, first.reason, first.why) == ([1], "needs", "it needs a, which did not pass")
    assert (second.cases, second.why) == ([2], "it needs b, which did not pass")
    assert (finished.verdict, finished.counts) == ("failed", {"failed": 1, "passed": 1, "skipped": 2})


def test_fail_fast_starts_nothing_more_and_stops_what_runs() -> None:
    run = suite_run(parallel=2, fail_fast=True)
    (skipped,) = given(run, advanced, ended(1, "failed")).when(advanced).then(Skipped)
    assert (skipped.cases, skipped.reason, run.halted) == ([2], "fail_fast", "b did not pass")
    (finished,) = given(run, ended(0, "cancelled")).when(advanced).then(Finished)
    assert finished.verdict == "failed"


def test_a_cancelled_run_starts_nothing_more_and_waits_for_what_runs() -> None:
    run = suite_run(parallel=1)
    given(run, advanced).when(lambda r: r.request_cancel(BY, "enough")).then(SuiteRun.CancelRequested)
    given(run).when(lambda r: r.request_cancel(BY)).then()
    given(run).when(advanced).then(Skipped)
    (finished,) = given(run, ended(0, "cancelled")).when(advanced).then(Finished)
    assert finished.verdict == "cancelled"
    given(run).when(lambda r: r.request_cancel(BY)).refused(Conflict)


def test_a_cancel_that_comes_too_late_changes_no_verdict() -> None:
    run = suite_run(case("a"))
    (finished,) = given(run, advanced, ended(0), lambda r: r.request_cancel(BY)).when(advanced).then(Finished)
    assert finished.verdict == "passed"


def time_is_up(run: SuiteRun) -> None:
    run.reach_time_limit(BY)


def test_when_its_time_is_up_nothing_more_starts_and_what_runs_is_stopped() -> None:
    run = suite_run(parallel=1, timeout=90.0, deadline="2026-11-26T02:00:00+00:00")
    given(run, advanced).when(time_is_up).then(SuiteRun.TimeLimitReached)
    assert run.halted == "the suite run did not end within 1m30s"
    given(run).when(time_is_up).then()
    given(run).when(lambda r: r.request_cancel(BY, "late")).then()
    (skipped,) = given(run).when(advanced).then(Skipped)
    assert (skipped.cases, skipped.reason, skipped.why) == ([1, 2], "timed_out", run.halted)
    (finished,) = given(run, ended(0, "cancelled")).when(advanced).then(Finished)
    assert (finished.verdict, finished.counts) == ("timed_out", {"cancelled": 1, "skipped": 2})


def test_a_time_limit_that_comes_too_late_or_after_a_cancel_changes_nothing() -> None:
    run = suite_run(case("a"), timeout=1.0, deadline="2026-11-26T02:00:00+00:00")
    given(run, advanced, ended(0)).when(time_is_up).then()
    (finished,) = given(run).when(advanced).then(Finished)
    assert finished.verdict == "passed"
    given(run).when(time_is_up).then()
    cancelled = suite_run(case("a"), timeout=1.0, deadline="2026-11-26T02:00:00+00:00")
    given(cancelled, lambda r: r.request_cancel(BY, "enough")).when(time_is_up).then()
    assert cancelled.halted == "the suite run was cancelled: enough"


@pytest.mark.parametrize(
    ("verdicts", "overall"),
    [
        (("passed", "failed", "error"), "error"),
        (("passed", "failed", "passed"), "failed"),
        (("timed_out", "failed", "passed"), "timed_out"),
        (("cancelled", "passed", "passed"), "cancelled"),
        (("cancelled", "failed", "passed"), "failed"),
    ],
)
def test_the_verdict_is_the_one_that_weighs_most(verdicts: tuple[str, ...], overall: str) -> None:
    past = [ended(number, verdict) for number, verdict in enumerate(verdicts)]
    (finished,) = given(suite_run(), advanced, *past).when(advanced).then(Finished)
    assert finished.verdict == overall


def test_a_case_that_cannot_be_started_is_an_error() -> None:
    run = suite_run(*cases((), (0,), ()), parallel=1)
    scenario = given(run).when(lambda r: r.advance(BY, lambda number: "" if number else "too large"))
    first, second, started = scenario.then(Skipped, Skipped, Started)
    assert [(event.cases, event.reason) for event in (first, second)] == [([0], "not_startable"), ([1], "needs")]
    assert (first.why, started.cases) == ("too large", [2])
    (finished,) = given(run, ended(2)).when(advanced).then(Finished)
    assert finished.verdict == "error"


def test_an_end_counts_once_and_only_of_what_runs() -> None:
    run = suite_run(parallel=1)
    given(run).when(ended(0)).then()
    given(run, advanced, ended(0)).when(ended(0, "failed")).then()


def test_a_rerun_knows_its_origin_and_the_first_of_the_chain() -> None:
    first = suite_run()
    second = suite_run(origin=first)
    third = suite_run(origin=second)
    assert (first.origin, first.root) == ("", str(first.id))
    assert (third.origin, third.root) == (str(second.id), str(first.id))


def test_the_id_of_a_case_follows_from_run_and_case() -> None:
    run = suite_run(case("a", row="berlin", browser="x", site="y"))
    assert run.cases[0]["key"] == case_key("a.yaml", "berlin browser=x,site=y")
    assert run.execution_of(0) == case_uuid(run.id, "a.yaml[berlin browser=x,site=y]")
    assert run.execution_of(0) != case_uuid(uuid4(), "a.yaml[berlin browser=x,site=y]")


def test_what_cannot_be_run_is_refused_at_the_request() -> None:
    with pytest.raises(Invalid, match="a > c > b > a"):
        suite_run(*cases((2,), (0,), (1,)))
    with pytest.raises(Invalid, match="a > a"):
        suite_run(*cases((0,)))
    with pytest.raises(Invalid, match="there twice"):
        suite_run(case("a"), case("a", 1))
    with pytest.raises(Invalid, match="parallel"):
        suite_run(parallel=0)
    with pytest.raises(Invalid, match="nothing to run"):
        SuiteRun.request(BY, id=uuid4(), workspace="w", cases=[], parallel=1)
    before = LIMITS.suite_cases
    replace_limits({"suite_cases": 2})
    try:
        with pytest.raises(LimitExceeded):
            suite_run()
    finally:
        replace_limits({"suite_cases": before})


@st.composite
def plans(draw: st.DrawFn) -> list[Case]:
    """Up to eight flows with up to two rows each; each may need those before it."""
    planned = []
    for group in range(draw(st.integers(1, 8))):
        needs = draw(st.lists(st.integers(0, group - 1), max_size=2, unique=True)) if group else []
        rows = draw(st.integers(1, 2))
        planned += [case(f"f{group}", group, needs=needs, row=str(row)) for row in range(rows)]
    return draw(st.permutations(planned))


@each(
    plans(),
    st.integers(1, 4),
    st.booleans(),
    st.randoms(use_true_random=False),
    st.lists(st.sampled_from(["passed", "passed", "passed", "passed_on_retry", "failed", "error", "cancelled"]), min_size=16),
)
def test_whatever_happens_each_case_is_settled_once_in_the_order_of_needs(
    planned: list[Case], parallel: int, fail_fast: bool, chance: Any, verdicts: list[str]
) -> None:
    run = suite_run(*planned, parallel=parallel, fail_fast=fail_fast)
    began: list[int] = []
    for _ in range(100):
        for number in run.advance(BY):
            needed = [n for n, c in enumerate(planned) if c.group in planned[number].needs]
            assert all(run.verdicts[n] in PASSED for n in needed)
            began.append(number)
        assert len(run.running()) <= parallel
        if run.verdict is not None:
            break
        number = chance.choice(run.running())
        if chance.random() < 0.05:
            chance.choice([run.request_cancel, run.reach_time_limit])(BY)
        run.end_cases(BY, {number: (verdicts[number], "")})
    assert run.verdict is not None
    assert len(began) == len(set(began))
    assert {n for n, status in enumerate(run.statuses) if status == "ended"} == set(began)
    assert set(run.statuses) <= {"ended", "skipped"}
    if run.verdict in PASSED:
        assert len(began) == len(planned)
    again = suite_run(*planned, parallel=parallel, fail_fast=fail_fast, id=run.id)
    again.collect_events()
    for event in run.collect_events():
        if event.originator_version > again.version:
            event.mutate(again)
    assert (again.statuses, again.verdicts, again.verdict) == (run.statuses, run.verdicts, run.verdict)
