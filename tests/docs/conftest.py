"""The targets that the documentation's flows meet: the example shop, a Kafka broker, a gRPC server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from tests.support.grpc_server import grpc_server

TARGETS = (
    *("users_url", "products_url", "orders_url", "notifications_url"),
    *("shop_database_url", "shop_redis_url", "kafka_brokers", "grpc_address"),
)
"""The variables that the flows of the documentation may read without defining them."""


@pytest.fixture(scope="session")
def grpc_address() -> Iterator[str]:
    """A gRPC server in a thread of its own."""
    loop, ready, ended = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    ports: list[int] = []

    async def serve() -> None:
        async with grpc_server("v1") as server:
            ports.append(server.port)
            ready.set()
            await ended.wait()

    def work() -> None:
        loop.run_until_complete(serve())
        loop.close()

    thread = threading.Thread(target=work)
    thread.start()
    assert ready.wait(10)
    yield f"127.0.0.1:{ports[0]}"
    loop.call_soon_threadsafe(ended.set)
    thread.join(10)


@pytest.fixture(scope="session")
def targets(shop_variables: dict[str, str], kafka_port: int, grpc_address: str) -> dict[str, str]:
    """A value for each of TARGETS."""
    found = {**shop_variables, "kafka_brokers": f"127.0.0.1:{kafka_port}", "grpc_address": grpc_address}
    assert set(found) == set(TARGETS)
    return found
