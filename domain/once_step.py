"""The OnceStep aggregate: a step that the cases of a suite run have in common; one of them runs it, the others share it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, UUID, uuid5

from domain.errors import Conflict
from domain.events import Actor, RecordedAggregate


def once_uuid(suite_run: str, cell: str, name: str) -> UUID:
    """The id of a step by its name in a suite run; each cell of a matrix has its own."""
    return uuid5(NAMESPACE_URL, f"testmesh:once:{suite_run}:{cell}:{name}")


class OnceStep(RecordedAggregate):
    """Claimed by an attempt, which then finishes it or gives it up; what was given up or lost is claimed again."""

    TOPIC = "once_step"

    class Event(RecordedAggregate.Event):
        """Base of the step's events."""

    class Claimed(Event, RecordedAggregate.Created):
        """An attempt of an execution is the first that comes to this step, and runs it."""

        TOPIC = "once_step.claimed"
        suite_run: str
        name: str
        execution: str
        attempt: int

        def apply(self, aggregate: OnceStep) -> None:
            """It has a holder."""
            aggregate.workspace = self.workspace
            aggregate.holder, aggregate.shared = (self.execution, self.attempt), None

    Created = Claimed

    class Reclaimed(Event):
        """Another attempt runs it: the one before did not come to its end."""

        TOPIC = "once_step.reclaimed"
        execution: str
        attempt: int

        def apply(self, aggregate: OnceStep) -> None:
            """It has another holder."""
            aggregate.holder = (self.execution, self.attempt)

    class GivenUp(Event):
        """The attempt that held it was stopped before the end of the step."""

        TOPIC = "once_step.given_up"

        def apply(self, aggregate: OnceStep) -> None:
            """Whoever comes next runs it."""
            aggregate.holder = None

    class Finished(Event):
        """It came to its end, a failure included; `shared` is the payload of what it came to."""

        TOPIC = "once_step.finished"
        shared: Mapping[str, Any]

        def apply(self, aggregate: OnceStep) -> None:
            """Nobody runs it again."""
            aggregate.shared = self.shared

    if TYPE_CHECKING:
        holder: tuple[str, int] | None
        shared: Mapping[str, Any] | None

    @classmethod
    def thawed(cls, state: dict[str, Any]) -> dict[str, Any]:
        """JSON has no tuples."""
        return {**state, "holder": tuple(state["holder"]) if state["holder"] else None}

    @classmethod
    def claim(
        cls, by: Actor, *, workspace: str, suite_run: str, cell: str, name: str, execution: UUID, attempt: int
    ) -> OnceStep:
        """Be the first."""
        id = once_uuid(suite_run, cell, name)
        values = {"suite_run": suite_run, "name": name, "execution": str(execution), "attempt": attempt}
        claimed: OnceStep = cls._begin(cls.Claimed, by, id=id, workspace=workspace, **values)
        return claimed

    def reclaim(self, by: Actor, execution: UUID, attempt: int) -> None:
        """Run it in place of a holder that is gone."""
        if self.shared is not None:
            raise Conflict("this step has come to its end", code="already_finished")
        self._record(self.Reclaimed, by, execution=str(execution), attempt=attempt)

    def give_up(self, by: Actor) -> None:
        """Leave it to others."""
        self._record(self.GivenUp, by)

    def finish(self, by: Actor, shared: Mapping[str, Any]) -> None:
        """Share what it came to."""
        self._record(self.Finished, by, shared=shared)
