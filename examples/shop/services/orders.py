"""The orders service: asks users who is buying and products for stock, stores the order, and announces it in Redis."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import aiohttp
from aiohttp import web
from psycopg.types.json import Jsonb

from services.kit import Form, Refused, Tools, application, form_of, id_in, plain

EVENTS = "shop:events"
KEPT_EVENTS = 10_000
BUSY_AT_FIRST, DECLINED = "4000000000000119", "4000000000000002"
"""Test cards: the bank of the first does not answer the first time, the second is never accepted."""


class Orders:
    """Handlers of the orders service."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def app(self) -> web.Application:
        """The service as an application."""
        return application(
            [
                web.post("/orders", self.create),
                web.get("/orders/{id}", self.show),
                web.post("/orders/{id}/payment", self.pay),
                web.post("/orders/{id}/cancel", self.cancel),
            ]
        )

    async def create(self, request: web.Request) -> web.Response:
        """Order products: all of them are reserved, or none."""
        user = await self._user(request)
        wanted = _wanted(await form_of(request))
        items = await self._reserve(wanted)
        total = sum(item["quantity"] * item["price_cents"] for item in items)
        query = "INSERT INTO orders (user_id, items, total_cents) VALUES (%s, %s, %s) RETURNING *"
        order = await self._one(query, user["id"], Jsonb(items), total)
        await self._announce("order_confirmed", order)
        return web.json_response(order, status=201)

    async def show(self, request: web.Request) -> web.Response:
        """One of the caller's own orders."""
        return web.json_response(await self._own(request))

    async def pay(self, request: web.Request) -> web.Response:
        """Pay with a card: 402 when it is declined, 503 when the bank does not answer and one may try again."""
        order = await self._own(request)
        form = await form_of(request)
        card = form.text("card", pattern=r"\d{16}")
        form.check()
        if card == DECLINED:
            raise Refused(402, "card_declined", "the bank declined the card")
        if card == BUSY_AT_FIRST and await self._first_payment(order["id"]):
            raise Refused(503, "bank_unavailable", "the bank does not answer; try again")
        return web.json_response(await self._move(order, "confirmed", "paid"))

    async def cancel(self, request: web.Request) -> web.Response:
        """Cancel an order and give its stock back; 409 when it is cancelled already."""
        order = await self._own(request)
        moved = await self._move(order, order["status"], "cancelled")
        for item in moved["items"]:
            await self._release(item["reservation_id"])
        return web.json_response(moved)

    async def _user(self, request: web.Request) -> dict[str, Any]:
        headers = {"Authorization": request.headers.get("Authorization", "")}
        async with self._tools.http.get(f"{self._tools.urls['users']}/me", headers=headers) as response:
            if response.status != 200:
                raise Refused(401, "not_logged_in", "the users service does not know this token")
            user: dict[str, Any] = await response.json()
            return user

    async def _reserve(self, wanted: list[tuple[str, int]]) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        try:
            for product, quantity in wanted:
                items.append(await self._reserve_one(product, quantity))
        except (Refused, aiohttp.ClientError):
            for item in items:
                await self._release(item["reservation_id"])
            raise
        return items

    async def _reserve_one(self, product: str, quantity: int) -> dict[str, Any]:
        url = f"{self._tools.urls['products']}/products/{product}/reservations"
        async with self._tools.http.post(url, json={"quantity": quantity}) as response:
            answer = await response.json()
            if response.status == 404:
                raise Refused(422, "unknown_product", f"there is no product {product}")
            if response.status != 201:
                raise Refused(409, answer["error"], answer["message"], product_id=product, available=answer.get("available"))
        price = answer["price_cents"]
        return {"product_id": product, "quantity": quantity, "price_cents": price, "reservation_id": answer["id"]}

    async def _release(self, reservation: str) -> None:
        async with self._tools.http.delete(f"{self._tools.urls['products']}/reservations/{reservation}"):
            pass

    async def _own(self, request: web.Request) -> dict[str, Any]:
        user = await self._user(request)
        order = await self._one("SELECT * FROM orders WHERE id = %s AND user_id = %s", id_in(request), user["id"])
        if order is None:
            raise Refused(404, "not_found", "you have no such order")
        return order

    async def _move(self, order: dict[str, Any], before: str, after: str) -> dict[str, Any]:
        query = "UPDATE orders SET status = %s WHERE id = %s AND status = %s AND status <> %s RETURNING *"
        moved = await self._one(query, after, order["id"], before, after)
        if moved is None:
            raise Refused(409, "wrong_status", f"the order is {order['status']}", order_status=order["status"])
        await self._announce(f"order_{after}", moved)
        return moved

    async def _first_payment(self, order: str) -> bool:
        return bool(await self._tools.redis.set(f"shop:bank:{order}", "asked", ex=3600, nx=True))

    async def _announce(self, kind: str, order: dict[str, Any]) -> None:
        fields: dict[Any, Any] = {
            "kind": kind,
            "order_id": order["id"],
            "user_id": order["user_id"],
            "total_cents": order["total_cents"],
        }
        await self._tools.redis.xadd(EVENTS, fields, maxlen=KEPT_EVENTS, approximate=True)

    async def _one(self, query: str, *values: Any) -> Any:
        async with self._tools.database.connection() as connection:
            row = await (await connection.execute(query, values)).fetchone()
        return None if row is None else plain(row)


def _wanted(form: Form) -> list[tuple[str, int]]:
    """Products and quantities of a new order."""
    items = form.objects("items", maximum=20)
    form.check()
    wanted: list[tuple[str, int]] = []
    for item in map(Form, items):
        product, quantity = item.text("product_id"), item.whole("quantity", minimum=1, maximum=1000)
        item.check()
        wanted.append((_identifier(product), quantity))
    return wanted


def _identifier(product: str) -> str:
    try:
        return str(UUID(product))
    except ValueError:
        raise Refused(422, "validation", "the request has wrong fields", fields={"product_id": "has the wrong form"}) from None
