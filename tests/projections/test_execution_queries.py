"""What the execution list, the details and the live feed answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from domain.errors import Invalid
from domain.execution import Execution
from projections.execution_details import ExecutionDetails
from projections.execution_list import ExecutionList
from projections.live_feed import LiveFeed
from projections.registry import for_log
from projections.rows import Pool
from tests.support.events import BY, MemoryLog, begin, end, finished, requested, started, step

pytestmark = pytest.mark.servers


def given(pool: Pool, *executions: Execution) -> MemoryLog:
    """These executions happened, and every read model knows."""
    log = MemoryLog()
    log.put(*executions)
    with pool.connection() as connection:
        for projection in for_log("executions"):
            projection.apply(connection, projection.wanted(log.events))
    return log


def details(pool: Pool, execution: Execution) -> dict[str, Any]:
    found = ExecutionDetails(pool).get("w", str(execution.id))
    assert found is not None
    return found


def lost(execution: Execution) -> Execution:
    execution.abandon(BY, execution.attempt, "worker_lost")
    return execution


def test_a_failed_execution_says_which_step_failed_first_and_why(pool: Pool):
    execution = finished(step(step(started(requested()), "pay", "failed"), "mail", "failed"), "failed")
    given(pool, execution)
    row = ExecutionList(pool).get("w", str(execution.id))
    assert row is not None
    assert (row["status"], row["verdict"], row["attempt"], row["worker"]) == ("finished", "failed", 1, "")
    assert row["failure"] == {"path": "pay", "text": "assertion failed: status == 200"}
    assert (row["steps_started"], row["steps_passed"], row["steps_failed"]) == (2, 0, 2)
    assert row["id"] == str(execution.id)
    assert row["started_at"].tzinfo is not None
    assert row["duration_ms"] >= 0


def test_another_workspace_sees_nothing(pool: Pool):
    execution = finished(step(started(requested())))
    given(pool, execution)
    assert ExecutionList(pool).get("v", str(execution.id)) is None
    assert ExecutionDetails(pool).get("v", str(execution.id)) is None
    assert ExecutionList(pool).page("v").items == []
    assert LiveFeed(pool).after("v", 0) == []
    assert LiveFeed(pool).after("v", 0, executions=[execution.id]) == []


def test_what_is_no_id_is_not_found(pool: Pool):
    assert ExecutionList(pool).get("w", "no id") is None
    assert ExecutionDetails(pool).get("w", "\x00") is None
    assert LiveFeed(pool).after("w", 0, executions=["no id"]) == []


def test_waiting_names_queued_attempts_and_owed_teardowns_of_all_workspaces(pool: Pool):
    queued, running, owing = requested(workspace="v"), started(requested()), lost(step(started(requested())))
    again, twice = lost(started(requested())), lost(step(started(requested())))
    twice.start_teardown(BY, 1, "b", 1)
    lost(twice)
    given(pool, queued, running, owing, again, twice, finished(started(requested())))
    assert [row[:4] for row in ExecutionList(pool).waiting()] == [
        (queued.id, 1, "attempt", 0),
        (owing.id, 1, "teardown", 1),
        (again.id, 2, "attempt", 0),
        (twice.id, 1, "teardown", 2),
    ]
    assert ExecutionList(pool).counts() == {"queued": 2, "running": 1, "owes_teardown": 2, "finished": 1}
    assert ExecutionList(pool).oldest_waiting() == queued.created_on


def test_nothing_waits_in_an_empty_list(pool: Pool):
    assert (ExecutionList(pool).waiting(), ExecutionList(pool).oldest_waiting()) == ([], None)


def test_pages_give_each_execution_once_newest_first_while_new_ones_come(pool: Pool):
    executions = [requested() for _ in range(7)]
    log = given(pool, *executions)
    listing = ExecutionList(pool)
    page = listing.page("w", limit=3)
    seen = [row["id"] for row in page.items]
    log.put(requested())
    with pool.connection() as connection:
        for_log("executions")[0].apply(connection, log.events[-1:])
    while page.next_cursor:
        page = listing.page("w", limit=3, cursor=page.next_cursor)
        seen += [row["id"] for row in page.items]
    assert seen == [str(execution.id) for execution in reversed(executions)]


def test_pages_are_filtered(pool: Pool):
    passed, failed = finished(started(requested(tags=["a", "b"]))), finished(started(requested(flow_id="f2")), "failed")
    waiting = requested(trigger="schedule")
    given(pool, passed, failed, waiting)
    listing = ExecutionList(pool)

    def ids(**filters: Any) -> list[str]:
        return [row["id"] for row in listing.page("w", **filters).items]

    assert ids(tag="b") == [str(passed.id)]
    assert ids(verdict="failed") == [str(failed.id)]
    assert ids(flow="f2") == [str(failed.id)]
    assert ids(status="queued") == ids(trigger="schedule") == [str(waiting.id)]
    assert ids(status="finished", tag="smoke") == [str(failed.id)]
    assert ids(tag="\x00") == ids(trigger="\ud800") == []


@pytest.mark.parametrize("cursor", ["", "x", "é", "W10", "WzFd", "WyIyMDI2IiwiYSJd", "bnVsbA", "\x00", "W" * 5000])
def test_a_cursor_that_is_not_ours_is_refused(pool: Pool, cursor: str):
    with pytest.raises(Invalid) as refusal:
        ExecutionList(pool).page("w", cursor=cursor)
    assert refusal.value.code == "invalid_cursor"


def test_details_tell_each_attempt_step_by_step(pool: Pool):
    execution = started(requested())
    step(execution, "pay", "failed", logs=2)
    execution.start_teardown(BY, 1, "a", 0)
    step(execution, "tidy", phase="teardown")
    execution.finish_teardown(BY, 1, "a", 0, "passed")
    given(pool, finished(execution, "failed"))
    found = details(pool, execution)
    (attempt,) = found["attempts"]
    assert found["verdict"] == "failed"
    assert found["outputs"] == {"order": 7}
    assert found["request"]["document"] == {"id": "ab", "size": 2}
    assert attempt["ended"] == {"how": "finished", "verdict": "failed"}
    assert [(t["number"], t["worker"], t["verdict"]) for t in attempt["teardowns"]] == [(0, "a", "passed")]
    pay, tidy = attempt["steps"]
    assert (pay["path"], pay["status"], pay["verdict"], pay["phase"], pay["action"]) == (
        *("pay", "finished", "failed", "steps", "http_request"),
    )
    assert [line["message"] for line in pay["logs"]] == ["line 0", "line 1"]
    assert pay["tries"][0]["assertions"][0]["expression"] == "status == 200"
    assert (pay["outputs"], pay["result"], pay["payload"]) == ({"id": 7}, {"status": 200}, {"id": "cd", "size": 9})
    assert pay["started_at"] <= pay["finished_at"]
    assert (tidy["phase"], tidy["logs"]) == ("teardown", [])


def test_details_of_a_lost_attempt_say_what_was_lost_and_who_tidied_up(pool: Pool):
    execution = step(started(requested()))
    lost(begin(execution, "hang"))
    execution.start_teardown(BY, 1, "b", 1)
    lost(begin(execution, "tidy", phase="teardown"))
    execution.start_teardown(BY, 1, "c", 2)
    step(execution, "tidy", phase="teardown")
    execution.finish_teardown(BY, 1, "c", 2, "passed")
    finished(step(started(execution, "d")))
    given(pool, execution)
    first, second = details(pool, execution)["attempts"]
    assert first["ended"] == {"how": "abandoned", "why": "worker_lost", "then": "retry", "counts": True}
    assert [(s["path"], s["worker"], s["status"]) for s in first["steps"]] == [
        *[("pay", "a", "finished"), ("hang", "a", "lost"), ("tidy", "b", "lost"), ("tidy", "c", "finished")]
    ]
    assert [(t["number"], t["worker"], t["verdict"]) for t in first["teardowns"]] == [(1, "b", "lost"), (2, "c", "passed")]
    assert (second["number"], second["worker"], second["ended"]["how"]) == (2, "d", "finished")


def test_a_step_that_runs_is_shown_running_in_a_taken_over_teardown_too(pool: Pool):
    running, taken_over = begin(started(requested())), lost(begin(started(requested()), "hang"))
    taken_over.start_teardown(BY, 1, "b", 1)
    begin(taken_over, "tidy", phase="teardown")
    given(pool, running, taken_over)
    assert [s["status"] for s in details(pool, running)["attempts"][0]["steps"]] == ["running"]
    assert [s["status"] for s in details(pool, taken_over)["attempts"][0]["steps"]] == ["lost", "running"]


def test_a_teardown_given_up_is_told(pool: Pool):
    execution = lost(step(started(requested())))
    for number in (1, 2):
        execution.start_teardown(BY, 1, "b", number)
        lost(execution)
    given(pool, execution)
    (attempt,) = details(pool, execution)["attempts"]
    assert attempt["teardown_given_up"] == 2
    assert [t["verdict"] for t in attempt["teardowns"]] == ["lost", "lost"]


def test_an_execution_without_an_attempt_has_details_too(pool: Pool):
    execution = requested()
    execution.request_cancel(BY)
    given(pool, execution)
    found = details(pool, execution)
    assert (found["status"], found["verdict"], found["attempts"], found["outputs"]) == ("finished", "cancelled", [], None)


def test_variables_with_telling_names_are_masked_everywhere(pool: Pool):
    execution = requested()
    given(pool, execution)
    shown = details(pool, execution)["request"]["variables"]
    assert shown == {"user": "eva", "api_token": "[masked]"}
    assert LiveFeed(pool).after("w", 0)[0]["event"]["variables"] == shown


def test_the_feed_gives_events_in_order_and_resumes_behind_the_last(pool: Pool):
    execution, other = finished(step(started(requested()))), requested()
    log = given(pool, execution, other)
    feed = LiveFeed(pool)
    everything = feed.after("w", 0)
    assert [row["feed_id"] for row in everything] == [happened.position for happened in log.events]
    assert [row["topic"] for row in everything] == [happened.topic for happened in log.events]
    assert feed.after("w", everything[1]["feed_id"], limit=2) == everything[2:4]
    assert feed.after("w", 0, executions=[str(other.id)]) == everything[-1:]
    told = everything[3]["event"]
    assert (told["topic"], told["version"], told["path"]) == ("execution.step_finished", 4, "pay")
    assert "state" not in told
    assert (feed.oldest(), feed.head()) == (log.events[0].position, log.head())


def test_what_was_pruned_cannot_be_resumed_from(pool: Pool):
    log = given(pool, *(end(begin(started(requested()))) for _ in range(3)))
    feed = LiveFeed(pool)
    assert feed.prune(days=7) == 0
    assert not feed.expired(0)
    assert feed.prune(days=7, now=datetime.now(UTC) + timedelta(days=8)) == 12
    assert feed.after("w", 0) == []
    assert (feed.oldest(), feed.head()) == (0, log.head())
    assert [feed.expired(id) for id in (0, log.head() - 1, log.head(), log.head() + 1)] == [True, True, False, False]


def test_pruning_keeps_what_is_young(pool: Pool):
    log = given(pool, *(requested() for _ in range(5)))
    third = log.events[2].event.timestamp
    assert LiveFeed(pool).prune(days=1, now=third + timedelta(days=1)) == 2
    assert LiveFeed(pool).oldest() == log.events[2].position


def test_an_unknown_execution_has_no_details(pool: Pool):
    assert ExecutionDetails(pool).get("w", uuid4()) is None
