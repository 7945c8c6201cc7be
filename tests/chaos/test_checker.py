"""The checker finds what it is there to find."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

from tests.chaos.afterwards import differs_from_the_keys
from tests.chaos.checker import broken_promises, crowded, missed_or_doubled, of_topic
from tests.chaos.suites import broken_suites
from tests.chaos.ticking import broken_ticks

ID = uuid4()
Told = tuple[str, dict[str, Any]]


def history(*told: Told) -> list[str]:
    """What the checker says of these events."""
    events = [(version, name, fields) for version, (name, fields) in enumerate(told, 1)]
    return [text.split(": ", 1)[1] for text in broken_promises({ID: events}, [ID])]


def by(worker: str, attempt: int = 1, **more: Any) -> dict[str, Any]:
    return {"worker": worker, "attempt": attempt, **more}


REQUESTED: Told = ("requested", {})
START: Told = ("attempt_started", by("a"))
STEP: Told = ("step_started", by("a"))
TORN: Told = ("teardown_finished", by("a", number=0))
END: Told = ("finished", {"attempt": 1})
ABANDONED: Told = ("attempt_abandoned", {"attempt": 1})


def test_a_good_history_breaks_no_promise() -> None:
    assert history(REQUESTED, START, STEP, TORN, END) == []
    again: Told = ("attempt_started", by("b", 2))
    taken: Told = ("teardown_started", by("b", number=1))
    torn: Told = ("teardown_finished", by("b", number=1))
    requeued: Told = ("requeued", {"attempt": 2})
    assert history(REQUESTED, START, STEP, ABANDONED, taken, torn, requeued, again, END) == []


def test_an_execution_without_a_trace_is_found() -> None:
    assert broken_promises({}, [ID]) == [f"{ID}: accepted, but there is no trace of it"]


def test_none_or_two_ends_are_found() -> None:
    assert history(REQUESTED, START) == ["0 terminal events"]
    assert history(REQUESTED, START, END, END) == ["2 terminal events"]


def test_an_event_after_the_end_is_found() -> None:
    assert "step_started after the terminal event" in history(REQUESTED, START, END, STEP)


def test_a_write_by_a_replaced_worker_is_found() -> None:
    assert history(REQUESTED, START, ABANDONED, STEP, TORN, END)[0].startswith("step_started (version 4) by a")


def test_a_skipped_teardown_is_found() -> None:
    assert history(REQUESTED, START, STEP, END) == ["finished without teardown"]
    requeued: Told = ("requeued", {"attempt": 2})
    assert "requeued without teardown" in history(REQUESTED, START, STEP, ABANDONED, requeued)


def test_an_attempt_that_began_twice_is_found() -> None:
    assert "attempts began as [1, 1]" in history(REQUESTED, START, START, END)


def test_holes_are_found() -> None:
    events = [(1, *REQUESTED), (3, *END)]
    assert broken_promises({ID: events}, []) == [f"{ID}: versions have holes or repeat"]


def test_what_a_watcher_misses_or_sees_twice_or_late_is_found() -> None:
    log = {ID: [(1, *REQUESTED), (2, *END)]}
    assert missed_or_doubled(log, [(ID, 1), (ID, 2)]) == []
    assert missed_or_doubled(log, [(ID, 1)]) == [f"{ID}: event 2 never reached the watcher"]
    assert missed_or_doubled(log, [(ID, 1), (ID, 2), (ID, 2)]) == [f"{ID}: event 2 reached the watcher twice"]
    assert missed_or_doubled(log, [(ID, 2), (ID, 1)]) == [f"{ID}: event 1 reached the watcher after 2"]


def test_a_watcher_of_one_suite_run_or_execution_is_measured_by_what_belongs_to_it() -> None:
    run, case, other = uuid4(), uuid4(), uuid4()
    log = {run: [(1, "suite_run.requested", {})], case: [(1, *REQUESTED), (2, *END)], other: [(1, *REQUESTED)]}
    cases = {run: {case, uuid4()}}
    seen = [(run, 1), (case, 1), (case, 2)]

    def of_run(seen: list[tuple[UUID, int]]) -> list[str]:
        return missed_or_doubled(of_topic(log, f"suite_run:{run}", cases), seen)

    assert of_run(seen) == []
    assert of_run(seen[:2]) == [f"{case}: event 2 never reached the watcher"]
    assert of_run(seen[1:]) == [f"{run}: event 1 never reached the watcher"]
    assert of_run([*seen, (other, 1)]) == [f"{other}: event 1 is not of what was watched"]
    assert missed_or_doubled(of_topic(log, f"execution:{case}", cases), seen[1:]) == []
    assert missed_or_doubled(of_topic(log, f"execution:{case}", cases), seen) == [f"{run}: event 1 is not of what was watched"]
    assert len(missed_or_doubled(of_topic(log, "workspace", cases), seen)) == 1


def test_an_attempt_that_was_given_back_and_counts_is_found() -> None:
    given: Told = ("attempt_abandoned", {"attempt": 1, "why": "drain"})
    lost: Told = ("attempt_abandoned", {"attempt": 1, "why": "lease"})
    free: Told = ("requeued", {"attempt": 2, "counts": False})
    counted: Told = ("requeued", {"attempt": 2, "counts": True})
    assert history(REQUESTED, START, given, free, END) == []
    assert history(REQUESTED, START, lost, counted, END) == []
    assert history(REQUESTED, START, given, counted, END) == ["an attempt that was given back counts"]


def test_a_fourth_attempt_that_counts_and_a_third_teardown_are_found() -> None:
    requeued: Told = ("requeued", {"attempt": 2, "counts": True})
    assert "4 attempts that count, 3 are allowed" in history(REQUESTED, requeued, requeued, requeued)
    assert "teardown was tried 3 times" in history(REQUESTED, ("teardown_started", by("a", number=3)))


def test_a_group_with_too_many_holders_and_one_that_overtakes_are_found() -> None:
    first, second, third = uuid4(), uuid4(), uuid4()
    group = {"groups": [{"name": "g", "max": 1}]}
    requested = [(id, "requested", group) for id in (first, second, third)]
    start, end = "attempt_started", "finished"
    good = [(first, start, {}), (first, start, {}), (first, end, {}), (second, end, {}), (third, start, {})]
    assert crowded([*requested, *good]) == []
    assert "2 hold places of g" in str(crowded([*requested, (first, start, {}), (second, start, {})]))
    assert "1 came before it in g" in str(crowded([*requested, (second, start, {})]))


def test_an_execution_that_nobody_asked_for_and_a_foreign_id_are_found() -> None:
    mine = uuid5(NAMESPACE_URL, "testmesh:run:w:key")
    log = {mine: [(1, *REQUESTED)], ID: [(1, *REQUESTED)]}
    assert differs_from_the_keys({mine: log[mine]}, "w", {"key": mine}) == []
    assert differs_from_the_keys(log, "w", {"key": mine}) == [f"{ID}: nobody has asked for it"]
    assert f"{ID}: not the id of its key" in differs_from_the_keys({mine: log[mine]}, "w", {"key": ID})


def at(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat()


def tick(decision: str, second: int, first: int | None = None, count: int = 1) -> Told:
    told = {"decision": decision, "tick": at(second), "first": at(second if first is None else first), "count": count}
    return "tick_considered", told


def of_ticks(*decisions: Told, started: set[UUID] | None = None) -> list[str]:
    """What is said of a schedule of every 10 s, in the words after its id."""
    there = {uuid5(NAMESPACE_URL, f"testmesh:tick:{ID}:{f['tick']}") for _, f in decisions if f["decision"] == "started"}
    told = broken_ticks({ID: [("created", {"since": at(5)}), *decisions]}, {ID: 10}, there if started is None else started)
    return [text.partition(": ")[2] for text in told]


def test_ticks_that_are_missed_or_considered_twice_or_lead_to_nothing_are_found() -> None:
    assert of_ticks(tick("started", 10), tick("queued", 20), tick("started", 20), tick("missed_skipped", 50, 30, 3)) == []
    assert of_ticks(tick("started", 20)) == ["started of 1 ticks from 20.0 to 20.0 after 0.0"]
    assert of_ticks(tick("started", 10), tick("started", 10)) == ["tick 10.0 was considered twice (started)"]
    assert of_ticks(tick("missed_skipped", 30, 10, 2)) == ["missed_skipped of 2 ticks from 10.0 to 30.0 after 0.0"]
    assert of_ticks(tick("started", 10), started=set()) == ["decided by a schedule, but there is no trace of it"]
    assert of_ticks(started={uuid4()}) == ["started by a schedule that never decided it"]


def suite(*told: Told) -> list[str]:
    """What is said of a suite run of two cases, the second of which needs the first; both executions have passed."""
    cases = [{"key": "a", "group": 0, "needs": []}, {"key": "b", "group": 1, "needs": [0]}]
    log = {uuid5(NAMESPACE_URL, f"testmesh:case:{ID}:{key}"): [(1, "finished", {"verdict": "passed"})] for key in "ab"}
    events = [("requested", {}), ("cases_planned", {"cases": cases}), *told]
    return [text.partition(": ")[2] for text in broken_suites({ID: events}, log)]


def test_cases_that_start_twice_or_too_early_and_verdicts_that_do_not_follow_are_found() -> None:
    first, second = ("cases_started", {"cases": [0]}), ("cases_started", {"cases": [1]})
    passed = [("cases_ended", {"cases": [{"case": number, "verdict": "passed"}]}) for number in (0, 1)]
    end = ("finished", {"verdict": "passed"})
    assert suite(first, passed[0], second, passed[1], end) == []
    assert suite(first, second, *passed, end) == ["case 1 began before case 0 had passed"]
    assert suite(first, first, passed[0], second, passed[1], end) == ["case 0 started 2 times and settled 1 times"]
    assert suite(first, passed[0], second, passed[1], passed[1], end) == ["case 1 started 1 times and settled 2 times"]
    assert suite(first, passed[0], second, passed[1]) == ["it does not end with its verdict"]
    assert "its verdict is failed" in suite(first, passed[0], second, passed[1], ("finished", {"verdict": "failed"}))[0]
    failed = ("cases_ended", {"cases": [{"case": 1, "verdict": "failed"}]})
    assert "case 1 is said to be failed, its execution is passed" in suite(first, passed[0], second, failed, end)
