"""The products service: what is for sale, cached in Redis, and stock that cannot be sold twice."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from aiohttp import web
from psycopg.errors import UniqueViolation

from services.kit import Refused, Tools, application, form_of, id_in, plain

CACHE_SECONDS = 60
MOST = 1_000_000
SHOWN = "id, sku, name, price_cents, stock"


class Products:
    """Handlers of the products service."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def app(self) -> web.Application:
        """The service as an application."""
        return application(
            [
                web.post("/products", self.create),
                web.get("/products", self.list_all),
                web.get("/products/{id}", self.show),
                web.delete("/products/{id}", self.remove),
                web.post("/products/{id}/reservations", self.reserve),
                web.delete("/reservations/{id}", self.release),
            ]
        )

    async def create(self, request: web.Request) -> web.Response:
        """Put a product up for sale; 409 when its SKU is taken."""
        form = await form_of(request)
        sku = form.text("sku", maximum=80, pattern=r"[A-Za-z0-9-]+")
        name = form.text("name")
        price = form.whole("price_cents", minimum=1, maximum=MOST)
        stock = form.whole("stock", minimum=0, maximum=MOST)
        form.check()
        query = f"INSERT INTO products (sku, name, price_cents, stock) VALUES (%s, %s, %s, %s) RETURNING {SHOWN}"
        try:
            rows = await self._rows(query, sku, name, price, stock)
        except UniqueViolation:
            raise Refused(409, "sku_taken", f"there is a product {sku} already") from None
        return web.json_response(rows[0], status=201)

    async def list_all(self, request: web.Request) -> web.Response:
        """Products by name; `search` is a part of the name, `in_stock=true` leaves out what is sold out."""
        query = (
            f"SELECT {SHOWN} FROM products WHERE position(lower(%s) in lower(name)) > 0 AND stock >= %s ORDER BY name LIMIT 100"
        )
        least = 1 if request.query.get("in_stock") == "true" else 0
        rows = await self._rows(query, request.query.get("search", ""), least)
        return web.json_response({"items": rows, "count": len(rows)})

    async def show(self, request: web.Request) -> web.Response:
        """One product; `X-Cache` says whether it came from Redis."""
        id = id_in(request)
        cached = await self._tools.redis.get(_key(id))
        if cached is not None:
            return web.Response(text=cached, content_type="application/json", headers={"X-Cache": "hit"})
        rows = await self._rows(f"SELECT {SHOWN} FROM products WHERE id = %s", id)
        if not rows:
            raise _unknown(id)
        await self._tools.redis.set(_key(id), json.dumps(rows[0]), ex=CACHE_SECONDS)
        return web.json_response(rows[0], headers={"X-Cache": "miss"})

    async def remove(self, request: web.Request) -> web.Response:
        """Take a product out of the shop, its reservations with it."""
        id = id_in(request)
        if not await self._rows("DELETE FROM products WHERE id = %s RETURNING id", id):
            raise _unknown(id)
        await self._tools.redis.delete(_key(id))
        return web.Response(status=204)

    async def reserve(self, request: web.Request) -> web.Response:
        """Take stock off; 409 with what is left when that is not enough. One statement: two buyers cannot both win."""
        id = id_in(request)
        form = await form_of(request)
        quantity = form.whole("quantity", minimum=1, maximum=MOST)
        form.check()
        rows = await self._rows(
            "WITH taken AS (UPDATE products SET stock = stock - %s WHERE id = %s AND stock >= %s"
            " RETURNING id, price_cents, stock),"
            " made AS (INSERT INTO reservations (product_id, quantity) SELECT id, %s FROM taken RETURNING id)"
            " SELECT made.id, taken.price_cents, taken.stock AS remaining FROM made, taken",
            *(quantity, id, quantity, quantity),
        )
        if not rows:
            await self._refuse(id, quantity)
        await self._tools.redis.delete(_key(id))
        return web.json_response(rows[0], status=201)

    async def release(self, request: web.Request) -> web.Response:
        """Give reserved stock back."""
        rows = await self._rows(
            "WITH gone AS (DELETE FROM reservations WHERE id = %s RETURNING product_id, quantity)"
            " UPDATE products SET stock = stock + gone.quantity FROM gone WHERE id = gone.product_id RETURNING id",
            id_in(request),
        )
        if not rows:
            raise Refused(404, "not_found", "there is no such reservation")
        await self._tools.redis.delete(_key(rows[0]["id"]))
        return web.Response(status=204)

    async def _refuse(self, id: UUID, quantity: int) -> None:
        rows = await self._rows("SELECT stock FROM products WHERE id = %s", id)
        if not rows:
            raise _unknown(id)
        available = rows[0]["stock"]
        raise Refused(409, "out_of_stock", f"only {available} left", requested=quantity, available=available)

    async def _rows(self, query: str, *values: Any) -> list[dict[str, Any]]:
        async with self._tools.database.connection() as connection:
            return [plain(row) for row in await (await connection.execute(query, values)).fetchall()]


def _unknown(id: UUID) -> Refused:
    return Refused(404, "not_found", f"there is no product {id}")


def _key(id: UUID | str) -> str:
    return f"shop:product:{id}"
