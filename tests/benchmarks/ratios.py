"""What a benchmark gives: ratios of two ways to do the same work, measured in turns within one run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from statistics import median


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound on a median. `least` False means that the median must not be above it."""

    bound: float
    least: bool

    def is_met(self, value: float) -> bool:
        """Whether a median keeps to it."""
        return value >= self.bound if self.least else value <= self.bound

    def __str__(self) -> str:
        return f"{'>=' if self.least else '<='} {self.bound:g}"


def at_least(bound: float) -> Goal:
    """A goal from below."""
    return Goal(bound, least=True)


def at_most(bound: float) -> Goal:
    """A goal from above."""
    return Goal(bound, least=False)


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: `what` measured `against` something, the sample of each round, and the goal if there is one.

    Samples are ratios, ours over theirs, unless `unit` says otherwise (`s`: seconds, `ms`: milliseconds).
    """

    what: str
    against: str
    samples: tuple[float, ...]
    goal: Goal | None = None
    unit: str = ""

    @property
    def value(self) -> float:
        """The median."""
        return median(self.samples)

    @property
    def spread(self) -> tuple[float, float]:
        """The least and the greatest sample."""
        return min(self.samples), max(self.samples)

    @property
    def is_met(self) -> bool:
        """Whether the goal is met; true when there is none."""
        return self.goal is None or self.goal.is_met(self.value)


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A part of the system: `measure(quick)` gives its rows one by one, `how` says in plain words what they mean."""

    name: str
    title: str
    how: str
    measure: Callable[[bool], Iterator[Row]]
    rows: list[Row] = field(default_factory=list)


Figure = Callable[[], float]
"""Does the work once and says how fast or how long it was, in the same unit as its peer."""


def in_turns(ours: Figure, theirs: Figure, rounds: int) -> tuple[float, ...]:
    """Ours over theirs of each round, A B B A A B ..., after a round that warms both and is not counted."""
    ours(), theirs()
    ratios = []
    for number in range(rounds):
        if number % 2:
            below = theirs()
            ratios.append(ours() / below)
        else:
            above = ours()
            ratios.append(above / theirs())
    return tuple(ratios)
