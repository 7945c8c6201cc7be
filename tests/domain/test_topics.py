"""Stored names: every event has its own explicit topic, and the names are these for ever."""

from __future__ import annotations

from domain.aggregates import event_classes

STORED_FOR_EVER = {
    "api_key.issued",
    "api_key.revoked",
    "execution.attempt_abandoned",
    "execution.attempt_started",
    "execution.cancel_requested",
    "execution.finished",
    "execution.log_written",
    "execution.requested",
    "execution.requeued",
    "execution.step_finished",
    "execution.step_started",
    "execution.teardown_finished",
    "execution.teardown_given_up",
    "execution.teardown_started",
    "flow.archived",
    "flow.registered",
    "flow.renamed",
    "flow.restored",
    "flow.revised",
    "flow.tagged",
    "once_step.claimed",
    "once_step.finished",
    "once_step.given_up",
    "once_step.reclaimed",
    "schedule.changed",
    "schedule.created",
    "schedule.deleted",
    "schedule.paused",
    "schedule.resumed",
    "schedule.tick_considered",
    "suite_run.cancel_requested",
    "suite_run.cases_ended",
    "suite_run.cases_planned",
    "suite_run.cases_skipped",
    "suite_run.cases_started",
    "suite_run.finished",
    "suite_run.requested",
    "suite_run.time_limit_reached",
    "user.disabled",
    "user.enabled",
    "user.registered",
    "workspace.member_added",
    "workspace.member_removed",
    "workspace.opened",
}


def test_every_event_has_an_explicit_topic_of_its_own():
    topics = [vars(event)["TOPIC"] for event in event_classes()]
    assert len(topics) == len(set(topics))


def test_no_stored_name_has_changed():
    assert {event.TOPIC for event in event_classes()} == STORED_FOR_EVER
