"""Suite runs as they are read: how far each has come, its cases, and the latest result of each case of a chain of reruns."""

from __future__ import annotations

from typing import Any

from domain.suite_run import SuiteRun
from projections.registry import for_log
from projections.rows import Pool
from projections.suite_cases import SuiteCases
from projections.suite_run_list import SuiteRunList
from tests.support.events import MemoryLog
from tests.support.suites import BY, WORKSPACE, case, suite_run


def given(pool: Pool, *runs: SuiteRun) -> None:
    """The read models after these suite runs."""
    log = MemoryLog()
    for run in runs:
        log.put(run)
    with pool.connection() as connection:
        for projection in for_log("executions"):
            projection.apply(connection, projection.wanted(log.events))


def ran(run: SuiteRun, **verdicts: str) -> SuiteRun:
    """The suite run to its end; cases pass unless their flow is given another verdict."""
    while run.verdict is None:
        run.advance(BY)
        ended = {n: (verdicts.get(run.cases[n]["name"], "passed"), "") for n in run.running()}
        run.end_cases(BY, ended)
    return run


def told(pool: Pool, run: SuiteRun) -> list[tuple[Any, ...]]:
    items = SuiteCases(pool).page(WORKSPACE, run.id).items
    return [(item["name"], item["status"], item["verdict"], item["why"]) for item in items]


def test_a_run_under_way_says_how_far_it_has_come(pool: Pool) -> None:
    run = suite_run(parallel=2)
    run.advance(BY)
    run.end_cases(BY, {0: ("failed", "")})
    given(pool, run)
    row = SuiteRunList(pool).get(WORKSPACE, run.id)
    assert row is not None
    assert (row["status"], row["verdict"], row["total"]) == ("running", None, 3)
    assert row["counts"] == {"failed": 1, "running": 1, "waiting": 1}
    assert SuiteRunList(pool).open() == [run.id]
    assert told(pool, run) == [("a", "ended", "failed", ""), ("b", "running", None, ""), ("c", "waiting", None, "")]
    assert SuiteRunList(pool).get("other", run.id) is None
    assert SuiteCases(pool).page("other", run.id).items == []


def test_a_finished_run_has_a_verdict_and_skipped_cases_say_why(pool: Pool) -> None:
    run = ran(suite_run(case("a"), case("b", 1, needs=[0])), a="failed")
    given(pool, run)
    row = SuiteRunList(pool).page(WORKSPACE, verdict="failed").items[0]
    assert (row["status"], row["counts"]) == ("finished", {"failed": 1, "skipped": 1})
    assert SuiteRunList(pool).open() == []
    assert told(pool, run)[1] == ("b", "skipped", None, "it needs a, which did not pass")
    only = SuiteCases(pool).page(WORKSPACE, run.id, status="skipped").items
    assert [(item["key"], item["reason"]) for item in only] == [("b.yaml", "needs")]
    assert SuiteCases(pool).executions(run.id) == [str(run.execution_of(number)) for number in range(2)]


def test_cases_come_page_by_page(pool: Pool) -> None:
    run = suite_run(*(case("a", row=str(number)) for number in range(5)))
    given(pool, run)
    seen, cursor = [], None
    while True:
        page = SuiteCases(pool).page(WORKSPACE, run.id, cursor=cursor, limit=2)
        seen += [item["row_key"] for item in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == list("01234")


def test_a_chain_of_reruns_gives_the_latest_result_of_each_case_and_who_is_flaky(pool: Pool) -> None:
    first = ran(suite_run(), a="failed", b="error", c="passed_on_retry")
    second = ran(suite_run(case("a"), case("b", 1), origin=first), b="failed")
    third = suite_run(case("b", 1), origin=second)
    given(pool, first, second, third)
    cases, root = SuiteCases(pool), str(first.id)
    summary = cases.merged_summary(WORKSPACE, root)
    assert summary["runs"] == [str(run.id) for run in (first, second, third)]
    assert (summary["verdict"], summary["flaky"]) == (None, 2)
    assert summary["counts"] == {"passed": 1, "passed_on_retry": 1, "waiting": 1}
    ran(third)
    given(pool, third)
    items = cases.merged(WORKSPACE, root, limit=2).items
    assert [(item["key"], item["verdict"], item["runs"], item["flaky"]) for item in items] == [
        ("a.yaml", "passed", 2, True),
        ("b.yaml", "passed", 3, True),
    ]
    assert items[1]["execution"] == str(third.execution_of(0))
    assert cases.merged_summary(WORKSPACE, root)["verdict"] == "passed_on_retry"
    assert cases.merged_summary("other", root)["verdict"] is None
    assert len(SuiteRunList(pool).page(WORKSPACE, root=root).items) == 3
