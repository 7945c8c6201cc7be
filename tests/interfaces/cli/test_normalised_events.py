"""What is compared of two runs of one flow: not the order of what runs side by side, but everything else."""

from __future__ import annotations

from typing import Any

from interfaces.cli.reports.events import normalised

PASSED = {"verdict": "passed", "tries": []}


def started(path: str, number: int, action: str = "log") -> dict[str, Any]:
    step = {"attempt": 1, "path": path, "phase": "steps", "number": number, "action": action}
    return {"topic": "execution.step_started", "event": step}


def finished(path: str, verdict: str = "passed") -> dict[str, Any]:
    return {
        "topic": "execution.step_finished",
        "event": {"attempt": 1, "path": path, "outcome": {**PASSED, "verdict": verdict}},
    }


def both(*inside: dict[str, Any], then: str = "c") -> list[tuple[Any, ...]]:
    """A step with two branches, and one step behind it."""
    return normalised([started("p", 1, "parallel"), *inside, finished("p"), started(then, 4), finished(then)])


def test_branches_that_met_otherwise_are_equal() -> None:
    one = both(started("p/a/x", 2), started("p/b/y", 3), finished("p/b/y"), finished("p/a/x"))
    other = both(started("p/b/y", 2), finished("p/b/y"), started("p/a/x", 3), finished("p/a/x"))
    assert one == other
    assert len(one) == 8


def test_another_verdict_step_or_order_within_a_branch_is_not() -> None:
    one = both(started("p/a/x", 2), finished("p/a/x"), started("p/a/y", 3), finished("p/a/y"))
    assert one != both(started("p/a/x", 2), finished("p/a/x", "failed"), started("p/a/y", 3), finished("p/a/y"))
    assert one != both(started("p/a/y", 2), finished("p/a/y"), started("p/a/x", 3), finished("p/a/x"))
    assert one != both(started("p/a/x", 2), finished("p/a/x"))
    assert one != both(started("p/a/x", 2), finished("p/a/x"), started("p/a/y", 3), finished("p/a/y"), then="d")
