"""The shop that the flows of a new project talk to: a small HTTP API, in memory, on this machine alone."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import web

from domain.errors import Conflict

SHIPPED_AFTER = 0.3
"""Seconds until an order is shipped."""
PRODUCTS = {"apple": 40, "bread": 350, "coffee": 899}
"""Prices in cents."""
ENDPOINTS = {
    "GET /": "this text",
    "GET /products": "what is sold, prices in cents",
    "POST /login": '{"user", "password"}: any password of four characters or more; gives a token',
    "POST /orders": '{"product", "count"} with the header Authorization: Bearer TOKEN',
    "GET /orders/{id}": f"an order; it is shipped {SHIPPED_AFTER:g} s after it was made",
    "DELETE /orders/{id}": "forget it",
}
MOST_ORDERS = 10_000


class Shop:
    """Tokens and orders, forgotten when the process ends."""

    def __init__(self) -> None:
        self._tokens: set[str] = set()
        self._orders: dict[str, dict[str, Any]] = {}

    def app(self) -> web.Application:
        """The application that answers."""
        app = web.Application(client_max_size=65536)
        app.router.add_get("/", self._about)
        app.router.add_get("/products", self._products)
        app.router.add_post("/login", self._login)
        app.router.add_post("/orders", self._order)
        app.router.add_get("/orders/{id}", self._show)
        app.router.add_delete("/orders/{id}", self._forget)
        return app

    async def _about(self, request: web.Request) -> web.Response:
        return web.json_response({"shop": "the demo of TestMesh", "endpoints": ENDPOINTS})

    async def _products(self, request: web.Request) -> web.Response:
        return web.json_response([{"name": name, "price": price} for name, price in PRODUCTS.items()])

    async def _login(self, request: web.Request) -> web.Response:
        asked = await _json(request)
        if not asked.get("user") or len(str(asked.get("password", ""))) < 4:
            return _refusal(401, "user or password is wrong")
        token = secrets.token_urlsafe(24)
        if len(self._tokens) < MOST_ORDERS:
            self._tokens.add(token)
        return web.json_response({"token": token})

    async def _order(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization", "").removeprefix("Bearer ") not in self._tokens:
            return _refusal(401, "log in first")
        asked = await _json(request)
        product, count = asked.get("product"), asked.get("count")
        if product not in PRODUCTS:
            return _refusal(422, f"there is no product {product!r:.40}")
        if type(count) is not int or not 1 <= count <= 100:
            return _refusal(422, "count must be a number from 1 to 100")
        if len(self._orders) >= MOST_ORDERS:
            return _refusal(503, "there are too many orders")
        id = secrets.token_hex(4)
        total = PRODUCTS[product] * count
        self._orders[id] = {"id": id, "product": product, "count": count, "total": total, "made": time.monotonic()}
        return web.json_response(self._shown(id), status=201, headers={"Location": f"/orders/{id}"})

    async def _show(self, request: web.Request) -> web.Response:
        id = request.match_info["id"]
        return web.json_response(self._shown(id)) if id in self._orders else _refusal(404, "there is no such order")

    async def _forget(self, request: web.Request) -> web.Response:
        found = self._orders.pop(request.match_info["id"], None)
        return web.Response(status=204) if found else _refusal(404, "there is no such order")

    def _shown(self, id: str) -> dict[str, Any]:
        order = dict(self._orders[id])
        shipped = time.monotonic() - order.pop("made") >= SHIPPED_AFTER
        return {**order, "status": "shipped" if shipped else "new"}


async def _json(request: web.Request) -> dict[str, Any]:
    try:
        found = await request.json()
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {}


def _refusal(status: int, why: str) -> web.Response:
    return web.json_response({"error": why}, status=status)


async def serve(port: int, stop: asyncio.Event, ready: Any) -> None:
    """Serve until `stop`; `ready` is called with the address. Conflict when the port is taken."""
    runner = web.AppRunner(Shop().app(), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", port)
        try:
            await site.start()
        except OSError as error:
            raise Conflict(f"127.0.0.1:{port} cannot be used: {error.strerror}", remedy="choose another --port") from error
        ready(f"http://127.0.0.1:{runner.addresses[0][1]}")
        await stop.wait()
    finally:
        await runner.cleanup()


@contextmanager
def in_background() -> Iterator[str]:
    """The shop in a thread of its own, at the address that this gives."""
    started = threading.Event()
    loop, stop = asyncio.new_event_loop(), asyncio.Event()
    address: list[str] = []
    failure: list[Exception] = []

    def ready(url: str) -> None:
        address.append(url)
        started.set()

    def work() -> None:
        try:
            loop.run_until_complete(serve(0, stop, ready))
        except Exception as error:
            failure.append(error)
        finally:
            started.set()
            loop.close()

    thread = threading.Thread(target=work, daemon=True, name="demo shop")
    thread.start()
    started.wait()
    if failure:
        raise failure[0]
    try:
        yield address[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(5)
