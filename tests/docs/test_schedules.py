"""What the page on schedules says of clock changes, policies and decisions is so."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice

import pytest

from domain.cron import parse
from domain.limits import Limits
from domain.schedule import KINDS, MISSED, OVERLAPS
from tests.support.documentation import DOCS, tables

PAGE = DOCS / "schedules.md"
ROWS = [row for _, row in tables(PAGE, "zone", "cron", "after (utc)", "ticks (utc)")]


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text.strip()).replace(tzinfo=UTC)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row['zone']} {row['cron']} {row['after (utc)']}")
def test_a_row_shows_the_ticks(row: dict[str, str]) -> None:
    shown = [utc(tick) for tick in row["ticks (utc)"].split(",")]
    assert list(islice(parse(row["cron"], row["zone"]).ticks(utc(row["after (utc)"])), len(shown))) == shown


def test_every_policy_and_decision_has_a_row() -> None:
    def first(*head: str) -> list[str]:
        return [next(iter(row.values())).split("`")[1] for _, row in tables(PAGE, *head, bare=False)]

    assert first("`--overlap`", "the tick") == list(OVERLAPS)
    assert first("`--missed`", "of ten missed ticks") == list(MISSED)
    assert first("decision", "means") == list(KINDS)
    assert len(ROWS) == 7


def test_the_limits_are_as_it_says() -> None:
    limits = Limits()
    assert (limits.schedule_seconds, limits.schedule_queue, limits.schedule_catch_up) == (60.0, 10, 100)
