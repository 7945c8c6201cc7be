"""Events are what the library would make of them: complete, equal by value, and left alone."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from domain.events import Actor
from domain.workspace import Workspace

BY = Actor("user:ann", causation="request-1")


def joined(user: str) -> Workspace:
    """A workspace that was opened and joined."""
    workspace = Workspace.open(BY, "shop")
    workspace._record(Workspace.MemberAdded, BY, user=user, role="editor")
    return workspace


def test_an_event_knows_its_aggregate_its_place_and_who_caused_it() -> None:
    workspace = joined("bob")
    created, event = workspace.collect_events()
    assert (event.originator_id, event.originator_version) == (workspace.id, 2)
    assert (event.actor, event.causation, event.correlation) == ("user:ann", "request-1", str(workspace.id))
    assert event.timestamp >= created.timestamp
    assert workspace.version == 2
    assert workspace.modified_on == event.timestamp


def test_events_with_other_values_are_other_events() -> None:
    event = joined("bob").collect_events()[1]
    same = type(event)(**vars(event))
    other = type(event)(**{**vars(event), "user": "eve"})
    assert (event, hash(event)) == (same, hash(same))
    assert event != other
    assert "user='bob'" in repr(event)


def test_an_event_is_left_alone() -> None:
    event = joined("bob").collect_events()[1]
    with pytest.raises(FrozenInstanceError):
        event.user = "eve"


@pytest.mark.parametrize("values", [{"user": "eve"}, {"user": "eve", "role": "viewer", "colour": "red"}])
def test_an_event_with_values_missing_or_unknown_is_refused_and_changes_nothing(values: dict[str, str]) -> None:
    workspace = joined("bob")
    with pytest.raises(TypeError, match="MemberAdded has the values"):
        workspace._record(Workspace.MemberAdded, BY, **values)
    assert workspace.version == 2
    assert len(workspace.collect_events()) == 2
