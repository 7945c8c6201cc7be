"""Files that flows name, over REST: kept with the revision, bound to their workspace, and refused when they lead anywhere."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest

from application.bundles import opened
from domain.errors import NotFound, Unavailable
from domain.execution import Execution
from domain.limits import LIMITS
from tests.support.served import FLOW, Room

HOSTILE = {
    "absolute": "/etc/passwd",
    "the process's environment": "/proc/self/environ",
    "above": "../secret.txt",
    "above from inside": "data/../../secret.txt",
    "a dot": "./users.json",
    "nothing between": "data//users.json",
    "nothing behind": "data/",
    "a backslash": "..\\secret.txt",
    "a drive": "C:\\secret.txt",
    "a line break": "users\n.json",
    "an escape": "users\x1b[31m.json",
    "turned around": "users\u202enosj.exe",
    "a long name": "x" * 256,
}


def push(room: Room, files: list[dict[str, Any]], *names: str, path: str = "flows/a.yaml") -> httpx.Response:
    documents = [{"path": path, "text": FLOW, "files": list(names)}]
    return room.http.post(room.path("/flows"), json={"documents": documents, "files": files})


def text(path: str, content: str = "{}") -> dict[str, Any]:
    return {"path": path, "text": content}


def bundle(room: Room, id: str) -> dict[str, bytes]:
    """The files of an execution, as a worker gets them."""
    platform = room.server.platform
    execution = platform.logs["executions"].load(Execution, platform.executions.get(room.id, id).id)
    return dict(opened(platform.payloads("executions"), room.id, execution.request.document).files)


def run(room: Room, **body: Any) -> httpx.Response:
    return room.http.post(room.path("/executions"), json=body)


def test_a_flow_is_run_with_the_files_that_it_was_pushed_with(room: Room) -> None:
    raw = bytes(range(256))
    binary = {"path": "data/image.png", "base64": base64.b64encode(raw).decode()}
    pushed = push(room, [text("data/users.json", "[1]\r\n"), binary], "data/users.json", "data/image.png")
    started = run(room, flow=pushed.json()["items"][0]["id"])
    assert bundle(room, started.json()["id"]) == {"data/users.json": b"[1]\r\n", "data/image.png": raw}


def test_a_revision_is_as_old_as_the_newest_of_its_files(room: Room) -> None:
    outcomes = [
        push(room, [text("u.json", content)], "u.json").json()["items"][0]["outcome"] for content in ("1", "1", "2", "1")
    ]
    outcomes.append(push(room, []).json()["items"][0]["outcome"])
    assert outcomes == ["registered", "unchanged", "revised", "revised", "revised"]


def test_documents_share_files_and_name_one_another(room: Room) -> None:
    documents = [
        {"path": "a.yaml", "text": FLOW, "files": ["b.yaml", "u.json"]},
        {"path": "b.yaml", "text": FLOW + "# b\n", "files": ["u.json"]},
    ]
    body = {"documents": documents, "files": [text("u.json")]}
    ids = [item["id"] for item in room.http.post(room.path("/flows"), json=body).json()["items"]]
    found = [bundle(room, run(room, flow=id).json()["id"]) for id in ids]
    assert found == [{"b.yaml": f"{FLOW}# b\n".encode(), "u.json": b"{}"}, {"u.json": b"{}"}]


def test_a_file_is_kept_although_the_document_that_brought_it_first_did_not_change(room: Room) -> None:
    assert push(room, [text("u.json")], "u.json", path="a.yaml").status_code == 200
    same = {"path": "a.yaml", "text": FLOW + "# only a comment\n", "files": ["u.json"]}
    other = {"path": "b.yaml", "text": FLOW, "files": ["a.yaml", "u.json"]}
    answer = room.http.post(room.path("/flows"), json={"documents": [same, other], "files": [text("u.json")]})
    assert [item["outcome"] for item in answer.json()["items"]] == ["unchanged", "registered"]
    started = run(room, flow=answer.json()["items"][1]["id"])
    assert bundle(room, started.json()["id"])["a.yaml"].endswith(b"comment\n")


def test_a_document_is_run_with_the_files_that_come_with_it(room: Room) -> None:
    started = run(room, document=FLOW, file="../a.yaml", path="flows/a.yaml", files=[text("flows/.env", "A=1")])
    assert bundle(room, started.json()["id"]) == {"flows/.env": b"A=1"}


@pytest.mark.parametrize("path", HOSTILE.values(), ids=HOSTILE.keys())
def test_no_file_leads_out_of_the_project(room: Room, path: str) -> None:
    for answer in (push(room, [text(path)], path), run(room, document=FLOW, path="a.yaml", files=[text(path)])):
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_path"), answer.text


@pytest.mark.parametrize("path", HOSTILE.values(), ids=HOSTILE.keys())
def test_no_document_stands_outside_of_the_project(room: Room, path: str) -> None:
    assert run(room, document=FLOW, path=path, files=[text("a.json")]).json()["code"] == "invalid_path"
    assert push(room, [], path=path).json()["code"] == "invalid_path"


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ([text("a.json"), text("a.json")], "duplicate_file"),
        ([text("caf\u00e9.json"), text("cafe\u0301.json")], "duplicate_file"),
        ([text("a"), text("a/b")], "invalid_path"),
        ([{"path": "a.json"}], "invalid_file"),
        ([{"path": "a.json", "text": "", "base64": ""}], "invalid_file"),
        ([{"path": "a.json", "base64": "no base64!"}], "invalid_file"),
        ([{"path": "a.json", "text": "x", "id": "0" * 64}], "unknown_field"),
    ],
)
def test_files_that_make_no_sense_are_refused(room: Room, files: list[dict[str, Any]], code: str) -> None:
    names = [file["path"] for file in files]
    for answer in (push(room, files, *names), run(room, document=FLOW, path="a.yaml", files=files)):
        assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text


def test_every_file_that_is_named_comes_along_and_no_other(room: Room) -> None:
    assert push(room, [], "a.json").json()["code"] == "missing_file"
    assert push(room, [text("a.json")]).json()["code"] == "unused_file"
    assert run(room, document=FLOW, files=[text("a.json")]).json()["code"] == "missing_field"
    assert run(room, flow=room.push(), path="a.yaml").json()["code"] == "invalid_body"


def test_files_are_bounded_each_together_and_in_number(room: Room) -> None:
    most = LIMITS.bundle_file_bytes
    full = [text(f"{number}.txt", "x" * most) for number in range(LIMITS.bundle_bytes // most)]
    assert run(room, document=FLOW, path="a.yaml", files=full).status_code == 202
    for files in (
        [text("a.txt", "x" * (most + 1))],
        [text("a.txt", "ä" * most)],
        [{"path": "a.bin", "base64": base64.b64encode(b"x" * (most + 1)).decode()}],
        [*full, text("one.txt", "x")],
        [text(f"{number}.txt") for number in range(LIMITS.bundle_files + 1)],
    ):
        answer = run(room, document=FLOW, path="a.yaml", files=files)
        assert (answer.status_code, answer.json()["code"]) == (413, "limit"), answer.text


def test_a_push_is_bounded_with_its_files(room: Room) -> None:
    files = [text(f"{number}.txt", "x" * LIMITS.bundle_file_bytes) for number in range(5)]
    documents = [{"path": f"{n}.yaml", "text": FLOW, "files": [file["path"]]} for n, file in enumerate(files)]
    answer = room.http.post(room.path("/flows"), json={"documents": documents, "files": files})
    assert (answer.status_code, answer.json()["code"]) == (413, "limit")


def test_another_workspace_cannot_read_a_file_by_its_reference(room: Room, foreign: Room) -> None:
    started = run(room, document=FLOW, path="a.yaml", files=[text("a.json", "mine")])
    platform = room.server.platform
    document = platform.executions.get(room.id, started.json()["id"]).request.document
    with pytest.raises((NotFound, Unavailable)):
        opened(platform.payloads("executions"), foreign.id, document)


def test_the_same_request_with_other_files_is_another_one(room: Room) -> None:
    def request(content: str) -> httpx.Response:
        body = {"document": FLOW, "path": "a.yaml", "files": [text("a.json", content)]}
        return room.http.post(room.path("/executions"), json=body, headers={"Idempotency-Key": "once"})

    first, again, other = request("1"), request("1"), request("2")
    assert first.json()["id"] == again.json()["id"]
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


def test_what_a_file_holds_is_stored_nowhere_in_the_clear(room: Room) -> None:
    run(room, document=FLOW, path="a.yaml", files=[text("a.env", "TOKEN=canary-7f3a")])
    with room.server.platform.database("executions").pool.connection() as connection:
        rows = connection.execute("SELECT body FROM executions.payloads").fetchall()
        states = connection.execute("SELECT state FROM executions.events").fetchall()
    assert rows
    assert not any(b"canary-7f3a" in bytes(row[0]) for row in [*rows, *states])
