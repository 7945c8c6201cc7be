"""The shop as one process: `python -m services --database-url URL --redis-url URL`, until SIGTERM or its parent's end."""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from typing import Protocol

import aiohttp
from aiohttp import web
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool
from redis.asyncio import Redis

from services.kit import Database, Tools
from services.notifications import Notifications
from services.orders import Orders
from services.products import Products
from services.tables import make_tables
from services.users import Users


class Service(Protocol):
    """One of the four."""

    def app(self) -> web.Application:
        """The service as an application."""
        ...


SERVICES: Mapping[str, Callable[[Tools], Service]] = {
    "users": Users,
    "products": Products,
    "orders": Orders,
    "notifications": Notifications,
}
START_SECONDS = 30
PR_SET_PDEATHSIG = 1


def main() -> None:
    """Run the shop."""
    parser = argparse.ArgumentParser(prog="services", description="The example shop.")
    parser.add_argument("--database-url", required=True, help="The shop's own PostgreSQL database.")
    parser.add_argument("--redis-url", required=True, help="The shop's own Redis or Valkey.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port-base", type=int, default=9000, help="Services take the next four; 0 takes any that are free.")
    options = parser.parse_args()
    _end_with_parent()
    try:
        sockets = _listen(options.host, options.port_base)
    except OSError as error:
        sys.exit(f"the shop cannot listen: {error}; choose another --port-base")
    asyncio.run(_run(options.database_url, options.redis_url, sockets))


async def _run(database_url: str, redis_url: str, sockets: Mapping[str, socket.socket]) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    urls = {name: f"http://{_host(taken)}:{taken.getsockname()[1]}" for name, taken in sockets.items()}
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(Redis.from_url(redis_url, decode_responses=True))
        http = await stack.enter_async_context(aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)))
        for name, service in SERVICES.items():
            database = await stack.enter_async_context(_database(database_url))
            await make_tables(database)
            runner = web.AppRunner(service(Tools(database, redis, http, urls)).app(), access_log=None)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.SockSite(runner, sockets[name]).start()
        await asyncio.wait_for(_healthy(http, list(urls.values())), START_SECONDS)
        print("shop ready", *(f"{name}={url}" for name, url in urls.items()), flush=True)
        await stopped.wait()


def _database(url: str) -> Database:
    return AsyncConnectionPool(url, min_size=1, max_size=5, kwargs={"row_factory": dict_row}, open=False)


async def _healthy(http: aiohttp.ClientSession, urls: Sequence[str]) -> None:
    for url in urls:
        async with http.get(f"{url}/health") as response:
            response.raise_for_status()


def _listen(host: str, base: int) -> dict[str, socket.socket]:
    ports = [base + number if base else 0 for number in range(1, len(SERVICES) + 1)]
    return {name: socket.create_server((host, port)) for name, port in zip(SERVICES, ports, strict=True)}


def _host(taken: socket.socket) -> str:
    return str(taken.getsockname()[0])


def _end_with_parent() -> None:
    """SIGTERM for this process when the one that started it ends (on Linux)."""
    parent = os.getppid()
    libc = ctypes.CDLL(None)
    if hasattr(libc, "prctl"):
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            sys.exit("the process that started the shop is gone")


if __name__ == "__main__":
    main()
