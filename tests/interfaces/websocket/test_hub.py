"""The hub's memory is bounded in number and in size; what fell out is read from the database."""

from __future__ import annotations

from typing import Any

import pytest

from interfaces.websocket.hub import Hub
from projections.live_feed import LiveFeed
from tests.support.served import Server

pytestmark = pytest.mark.servers


def rows(first: int, count: int, size: int) -> list[dict[str, Any]]:
    return [{"feed_id": number, "workspace": "w", "execution": "e", "size": size} for number in range(first, first + count)]


@pytest.mark.parametrize(("bounds", "kept"), [({"kept": 3}, [8, 9, 10]), ({"kept_bytes": 250}, [9, 10])])
async def test_the_oldest_fall_out_first(server: Server, bounds: dict[str, int], kept: list[int]) -> None:
    database = server.platform.database("executions")
    hub = Hub(LiveFeed(database.pool), database.connect, **bounds)  # type: ignore[arg-type]
    for number in range(1, 11):
        hub._take(rows(number, 1, 100))
    assert hub.head == 10
    found, reached = await hub.after("w", kept[0] - 1, None, 100)
    assert ([row["feed_id"] for row in found], reached) == (kept, 10)
    assert await hub.after("w", kept[0] - 2, None, 100) == ([], 10), "read from the database, which has none of them"
