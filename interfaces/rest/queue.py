"""What waits and what holds places: concurrency groups of a workspace, and the workers of the installation."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from application import group_places, worker_list
from application.group_places import Place
from domain.queueing import PRIORITIES
from interfaces.rest.call import Call, Reply

_WORDS = {rank: name for name, rank in PRIORITIES.items()}


async def groups(call: Call) -> Reply:
    """Groups of the workspace with their holders and those that wait, in their order."""

    def read() -> list[dict[str, Any]]:
        with call.platform.database("executions").pool.connection() as connection:
            found = group_places.places(connection, call.workspace, call.query.name, limit=call.query.limit)
        return [_group(name, list(places)) for name, places in groupby(found, lambda place: place.name)]

    return Reply({"items": await call.run(read)})


def _group(name: str, places: list[Place]) -> dict[str, Any]:
    holders = [place for place in places if place.held_since is not None]
    return {
        "name": name,
        "max": min(place.max for place in holders or places),
        "holders": [{**_place(place), "held_since": place.held_since} for place in holders],
        "waiting": [{**_place(place), "ahead": place.ahead} for place in places if place.held_since is None],
    }


def _place(place: Place) -> dict[str, Any]:
    return {
        "execution": place.execution,
        "max": place.max,
        "priority": _WORDS.get(place.priority, str(place.priority)),
        "runs_on": place.runs_on,
        "since": place.since,
    }


async def workers(call: Call) -> Reply:
    """The workers that live."""

    def read() -> list[dict[str, Any]]:
        with call.platform.database("executions").pool.connection() as connection:
            found = worker_list.live(connection)
        names = ("incarnation", "host", "labels", "concurrency", "running", "started_at", "beat")
        return [{name: getattr(worker, name) for name in names} for worker in found]

    return Reply({"items": await call.run(read)})
