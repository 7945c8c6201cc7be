"""Dead letters over REST: listed with reasons, inspected, sent again or given up, each decision with who and when."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
import redis

from application import dead_letters
from domain.limits import LIMITS
from interfaces.adapters.redis_streams import STREAM
from tests.support.served import Room, Server

PATH = "/api/v1/operations/dead-letters"
pytestmark = pytest.mark.servers


@pytest.fixture
def room(server: Server) -> Iterator[Room]:
    """The workspace whose owners look after the installation."""
    with server.home() as home:
        yield home
        home.opened.close()


def parked(room: Room, reason: str = "not a command of this version", **fields: bytes) -> dict[str, Any]:
    """A new letter as it is listed."""
    entry = str(uuid4())
    named = {name.encode(): content for name, content in fields.items()}
    dead_letters.park(room.server.platform.database("executions"), entry, named, reason, "worker-1")
    return next(item for item in room.http.get(PATH).json()["items"] if item["entry"] == entry)


def entries(room: Room) -> list[Any]:
    with redis.Redis.from_url(room.server.platform.settings.redis_url) as client:
        found: Any = client.xrange(STREAM)
        return [fields for _, fields in found]


def test_a_letter_tells_why_when_and_what_it_was(room: Room) -> None:
    letter = parked(room, execution=b"no id", odd=b"\xff\x00")
    assert (letter["reason"], letter["worker"]) == ("not a command of this version", "worker-1")
    assert letter["fields"] == {"execution": "no id", "odd": "\ufffd\x00"}
    assert (letter["size"], letter["cut"], letter["decision"]) == (19, False, None)
    assert room.http.get(f"{PATH}/{letter['id']}").json() == letter
    assert room.http.get(f"{PATH}/{uuid4()}").status_code == 404


def test_a_requeued_letter_is_in_the_queue_as_it_was_and_cannot_be_decided_again(room: Room) -> None:
    content = uuid4().bytes + b"\xff"
    letter = parked(room, odd=content)
    answer = room.http.post(f"{PATH}/{letter['id']}/requeue")
    assert answer.status_code == 200
    assert {b"odd": content} in entries(room)
    told = room.http.get(f"{PATH}/{letter['id']}").json()
    assert (told["decision"], told["decided_by"]) == ("requeued", f"key:{room.key[4:16]}")
    assert told["decided_at"] > told["parked_at"]
    again = room.http.post(f"{PATH}/{letter['id']}/discard")
    assert (again.status_code, again.json()["code"]) == (409, "already_decided")
    assert letter["id"] not in [item["id"] for item in room.http.get(PATH).json()["items"]]
    assert letter["id"] in [item["id"] for item in room.http.get(PATH, params={"decided": "true"}).json()["items"]]


def test_a_discarded_letter_is_not_sent(room: Room) -> None:
    letter = parked(room, odd=(content := uuid4().bytes))
    assert room.http.post(f"{PATH}/{letter['id']}/discard").json()["decision"] == "discarded"
    assert {b"odd": content} not in entries(room)


def test_of_a_huge_entry_the_beginning_is_kept_which_is_not_sent_again(room: Room) -> None:
    letter = parked(room, huge=b"x" * (LIMITS.event_bytes + 1), more=b"y")
    assert (letter["cut"], len(letter["fields"]["huge"])) == (True, LIMITS.event_bytes - 4)
    answer = room.http.post(f"{PATH}/{letter['id']}/requeue")
    assert (answer.status_code, answer.json()["code"]) == (409, "not_sendable")
    assert room.http.get(f"{PATH}/{letter['id']}").json()["decision"] is None


def test_the_same_entry_parked_twice_is_one_letter_and_pages_hold_every_one(room: Room) -> None:
    database = room.server.platform.database("executions")
    before = dead_letters.count(database)
    for number in (1, 2, 3, 3):
        dead_letters.park(database, f"{room.id}-{number}", {b"a": b"b"}, "unknown", "w")
    assert dead_letters.count(database) == before + 3
    seen, cursor = [], None
    while True:
        page = room.http.get(PATH, params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        seen += [item["entry"] for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert len(seen) == len(set(seen)) == before + 3
    assert seen[:3] == [f"{room.id}-{number}" for number in (3, 2, 1)]


@pytest.mark.parametrize("scopes", [("operator",), ("admin",)])
def test_only_owners_of_the_first_workspace_look_after_the_installation(server: Server, room: Room, scopes: tuple[str]) -> None:
    assert room.client(room.issue(*scopes)).get(PATH).status_code == 200
    admin = room.member(f"admin-{uuid4()}", "admin")
    with server.room() as other:
        for key in (other.key, other.issue(*scopes), room.issue(*scopes, user=admin), room.issue("runs:write")):
            assert room.client(key).get(PATH).status_code == 403
            assert room.client(key).post(f"{PATH}/{uuid4()}/discard").status_code == 403
