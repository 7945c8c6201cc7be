"""What every event of every aggregate carries: who acted, in which workspace, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eventsourcing.domain import Aggregate

from domain.values import dataclass


@dataclass(frozen=True, slots=True)
class Actor:
    """Who causes an event: `user:<id>`, `key:<id>`, `worker:<incarnation>`, `sweeper`, `system`, ...

    `causation` is the id of the request or event that led here, `correlation` the id that the whole chain shares.
    """

    id: str
    causation: str = ""
    correlation: str = ""


SYSTEM = Actor("system")


class RecordedAggregate(Aggregate):
    """An aggregate whose events record actor, workspace, causation and correlation."""

    class Event(Aggregate.Event):
        """Base of an aggregate's own events."""

        workspace: str
        actor: str
        causation: str
        correlation: str

    if TYPE_CHECKING:
        workspace: str

    @classmethod
    def thawed(cls, state: dict[str, Any]) -> dict[str, Any]:
        """The state of a snapshot, which is plain data, with the aggregate's own types again."""
        return state

    def _record(self, event: type[Any], by: Actor, **values: Any) -> None:
        """Trigger an event on behalf of an actor."""
        self.trigger_event(
            event,
            workspace=self.workspace,
            actor=by.id,
            causation=by.causation,
            correlation=by.correlation or str(self.id),
            **values,
        )

    @classmethod
    def _begin(cls, event: type[Any], by: Actor, *, id: Any, workspace: str, **values: Any) -> Any:
        """Create the aggregate with its first event."""
        return cls._create(
            event,
            id=id,
            workspace=workspace,
            actor=by.id,
            causation=by.causation,
            correlation=by.correlation or str(id),
            **values,
        )
