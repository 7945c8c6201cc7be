"""Tests of aggregates read as sentences: given(past).when(command).then(events)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

A = TypeVar("A")


class Scenario(Generic[A]):
    """An aggregate with a past, a command, and what came of it."""

    def __init__(self, aggregate: A) -> None:
        self.aggregate = aggregate
        self.events: list[Any] = []
        self.refusal: Exception | None = None

    def when(self, command: Callable[[A], object]) -> Scenario[A]:
        """Run the command; a refusal is kept for `refused`."""
        try:
            command(self.aggregate)
        except Exception as refusal:
            self.refusal = refusal
        self.events = list(self.aggregate.collect_events())  # type: ignore[attr-defined]
        return self

    def then(self, *expected: type[Any]) -> list[Any]:
        """Exactly these events were recorded; they are given back for a closer look."""
        assert self.refusal is None, self.refusal
        assert [type(event) for event in self.events] == list(expected)
        return self.events

    def refused(self, kind: type[Exception]) -> Exception:
        """The command was refused like this, and nothing was recorded."""
        assert isinstance(self.refusal, kind), self.refusal
        assert self.events == []
        return self.refusal


def given(aggregate: A, *past: Callable[[A], object]) -> Scenario[A]:
    """An aggregate on which these commands have already run."""
    for command in past:
        command(aggregate)
    aggregate.collect_events()  # type: ignore[attr-defined]
    return Scenario(aggregate)
