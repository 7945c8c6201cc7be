"""Waiting over REST: who holds a place, why an execution waits, which workers there are, and when no more may wait."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from uuid import UUID

import httpx
import pytest

from application import worker_list
from application.queueing import Wish
from domain.queueing import Group
from interfaces.back_pressure import BackPressure, QueueFull
from interfaces.settings import Settings
from tests.support.served import FLOW, Room, serving

pytestmark = pytest.mark.servers
LOCK = Wish(group=Group("db"))


def test_groups_show_their_holders_and_those_that_wait_in_order(room: Room) -> None:
    first, second, third = (room.request(wish=LOCK) for _ in range(3))
    room.drive(first, finish=False)
    (group,) = room.http.get(room.path("/groups")).json()["items"]
    assert (group["name"], group["max"]) == ("db", 1)
    assert [place["execution"] for place in group["holders"]] == [str(first)]
    assert [(place["execution"], place["ahead"]) for place in group["waiting"]] == [(str(second), 0), (str(third), 1)]
    assert room.http.get(room.path("/groups"), params={"name": "other"}).json() == {"items": []}


def test_groups_of_another_workspace_are_not_seen(room: Room, foreign: Room) -> None:
    foreign.request(wish=LOCK)
    assert room.http.get(room.path("/groups")).json() == {"items": []}


def test_an_execution_says_what_it_waits_for(room: Room) -> None:
    first, second = room.request(wish=LOCK), room.request(wish=LOCK)
    room.drive(first, finish=False)
    waiting = room.http.get(room.path(f"/executions/{second}")).json()
    assert waiting["waiting_for"][0] == f"the group db (max 1) is held by {first}"
    assert room.http.get(room.path(f"/executions/{first}")).json()["waiting_for"] == []


def test_an_execution_whose_labels_no_worker_has_says_so(room: Room) -> None:
    id = room.request(wish=Wish(runs_on=("nobody-has-this",)))
    with room.server.platform.database("executions").pool.connection() as connection:
        worker_list.beat(connection, "me", "host", ["gpu"], 4, 1)
    try:
        row = room.http.get(room.path(f"/executions/{id}")).json()
        with room.server.home() as home:
            workers = home.http.get("/api/v1/operations/workers").json()["items"]
    finally:
        with room.server.platform.database("executions").pool.connection() as connection:
            worker_list.leave(connection, "me")
    assert row["waiting_for"] == ["no worker has the label nobody-has-this"]
    assert row["runs_on"] == ["nobody-has-this"]
    assert [(worker["labels"], worker["running"], worker["concurrency"]) for worker in workers] == [(["gpu"], 1, 4)]


def test_a_request_says_how_it_wants_to_wait(room: Room) -> None:
    wish = {
        "priority": "high",
        "runs_on": ["region=eu", "gpu"],
        "concurrency": {"group": "tenant 7", "max": 2, "timeout": "10m"},
        "queue_timeout": "1h",
    }
    answer = room.http.post(room.path("/executions"), json={"document": FLOW, **wish})
    request = room.server.platform.executions.get(room.id, UUID(answer.json()["id"])).request
    assert (request.priority, request.runs_on, request.queue_timeout) == (1, ["gpu", "region=eu"], 3600.0)
    assert request.groups == [{"name": "tenant 7", "max": 2, "when_full": "queue", "timeout": 600.0}]


@pytest.mark.parametrize(
    "wish",
    [
        {"priority": "urgent"},
        {"runs_on": ["no spaces"]},
        {"concurrency": {"max": 2}},
        {"concurrency": {"group": "g", "max": 0}},
        {"queue_timeout": "soon"},
    ],
)
def test_a_wish_that_makes_no_sense_is_refused(room: Room, wish: dict[str, object]) -> None:
    answer = room.http.post(room.path("/executions"), json={"document": FLOW, **wish})
    assert answer.status_code == 422, answer.text


@contextmanager
def bounded(settings: Settings, key: str, **bounds: int) -> Iterator[httpx.Client]:
    """A client of a server of the same system with other bounds."""
    none = {"queue_limit": 0, "workspace_queue_limit": 0}
    with serving(replace(settings, **{**none, **bounds})) as server, server.client(key) as client:
        yield client


def test_a_full_queue_of_the_workspace_is_429_with_the_time_to_come_back(settings: Settings, room: Room, foreign: Room) -> None:
    body = {"document": FLOW}
    with bounded(settings, room.key, workspace_queue_limit=2) as client:
        statuses = [client.post(room.path("/executions"), json=body).status_code for _ in range(3)]
        refused = client.post(room.path("/executions"), json=body)
        other = client.post(
            foreign.path("/executions"), json=body, headers={"Authorization": f"Bearer {foreign.key}"}
        ).status_code
    assert statuses == [202, 202, 429]
    assert (refused.json()["code"], refused.headers["Retry-After"]) == ("workspace_queue_full", "5")
    assert other == 202


def test_a_full_queue_refuses_suite_runs_and_reruns_as_well(settings: Settings, room: Room) -> None:
    flow = room.push()
    failed = room.suite_run(flows=[flow], finish=True)
    room.request()
    with bounded(settings, room.key, workspace_queue_limit=1) as client:
        first = client.post(room.path("/suite-runs"), json={"flows": [flow]})
        again = client.post(room.path(f"/suite-runs/{failed}/rerun"), json={})
    assert [answer.json()["code"] for answer in (first, again)] == ["workspace_queue_full"] * 2


def test_what_was_accepted_is_answered_as_before_however_full_the_queue_is(settings: Settings, room: Room) -> None:
    again = {"Idempotency-Key": "one"}
    with bounded(settings, room.key, workspace_queue_limit=1) as client:
        first, second = (client.post(room.path("/executions"), json={"document": FLOW}, headers=again) for _ in range(2))
    assert (second.status_code, second.json()) == (202, first.json())


def test_a_full_queue_of_all_is_503(settings: Settings, room: Room) -> None:
    room.request()
    with bounded(settings, room.key, queue_limit=1) as client:
        refused = client.post(room.path("/executions"), json={"document": FLOW})
    assert (refused.status_code, refused.json()["code"]) == (503, "queue_full")


def test_the_count_is_asked_for_once_a_second_and_goes_on_by_itself() -> None:
    asked: list[object] = []

    def count(workspace: str | None, most: int) -> int:
        asked.append(workspace)
        return 0

    pressure = BackPressure(count, 5, 3)
    for _ in range(3):
        pressure.check("w")
        pressure.accepted("w")
    with pytest.raises(QueueFull):
        pressure.check("w")
    assert asked == [None, "w"]


def test_a_worker_without_a_heartbeat_takes_nothing_soon(room: Room) -> None:
    def waits_for(id: UUID) -> object:
        return room.http.get(room.path(f"/executions/{id}")).json()["waiting_for"]

    with room.server.platform.database("executions").pool.connection() as connection:
        worker_list.beat(connection, "quiet", "there", ["slow-only"], 4, 0)
        id = room.request(wish=Wish(runs_on=("slow-only",)))
        try:
            assert waits_for(id) == ["a worker will take it soon"]
            connection.execute("UPDATE executions.workers SET beat = beat - interval '20 s' WHERE incarnation = 'quiet'")
            assert waits_for(id) == ["every worker that may take it is silent (1)"]
        finally:
            worker_list.leave(connection, "quiet")
