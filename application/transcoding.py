"""Events to bytes and back: orjson, stable topics from the one table, and no event of a newer version read by mistake."""

from __future__ import annotations

from collections.abc import Hashable
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

import orjson
from eventsourcing.domain import Snapshot
from eventsourcing.persistence import Mapper, MapperDeserialisationError, StoredEvent, Transcoder
from eventsourcing.utils import get_topic, resolve_topic

from domain.aggregates import event_classes


class UnreadableEvent(MapperDeserialisationError):
    """A stored event that this version of TestMesh cannot read; upgrade the process that reads it."""


class OrjsonTranscoder(Transcoder):
    """Plain data as JSON. Date-times become ISO 8601 text; the mapper turns them back by the event's annotations."""

    def encode(self, obj: Any) -> bytes:
        """Bytes of an event's state; TypeError when it holds something that is not plain data."""
        return orjson.dumps(obj, option=orjson.OPT_NON_STR_KEYS)

    def decode(self, data: bytes) -> Any:
        """The state as plain data; sequences come back as lists."""
        return orjson.loads(data)


@cache
def _classes() -> dict[str, type[Any]]:
    classes: list[type[Any]] = [*event_classes(), Snapshot]
    return {get_topic(cls): cls for cls in classes}


@cache
def _times(cls: Hashable) -> tuple[str, ...]:
    """Names of the fields that hold date-times."""
    fields = getattr(cls, "__dataclass_fields__", {})
    return tuple(name for name, field in fields.items() if str(field.type) in ("datetime", "<class 'datetime.datetime'>"))


def _thawed(topic: str, state: dict[str, Any]) -> dict[str, Any]:
    """A snapshot's state as the aggregate had it."""
    cls: Any = resolve_topic(topic)
    for name in ("_created_on", "_modified_on"):
        if isinstance(state.get(name), str):
            state[name] = datetime.fromisoformat(state[name])
    thawed: dict[str, Any] = cls.thawed(state)
    return thawed


class EventMapper(Mapper[UUID]):
    """Maps domain events to stored events. Topics are looked up in the table of aggregates, never imported."""

    def to_domain_event(self, stored_event: StoredEvent) -> Any:
        """The domain event; UnreadableEvent for an unknown topic, a newer version, or bytes that are not ours."""
        cls = _classes().get(stored_event.topic)
        where = f"{stored_event.topic} {stored_event.originator_id} version {stored_event.originator_version}"
        if cls is None:
            raise UnreadableEvent(f"event {where} has a topic that this version does not know")
        try:
            state = self.transcoder.decode(stored_event.state)
            version = state.pop("class_version", 1)
            for name in _times(cls):  # type: ignore[arg-type]
                state[name] = datetime.fromisoformat(state[name])
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise UnreadableEvent(f"event {where} cannot be decoded: {error}") from error
        known = getattr(cls, "class_version", 1)
        if version > known:
            raise UnreadableEvent(f"event {where} has version {version}; this process reads up to {known}: upgrade it")
        if cls is Snapshot:
            state["state"] = _thawed(state["topic"], state["state"])
        for old in range(version, known):
            getattr(cls, f"upcast_v{old}_v{old + 1}")(state)
        state["originator_id"] = UUID(str(stored_event.originator_id))
        state["originator_version"] = stored_event.originator_version
        event = object.__new__(cls)
        object.__setattr__(event, "__dict__", state)
        return event
