"""What every event of every aggregate carries: who acted, in which workspace, and why."""

from __future__ import annotations

from dataclasses import MISSING, fields
from functools import cache
from typing import TYPE_CHECKING, Any

from eventsourcing.domain import Aggregate, MetaDomainEvent

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


class _EventType(MetaDomainEvent):
    """Makes the class of an event. The library's own way compiles six methods and takes a signature apart for each, which is a
    twentieth of the time in which a command begins."""

    def __new__(cls, name: str, bases: tuple[type[Any], ...], namespace: dict[str, Any]) -> Any:
        made = super(MetaDomainEvent, cls).__new__(cls, name, bases, namespace)
        return dataclass(frozen=True)(made)


class RecordedAggregate(Aggregate):
    """An aggregate whose events record actor, workspace, causation and correlation."""

    class Event(Aggregate.Event, metaclass=_EventType):
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
        """Trigger an event on behalf of an actor, as `trigger_event` does, in a third of the time. TypeError when the values
        are not those of the event."""
        values["originator_id"] = self.id
        values["originator_version"] = self.version + 1
        values["timestamp"] = event.create_timestamp()
        values["workspace"] = self.workspace
        values["actor"] = by.id
        values["causation"] = by.causation
        values["correlation"] = by.correlation or str(self.id)
        made = _made(event, values)
        made.mutate(self)
        self._pending_events.append(made)

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


def _made(event: type[Any], values: dict[str, Any]) -> Any:
    """An event with these values. Its class is frozen, and to set the fields of an instance one by one takes four times as long
    as to fill it at once, as is done with those that are read from the log."""
    names, defaults = _shape(event)  # type: ignore[arg-type]
    if values.keys() != names:
        values = {**defaults, **values}
        if values.keys() != names:
            raise TypeError(f"{event.__qualname__} has the values {sorted(names)}, not {sorted(values)}")
    made = object.__new__(event)
    vars(made).update(values)
    return made


@cache
def _shape(event: type[Any]) -> tuple[frozenset[str], dict[str, Any]]:
    """Names of an event's values, and the defaults of those that may be left out."""
    known = fields(event)
    return frozenset(one.name for one in known), {one.name: one.default for one in known if one.default is not MISSING}
