"""What may be asked of a suite run: how many cases at once and how long, each of them once, and no needs in a circle."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from domain.errors import Invalid, LimitExceeded
from domain.limits import LIMITS
from domain.suite_case import Case

MOST_SECONDS = 30 * 86_400.0
"""Of a time limit."""


def check_time_limit(seconds: float) -> None:
    """Invalid for one that is too long."""
    if seconds > MOST_SECONDS:
        raise Invalid(f"timeout may be {MOST_SECONDS / 86_400:.0f} days at most", code="invalid_field")


def check_cases(cases: Sequence[Case], parallel: int) -> None:
    """Invalid or LimitExceeded for cases that cannot be run as one."""
    if not cases:
        raise Invalid("there is nothing to run", code="nothing_selected", remedy="select flows that are there")
    if len(cases) > LIMITS.suite_cases:
        raise LimitExceeded(
            f"a suite run may have {LIMITS.suite_cases:,} cases, this one has {len(cases):,}",
            remedy="select fewer flows, rows or values of the matrix",
        )
    if not 1 <= parallel <= LIMITS.suite_parallel:
        raise Invalid(f"parallel must be between 1 and {LIMITS.suite_parallel}", code="invalid_field")
    again = [key for key, count in Counter(case.key for case in cases).items() if count > 1]
    if again:
        raise Invalid(f"the case {again[0]} is there twice", code="duplicate_case", remedy="run each flow and row once")
    needs = {case.group: case.needs for case in cases}
    names = {case.group: case.name for case in cases}
    for group in needs:
        circle = _circle(group, needs)
        if circle:
            way = " > ".join(names[one] for one in circle)
            raise Invalid(f"flows need one another in a circle: {way}", code="needs_circle", remedy="remove one of these needs")


def _circle(start: int, needs: Mapping[int, Sequence[int]]) -> list[int]:
    """The way from a group back to itself; empty when there is none."""
    way, seen = [(start, iter(needs[start]))], set[int]()
    while way:
        following = next(way[-1][1], None)
        if following is None:
            way.pop()
        elif following == start:
            return [*(group for group, _ in way), start]
        elif following not in seen:
            seen.add(following)
            way.append((following, iter(needs.get(following, ()))))
    return []
