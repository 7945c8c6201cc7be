"""The scheduler's decisions, with a clock that is set by hand."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import pytest

from application.coordinating import Coordinator
from application.executions import Executions, RunRequest
from application.flows import Document
from application.scheduling import decide
from domain.errors import Invalid, Unavailable
from domain.execution import Execution
from domain.limits import LIMITS, replace_limits
from domain.schedule import Decision, Schedule, tick_uuid
from domain.suite_run import SuiteRun
from tests.support.schedules import BY, FLOW, WORKSPACE, System, minute, plan, schedule


def decided(made: Schedule, now: datetime, *, busy: bool = False) -> list[tuple[str, datetime, int]]:
    """All that is decided now; what is started is under way from then on."""
    found: list[tuple[str, datetime, int]] = []

    def under_way() -> bool:
        return busy or any(kind == "started" for kind, _, _ in found)

    while (decision := decide(made, now, under_way)) is not None:
        made.consider(BY, decision)
        found.append((decision.kind, decision.tick, decision.count))
    return found


# When -----------------------------------------------------------------------------------------------------------------


def test_nothing_is_decided_before_a_tick_is_due() -> None:
    assert decided(schedule(), minute(0, 59.9)) == []
    assert decided(schedule(), minute(1)) == [("started", minute(1), 1)]


def test_a_tick_waits_for_its_jitter() -> None:
    made = schedule(id=UUID(int=7), jitter=59.0)
    due = made.due(minute(1))
    assert due > minute(1)
    assert decided(made, minute(1)) == []
    assert decided(made, due) == [("started", minute(1), 1)]


def test_nothing_is_decided_while_paused_nor_after_the_end() -> None:
    paused, deleted = schedule(), schedule()
    paused.pause(BY, "")
    deleted.delete(BY)
    assert decided(paused, minute(60)) == decided(deleted, minute(60)) == []


# Overlap --------------------------------------------------------------------------------------------------------------


def after_a_start(**changes: Any) -> Schedule:
    """A schedule whose first tick has started something."""
    made = schedule(**changes)
    decided(made, minute(1))
    return made


def test_skip_leaves_a_tick_out_while_the_one_before_runs() -> None:
    made = after_a_start(overlap="skip")
    assert decided(made, minute(2), busy=True) == [("skipped_overlap", minute(2), 1)]
    assert decided(made, minute(3), busy=False) == [("started", minute(3), 1)]


def test_queue_lets_ticks_wait_in_their_order() -> None:
    made = after_a_start(overlap="queue")
    assert decided(made, minute(2), busy=True) == [("queued", minute(2), 1)]
    assert decided(made, minute(3), busy=True) == [("queued", minute(3), 1)]
    assert decided(made, minute(3, 20), busy=False) == [("started", minute(2), 1)]
    assert decided(made, minute(3, 40), busy=False) == [("started", minute(3), 1)]
    assert decided(made, minute(3, 50), busy=False) == []


def test_the_queue_has_an_end() -> None:
    made = after_a_start(overlap="queue")
    kinds = [decided(made, minute(number), busy=True)[0][0] for number in range(2, 4 + LIMITS.schedule_queue)]
    assert kinds == ["queued"] * LIMITS.schedule_queue + ["skipped_overlap"] * 2


def test_cancel_older_starts_at_once_and_names_what_has_to_stop() -> None:
    made = after_a_start(overlap="cancel_older")
    first = made.last
    decision = decide(made, minute(2), lambda: True)
    assert decision == Decision("started", minute(2), minute(2), cancels=first)
    assert decide(made, minute(2), lambda: False) == Decision("started", minute(2), minute(2))


# Missed ---------------------------------------------------------------------------------------------------------------


def test_skip_runs_nothing_of_ten_missed_minutes() -> None:
    assert decided(schedule(missed="skip"), minute(10, 45)) == [("missed_skipped", minute(10), 10)]


def test_run_once_runs_the_newest_of_ten_missed_minutes() -> None:
    expected = [("missed_merged", minute(9), 9), ("started", minute(10), 1)]
    assert decided(schedule(missed="run_once"), minute(10, 45)) == expected


def test_run_once_of_a_single_missed_tick_is_that_tick() -> None:
    assert decided(schedule(missed="run_once"), minute(1, 45)) == [("started", minute(1), 1)]


@pytest.mark.parametrize("overlap", ["skip", "queue", "cancel_older"])
def test_run_all_runs_ten_missed_minutes_one_after_another_whatever_the_overlap_policy(overlap: str) -> None:
    made = schedule(missed="run_all", overlap=overlap)
    told = decided(made, minute(10, 45))
    assert told == [("started", minute(1), 1), *(("queued", minute(number), 1) for number in range(2, 11))]
    made.change(BY, minute(10, 45), cron="0 0 1 1 *")
    ends = [decided(made, minute(10, 50)) for _ in range(10)]
    assert ends == [*([("started", minute(number), 1)] for number in range(2, 11)), []]


def test_a_tick_within_the_grace_was_not_missed() -> None:
    assert decided(schedule(missed="skip"), minute(10, 20)) == [("missed_skipped", minute(9), 9), ("started", minute(10), 1)]


def test_of_very_many_missed_ticks_run_all_makes_up_the_newest() -> None:
    made = schedule(missed="run_all")
    told = decided(made, minute(5000, 45))
    skipped = [one for one in told if one[0] == "missed_skipped"]
    assert sum(count for _, _, count in skipped) == 5000 - LIMITS.schedule_catch_up
    assert told[-1][1] == minute(5000)
    assert len(told) - len(skipped) == LIMITS.schedule_catch_up


@pytest.mark.parametrize("missed", ["skip", "run_once"])
def test_very_many_missed_ticks_are_few_decisions(missed: str) -> None:
    told = decided(schedule(missed=missed), minute(5000, 45))
    assert sum(count for _, _, count in told) == 5000
    assert len(told) < 10


# The process manager --------------------------------------------------------------------------------------------------


def test_a_tick_requests_the_flow_as_it_is_now_with_what_the_schedule_says() -> None:
    system = System()
    id = system.create(variables={"a": 1}, tags=["nightly"])
    system.clock.now = minute(1)
    system.scheduler().step()
    (requested,) = system.requested()
    assert requested.originator_id == tick_uuid(id, minute(1))
    assert (requested.flow_id, requested.flow_revision, requested.trigger) == (str(system.flow), 1, "schedule")
    assert (requested.variables, requested.tags, requested.actor) == ({"a": 1}, ["nightly"], f"schedule:{id}")
    assert (requested.workspace, requested.causation) == (WORKSPACE, "tick:2026-01-05T12:01:00+00:00")


def test_four_schedulers_without_a_lock_start_two_hundred_ticks_once_each() -> None:
    system = System()
    id = system.create()
    schedulers = [system.scheduler() for _ in range(4)]
    for number in range(1, 201):
        system.clock.now = minute(number)
        for scheduler in schedulers[number % 4 :] + schedulers[: number % 4]:
            scheduler.step()
        system.end(system.load(id).last)
    assert [requested.originator_id for requested in system.requested()] == [
        tick_uuid(id, minute(number)) for number in range(1, 201)
    ]
    assert system.decisions() == [("started", minute(number)) for number in range(1, 201)]


def test_a_scheduler_sleeps_until_the_next_tick_but_looks_each_second() -> None:
    system = System()
    system.create()
    scheduler = system.scheduler()
    assert scheduler.step() == 1.0
    system.clock.now = minute(0, 59.75)
    assert scheduler.step() == pytest.approx(0.25)


class Dying(Executions):
    """Dies between the decision and the request, so often."""

    deaths = 1

    def request(self, by: Any, request: RunRequest) -> tuple[UUID, int]:
        if self.deaths:
            self.deaths -= 1
            raise Unavailable("the scheduler is gone")
        return super().request(by, request)


def test_what_was_decided_is_requested_by_whoever_comes_next() -> None:
    system = System()
    id = system.create()
    system.clock.now = minute(1)
    with pytest.raises(Unavailable):
        system.scheduler(Dying(system.executions.log, system.payloads)).step()
    assert (system.decisions(), system.requested()) == ([("started", minute(1))], [])
    system.clock.now = minute(1, 1)
    system.scheduler().step()
    assert [requested.originator_id for requested in system.requested()] == [tick_uuid(id, minute(1))]
    assert system.decisions() == [("started", minute(1))]


def test_the_same_scheduler_tries_again_when_a_server_was_away() -> None:
    system = System()
    system.create()
    system.clock.now = minute(1)
    scheduler = system.scheduler(Dying(system.executions.log, system.payloads))
    with pytest.raises(Unavailable):
        scheduler.step()
    system.clock.now = minute(1, 5)
    scheduler.step()
    assert len(system.requested()) == len(system.decisions()) == 1


def test_a_schedule_whose_start_finds_no_answer_keeps_no_other_waiting() -> None:
    system = System()
    ids = [system.create(name=name) for name in ("one", "two")]
    system.clock.now = minute(1)
    scheduler = system.scheduler(Dying(system.executions.log, system.payloads))
    with pytest.raises(Unavailable):
        scheduler.step()
    scheduler.step()
    assert [requested.originator_id for requested in system.requested()] == [tick_uuid(ids[1], minute(1))]


def test_what_was_decided_runs_in_its_revision_whatever_became_of_the_flow() -> None:
    system = System()
    id = system.create()
    system.clock.now = minute(1)
    with pytest.raises(Unavailable):
        system.scheduler(Dying(system.executions.log, system.payloads)).step()
    system.flows.push(BY, WORKSPACE, "", [Document("nightly.yaml", FLOW.replace("hi", "ho"))])
    other = system.flows.push(BY, WORKSPACE, "", [Document("other.yaml", FLOW)])[0][0].id
    system.schedules.change(BY, WORKSPACE, id, {"flow": str(other)})
    system.flows.archive(BY, WORKSPACE, system.flow)
    system.clock.now = minute(1, 5)
    system.scheduler().step()
    (requested,) = system.requested()
    assert (requested.flow_id, requested.flow_revision) == (str(system.flow), 1)
    assert requested.originator_id == tick_uuid(id, minute(1))
    assert system.decisions() == [("started", minute(1))]


def test_cancel_older_cancels_the_execution_before() -> None:
    system = System()
    id = system.create(overlap="cancel_older")
    for number in (1, 2):
        system.clock.now = minute(number)
        system.scheduler().step()
    older, newer = (system.executions.log.load(Execution, tick_uuid(id, minute(number))) for number in (1, 2))
    assert (older.verdict, newer.status) == ("cancelled", "queued")


def test_a_queued_tick_starts_when_the_one_before_has_ended_whichever_scheduler_is_there() -> None:
    system = System()
    id = system.create(overlap="queue")
    for number in (1, 2):
        system.clock.now = minute(number)
        system.scheduler().step()
    assert system.decisions()[-1] == ("queued", minute(2))
    system.end(system.load(id).last)
    system.clock.now = minute(2, 30)
    system.scheduler().step()
    assert system.decisions()[-1] == ("started", minute(2))
    assert system.load(id).last == str(tick_uuid(id, minute(2)))


def test_a_flow_that_was_archived_is_told_and_the_schedule_goes_on() -> None:
    system = System()
    system.create()
    system.flows.archive(BY, WORKSPACE, system.flow)
    system.clock.now = minute(1)
    scheduler = system.scheduler()
    scheduler.step()
    assert system.decisions() == [("not_startable", minute(1))]
    system.flows.restore(BY, WORKSPACE, system.flow)
    system.clock.now = minute(2)
    scheduler.step()
    assert system.decisions()[-1] == ("started", minute(2))


def test_one_schedule_that_cannot_be_read_keeps_no_other_from_ticking() -> None:
    system = System()
    broken, sound = system.create(name="broken"), system.create(name="sound")
    made = system.load(broken)
    made.trigger_event(
        Schedule.Changed,
        changes={"time_zone": "Gone/Away"},
        since=minute(0),
        workspace="w",
        actor="",
        causation="",
        correlation="",
    )
    system.log.put(made)
    system.clock.now = minute(1)
    scheduler = system.scheduler()
    scheduler.step()
    assert [requested.originator_id for requested in system.requested()] == [tick_uuid(sound, minute(1))]
    assert (scheduler.failing, scheduler.active) == (1, 1)


def test_a_change_that_comes_between_is_heeded() -> None:
    system = System()
    id = system.create()
    system.clock.now = minute(0, 30)
    scheduler = system.scheduler()
    scheduler.step()
    system.schedules.pause(BY, WORKSPACE, id, "")
    scheduler._known = lambda: [(id, 1)]  # its list has not heard of the pause
    system.clock.now = minute(1)
    scheduler.step()
    assert system.decisions() == system.requested() == []


def test_how_late_it_is_and_what_it_did_are_told() -> None:
    system = System()
    system.create(missed="run_once")
    system.clock.now = minute(3, 45)
    scheduler = system.scheduler()
    scheduler.step()
    assert (scheduler.lag, scheduler.last_tick) == (165.0, minute(3))
    assert scheduler.decisions == {"missed_merged": 2, "started": 1}
    scheduler.step()
    assert scheduler.lag == 0.0


def test_ticks_each_second_where_the_limit_allows_them() -> None:
    replace_limits({"schedule_seconds": 1.0})
    try:
        made = schedule(cron="* * * * * *")
    finally:
        replace_limits({"schedule_seconds": 60.0})
    assert [one[1] for one in decided(made, minute(0, 3))] == [minute(0, 1), minute(0, 2), minute(0, 3)]


def test_commands_are_refused_for_flows_that_are_not_there() -> None:
    system = System()
    for flow in ("no id", str(UUID(int=0))):
        with pytest.raises(Exception, match="there is no flow"):
            system.schedules.create(BY, WORKSPACE, plan(flow=flow))


class TestFlowsThatAreMoreThanOneExecution:
    """A flow with rows of data, or with needs, is a suite run."""

    @pytest.fixture
    def rows(self) -> System:
        system = System()
        text = FLOW + "data:\n  rows: [{n: 1}, {n: 2}]\n"
        system.flow = system.flows.push(BY, WORKSPACE, "", [Document("rows.yaml", text)])[0][0].id
        return system

    def suite_runs(self, system: System) -> list[SuiteRun.Requested]:
        found = system.executions.log.read(0, 1000, (SuiteRun.Requested.TOPIC,))
        return [recorded.event for recorded in found]

    def test_each_tick_is_one_suite_run_with_every_row(self, rows: System) -> None:
        id = rows.create(name="nightly", variables={"who": "eva"}, tags=["night"])
        rows.clock.now = minute(1)
        for _ in range(3):
            rows.scheduler().step()
        (requested,) = self.suite_runs(rows)
        assert str(requested.originator_id) == rows.load(id).last
        assert (requested.name, requested.trigger, requested.total) == ("nightly", "schedule", 2)
        assert requested.actor == f"schedule:{id}"
        Coordinator(rows.executions.log, rows.payloads, lambda: (0, [])).step()
        variables = [event.variables for event in rows.requested()]
        assert variables == [{"n": n, "row": {"n": n}, "who": "eva"} for n in (1, 2)]
        assert [event.tags for event in rows.requested()] == [["night"]] * 2

    def test_it_is_busy_until_the_suite_run_has_finished(self, rows: System) -> None:
        id = rows.create()
        coordinator = Coordinator(rows.executions.log, rows.payloads, lambda: (0, []))
        for number in (1, 2):
            rows.clock.now = minute(number)
            rows.scheduler().step()
            coordinator.step()
        assert [kind for kind, _ in rows.decisions()] == ["started", "skipped_overlap"]
        for event in rows.requested():
            rows.end(str(event.originator_id))
        coordinator.step()
        rows.clock.now = minute(3)
        rows.scheduler().step()
        assert rows.decisions()[-1] == ("started", minute(3))
        assert len(self.suite_runs(rows)) == 2
        assert rows.load(id).last == str(self.suite_runs(rows)[-1].originator_id)

    def test_a_newer_tick_cancels_the_suite_run_before(self, rows: System) -> None:
        rows.create(overlap="cancel_older")
        coordinator = Coordinator(rows.executions.log, rows.payloads, lambda: (0, []))
        for number in (1, 2):
            rows.clock.now = minute(number)
            rows.scheduler().step()
            coordinator.step()
        coordinator.step()
        first, second = (rows.executions.log.load(SuiteRun, event.originator_id) for event in self.suite_runs(rows))
        assert (first.verdict, second.verdict) == ("cancelled", None)

    def test_rows_that_cannot_be_read_are_a_tick_that_cannot_start(self, rows: System) -> None:
        text = FLOW + "data: {file: rows.csv}\n"
        flow = rows.flows.push(BY, WORKSPACE, "", [Document("file.yaml", text)])[0][0].id
        rows.schedules.create(BY, WORKSPACE, plan(flow=str(flow)))
        rows.clock.now = minute(1)
        rows.scheduler().step()
        assert [kind for kind, _ in rows.decisions()] == ["started", "not_startable"]

    def test_a_flow_that_needs_another_runs_after_it(self, rows: System) -> None:
        text = FLOW.replace("Nightly", "After") + "needs: [nightly.yaml]\n"
        flow = rows.flows.push(BY, WORKSPACE, "", [Document("after.yaml", text)])[0][0].id
        rows.schedules.create(BY, WORKSPACE, plan(flow=str(flow)))
        rows.clock.now = minute(1)
        rows.scheduler().step()
        (requested,) = self.suite_runs(rows)
        assert requested.total == 2


class TestSelections:
    """A schedule of a selection starts a suite run of what the selection means at the tick."""

    @pytest.fixture
    def suite(self) -> System:
        system = System()
        for name in ("a", "b"):
            document = Document(f"{name}.yaml", FLOW.replace("Nightly", name) + "suite: night\n")
            system.flows.push(BY, WORKSPACE, "", [document])
        return system

    def create(self, system: System, **selection: Any) -> UUID:
        wanted = plan(flow="", selection=selection, variables={"who": "eva"}, name="all of it")
        return system.schedules.create(BY, WORKSPACE, wanted)[0]

    def test_each_tick_is_a_suite_run_of_what_is_there_then(self, suite: System) -> None:
        id = self.create(suite, suite="night", matrix={"site": ["x", "y"]}, parallel=2, fail_fast=True)
        suite.clock.now = minute(1)
        suite.scheduler().step()
        run = suite.executions.log.load(SuiteRun, UUID(suite.load(id).last))
        assert [case["key"] for case in run.cases] == [f"{name}.yaml[site={site}]" for site in "xy" for name in "ab"]
        assert (run.name, run.parallel, run.fail_fast) == ("all of it", 2, True)
        suite.executions.log.put(_cancelled(run))
        Coordinator(suite.executions.log, suite.payloads, lambda: (0, [])).step()
        suite.flows.push(BY, WORKSPACE, "", [Document("c.yaml", FLOW.replace("Nightly", "c") + "suite: night\n")])
        suite.clock.now = minute(2)
        suite.scheduler().step()
        assert len(suite.executions.log.load(SuiteRun, UUID(suite.load(id).last)).cases) == 6

    def test_a_selection_that_means_nothing_is_a_tick_that_cannot_start(self, suite: System) -> None:
        self.create(suite, suite="day")
        suite.clock.now = minute(1)
        suite.scheduler().step()
        assert suite.decisions() == [("not_startable", minute(1))]

    def test_one_takes_the_place_of_the_other(self, suite: System) -> None:
        id = self.create(suite, suite="night")
        suite.schedules.change(BY, WORKSPACE, id, {"flow": str(suite.flow)})
        assert (suite.load(id).plan["flow"], suite.load(id).plan["selection"]) == (str(suite.flow), {})
        suite.schedules.change(BY, WORKSPACE, id, {"selection": {"tags": "smoke"}})
        assert (suite.load(id).plan["flow"], suite.load(id).plan["selection"]) == ("", {"tags": "smoke"})
        with pytest.raises(Invalid, match="--tags"):
            suite.schedules.change(BY, WORKSPACE, id, {"selection": {"tags": "and"}})
        with pytest.raises(Invalid, match="or what a"):
            suite.schedules.create(BY, WORKSPACE, plan(flow="", selection={}))


def _cancelled(run: SuiteRun) -> SuiteRun:
    run.request_cancel(BY)
    return run
