"""Durations as people read and write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.duration import parse_duration, spoken_duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.25, "250ms"), (1, "1s"), (90, "1m30s"), (600, "10m"), (3600, "1h"), (5400.5, "1h30m0.5s"), (86_400, "24h")],
)
def test_seconds_are_told_as_people_write_them(seconds: float, text: str) -> None:
    assert spoken_duration(seconds) == text


@given(st.integers(1, 10**9))
def test_what_is_told_means_the_same(milliseconds: int) -> None:
    assert parse_duration(spoken_duration(milliseconds / 1000)) == pytest.approx(milliseconds / 1000)
