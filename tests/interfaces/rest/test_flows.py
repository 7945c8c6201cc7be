"""Flows over REST: pushed, read, named, put away and brought back."""

from __future__ import annotations

from tests.support.served import FLOW, Room


def test_a_pushed_flow_can_be_read(room: Room) -> None:
    id = room.push()
    assert room.http.get(room.path(f"/flows/{id}")).json()["name"] == "Greet"
