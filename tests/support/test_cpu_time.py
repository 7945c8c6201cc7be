"""A bound on CPU time holds for work, not for a busy machine, and the tracer goes on behind it."""

from __future__ import annotations

import sys
import time
from types import FrameType
from typing import Any

import pytest

from tests.support.cpu_time import at_most


def work(seconds: float) -> None:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def test_more_work_than_that_is_an_error() -> None:
    with pytest.raises(AssertionError, match="s of CPU time"), at_most(0.02):
        work(0.03)


def test_time_that_others_take_does_not_count() -> None:
    with at_most(0.02):
        time.sleep(0.05)


def test_nothing_is_traced_inside_and_everything_again_behind_whatever_happens() -> None:
    seen: list[str] = []

    def tracer(frame: FrameType, event: str, argument: Any) -> None:
        seen.append(frame.f_code.co_name)

    def called() -> None:
        work(0.0)

    def inside() -> None:
        seen.clear()
        called()
        assert "called" not in seen
        raise ZeroDivisionError

    before = sys.gettrace()
    sys.settrace(tracer)
    try:
        with pytest.raises(ZeroDivisionError), at_most(1.0):
            inside()
        called()
    finally:
        sys.settrace(before)
    assert "called" in seen
