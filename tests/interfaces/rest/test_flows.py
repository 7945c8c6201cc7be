"""Flows over REST: pushed, read, named, put away and brought back."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import Any

import httpx
import pytest

from tests.support.served import FLOW, Room, Server

OTHER = FLOW.replace("message: hi", "message: ho")


def push(room: Room, *documents: tuple[str, str], **more: Any) -> httpx.Response:
    """Push documents given as (path, text)."""
    body = {"documents": [{"path": path, "text": text} for path, text in documents], **more}
    return room.http.post(room.path("/flows"), json=body)


def paths(room: Room, **query: Any) -> list[str]:
    """The paths of the flows in use, everything written so far included."""
    query["min_position"] = room.server.settled("flows")
    return [row["path"] for row in room.http.get(room.path("/flows"), params=query).json()["items"]]


def test_a_push_says_what_became_of_each_document(room: Room) -> None:
    first = push(room, ("a.yaml", FLOW), ("b.yaml", FLOW))
    second = push(room, ("a.yaml", OTHER), ("b.yaml", FLOW))
    assert [item["outcome"] for item in first.json()["items"]] == ["registered", "registered"]
    assert [(item["outcome"], item["revision"]) for item in second.json()["items"]] == [("revised", 2), ("unchanged", 1)]


def test_what_was_written_is_read_at_the_position_that_the_answer_names(room: Room) -> None:
    for number in range(20):
        pushed = push(room, (f"{number}.yaml", FLOW))
        query = {"min_position": pushed.headers["X-Event-Position"]}
        id = pushed.json()["items"][0]["id"]
        assert room.http.get(room.path(f"/flows/{id}"), params=query).json()["path"] == f"{number}.yaml"


def test_a_position_that_is_not_reached_is_answered_with_the_lag(impatient: Server) -> None:
    with impatient.room() as room:
        begun = time.monotonic()
        answer = room.http.get(room.path("/flows"), params={"min_position": "flows:999999999"})
        assert (answer.status_code, answer.json()["code"]) == (409, "position_not_reached")
        assert answer.json()["title"].startswith("flows:999999999 is behind the newest event of this server, flows:")
        assert "is it of another server" in answer.json()["remedy"]
        assert 0.3 <= time.monotonic() - begun < 2


def test_many_who_wait_for_a_position_keep_nobody_else_waiting(room: Room) -> None:
    def wait() -> None:
        with room.server.client(room.key) as client, suppress(httpx.ReadTimeout):
            client.get(room.path("/flows"), params={"min_position": "flows:999999999"}, timeout=0.8)

    waiting = [threading.Thread(target=wait) for _ in range(30)]
    for thread in waiting:
        thread.start()
    time.sleep(0.3)
    begun = time.monotonic()
    assert room.http.get(room.path("/flows")).status_code == 200
    assert time.monotonic() - begun < 2
    for thread in waiting:
        thread.join()


def test_the_source_of_each_revision_comes_back_byte_for_byte(room: Room) -> None:
    ends = ("\n", "\r\n", "\n\n\n")
    texts = [f"# Grüße, 你好{end}{FLOW.replace('hi', str(number))}" for number, end in enumerate(ends)]
    for text in texts:
        id = room.push(text)
    for number, text in enumerate(texts, 1):
        answer = room.http.get(room.path(f"/flows/{id}/source"), params={"revision": number})
        assert (answer.content, answer.headers["X-Flow-Revision"]) == (text.encode(), str(number))
        assert answer.headers["content-type"] == "application/yaml; charset=utf-8"
    assert room.http.get(room.path(f"/flows/{id}/source")).content == texts[-1].encode()
    assert room.http.get(room.path(f"/flows/{id}/source"), params={"revision": 4}).status_code == 404
    revisions = room.http.get(room.path(f"/flows/{id}/revisions")).json()["items"]
    assert [row["revision"] for row in revisions] == [3, 2, 1]


def test_one_invalid_document_keeps_all_from_being_stored(room: Room) -> None:
    answer = push(room, ("good.yaml", FLOW), ("bad.yaml", "name: Bad\nsteps:\n  - action: nonsense\n"))
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_flow")
    found = answer.json()["problems"][0]
    assert (found["file"], found["line"]) == ("bad.yaml", 3)
    assert paths(room) == []


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../a.yaml", "a/../b.yaml", "a//b.yaml", "a\\b.yaml", "./a.yaml", "a\u202eb.yaml"]
)
def test_a_path_outside_the_project_is_refused(room: Room, path: str) -> None:
    assert push(room, (path, FLOW)).json()["code"] == "invalid_path"


def test_two_documents_with_one_id_are_refused(room: Room) -> None:
    same = "id: same\n" + FLOW
    assert push(room, ("a.yaml", same), ("b.yaml", same)).json()["code"] == "duplicate_flow_id"


def test_prune_archives_what_a_push_no_longer_brings(room: Room) -> None:
    push(room, ("a.yaml", FLOW), ("b.yaml", FLOW), project="shop")
    push(room, ("other.yaml", FLOW), project="else")
    answer = push(room, ("a.yaml", FLOW), project="shop", prune=True)
    assert len(answer.json()["archived"]) == 1
    assert sorted(paths(room)) == ["a.yaml", "other.yaml"]
    assert paths(room, archived="true") == ["b.yaml"]


def test_prune_keeps_a_flow_whose_file_was_moved(room: Room) -> None:
    text = "id: stays\n" + FLOW
    push(room, ("old.yaml", text))
    answer = push(room, ("new.yaml", text), prune=True)
    assert answer.json()["archived"] == []
    assert paths(room) == ["new.yaml"]


def test_tags_are_replaced_and_said_once_each(room: Room) -> None:
    id = room.push()
    answer = room.http.put(room.path(f"/flows/{id}/tags"), json={"tags": ["smoke", "night", "smoke"]})
    assert answer.json() == {"tags": ["smoke", "night"]}
    assert paths(room, tag="night") == ["greet.yaml"]
    assert room.http.put(room.path(f"/flows/{id}/tags"), json={"tags": ["x" * 256]}).status_code == 413
    assert room.http.put(room.path(f"/flows/{id}/tags"), json={"tags": ["x"] * 51}).status_code == 413


def test_an_archived_flow_does_not_run_until_it_is_restored(room: Room) -> None:
    id = room.push()
    archive, restore = room.path(f"/flows/{id}/archive"), room.path(f"/flows/{id}/restore")
    assert [room.http.post(archive).status_code for _ in range(2)] == [200, 409]
    refused = room.http.post(room.path("/executions"), json={"flow": id})
    assert (refused.status_code, refused.json()["code"]) == (409, "flow_archived")
    assert [room.http.post(restore).status_code for _ in range(2)] == [200, 409]
    assert room.http.post(room.path("/executions"), json={"flow": id}).status_code == 202


def test_flows_come_in_pages_without_gap_or_double(room: Room) -> None:
    push(room, *((f"{number}.yaml", FLOW.replace("Greet", f"Greet {number % 3}")) for number in range(7)))
    room.server.settled("flows")
    seen: list[str] = []
    cursor = None
    while True:
        query = {"limit": 3} | ({"cursor": cursor} if cursor else {})
        page = room.http.get(room.path("/flows"), params=query).json()
        seen += [row["path"] for row in page["items"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert sorted(seen) == [f"{number}.yaml" for number in range(7)]


def test_a_flow_is_found_by_its_id_key_path_or_name(room: Room) -> None:
    id = room.push("id: greeting\n" + FLOW)
    for called in (id, "greeting", "greet.yaml", "Greet"):
        found = room.http.get(room.path("/flows"), params={"called": called}).json()
        assert [row["id"] for row in found["items"]] == [id]
