"""The targets that the documentation's flows meet: the example shop, a Kafka broker, gRPC, WebSocket and MySQL servers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any

import pytest

from tests.support.grpc_server import grpc_server
from tests.support.mariadb import mariadb_program
from tests.support.websocket_server import websocket_server

TARGETS = (
    *("users_url", "products_url", "orders_url", "notifications_url"),
    *("shop_database_url", "shop_redis_url", "kafka_brokers", "grpc_address"),
    *("websocket_url", "mysql_url"),
)
"""The variables that the flows of the documentation may read without defining them."""


@contextmanager
def in_a_thread(server: Callable[[], AbstractAsyncContextManager[Any]]) -> Iterator[Any]:
    """A server that runs in a thread of its own."""
    loop, ready, ended = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    found: list[Any] = []

    async def serve() -> None:
        async with server() as started:
            found.append(started)
            ready.set()
            await ended.wait()

    def work() -> None:
        loop.run_until_complete(serve())
        loop.close()

    thread = threading.Thread(target=work)
    thread.start()
    assert ready.wait(10)
    yield found[0]
    loop.call_soon_threadsafe(ended.set)
    thread.join(10)


@pytest.fixture(scope="session")
def grpc_address() -> Iterator[str]:
    """A gRPC server."""
    with in_a_thread(lambda: grpc_server("v1")) as server:
        yield f"127.0.0.1:{server.port}"


@pytest.fixture(scope="session")
def websocket_url() -> Iterator[str]:
    """A WebSocket server that sends back what comes."""
    with in_a_thread(websocket_server) as server:
        yield server.url


@pytest.fixture(scope="module")
def targets(
    shop_variables: dict[str, str],
    kafka_port: int,
    grpc_address: str,
    websocket_url: str,
    request: pytest.FixtureRequest,
) -> dict[str, str]:
    """A value for each of TARGETS; without a MariaDB on this machine, none for `mysql_url`."""
    mysql = {"mysql_url": request.getfixturevalue("mariadb").make_database("docs")} if mariadb_program() else {}
    brokers = {"kafka_brokers": f"127.0.0.1:{kafka_port}", "grpc_address": grpc_address}
    found = {**shop_variables, **brokers, "websocket_url": websocket_url, **mysql}
    assert set(found) >= set(TARGETS) - {"mysql_url"}
    return found
