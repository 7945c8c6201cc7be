"""The services of the example shop do what their users are told they do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import redis

PARENT = """
import subprocess, sys
child = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE, text=True)
print(child.stdout.readline(), end="", flush=True)
child.wait()
"""


class Customer:
    """Somebody with an account, logged in."""

    def __init__(self, shop: dict[str, str]) -> None:
        self.shop = shop
        self.email = f"{uuid4().hex}@shop.test"
        account = {"email": self.email, "name": "Ada", "password": "correct horse"}
        self.id: str = httpx.post(f"{shop['users']}/users", json=account).json()["id"]
        login = {"email": self.email, "password": "correct horse"}
        self.headers = {"Authorization": "Bearer " + httpx.post(f"{shop['users']}/login", json=login).json()["token"]}

    def order(self, product: str, quantity: int) -> httpx.Response:
        """Order one product."""
        body = {"items": [{"product_id": product, "quantity": quantity}]}
        return httpx.post(f"{self.shop['orders']}/orders", json=body, headers=self.headers)

    def post(self, path: str, **body: Any) -> httpx.Response:
        """Ask the orders service for something."""
        return httpx.post(f"{self.shop['orders']}{path}", json=body, headers=self.headers)


def new_product(shop: dict[str, str], stock: int) -> str:
    """A product with that much stock; its id."""
    body = {"sku": f"T-{uuid4().hex}", "name": "Tea", "price_cents": 450, "stock": stock}
    made = httpx.post(f"{shop['products']}/products", json=body)
    assert made.status_code == 201
    return str(made.json()["id"])


def stock_of(shop: dict[str, str], product: str) -> int:
    """What is left of a product."""
    return int(httpx.get(f"{shop['products']}/products/{product}").json()["stock"])


def test_an_order_is_confirmed_paid_and_announced(shop: dict[str, str]) -> None:
    customer, product = Customer(shop), new_product(shop, 5)
    order = customer.order(product, 2)
    assert (order.status_code, order.json()["total_cents"], stock_of(shop, product)) == (201, 900, 3)
    assert customer.post(f"/orders/{order.json()['id']}/payment", card="4000000000000077").json()["status"] == "paid"
    kinds = until_notified(shop, customer, 2)
    assert kinds == ["order_confirmed", "order_paid"]


def test_messages_are_sent_again_after_the_queue_has_forgotten_everything(shop: dict[str, str], valkey_url: str) -> None:
    with redis.Redis.from_url(valkey_url) as client:
        client.flushall()
    customer = Customer(shop)
    customer.order(new_product(shop, 1), 1)
    assert until_notified(shop, customer, 1) == ["order_confirmed"]


def until_notified(shop: dict[str, str], customer: Customer, count: int) -> list[str]:
    """Kinds of the customer's notifications once there are that many."""
    for _ in range(100):
        sent = httpx.get(f"{shop['notifications']}/notifications", params={"user": customer.id}).json()
        if sent["count"] >= count:
            break
        time.sleep(0.05)
    return [item["kind"] for item in sent["items"]]


def test_stock_is_never_sold_twice_and_comes_back_when_an_order_is_cancelled(shop: dict[str, str]) -> None:
    customer, product = Customer(shop), new_product(shop, 3)
    order = customer.order(product, 3).json()
    refused = customer.order(product, 1)
    assert (refused.status_code, refused.json()["error"], refused.json()["available"]) == (409, "out_of_stock", 0)
    assert customer.post(f"/orders/{order['id']}/cancel").json()["status"] == "cancelled"
    assert stock_of(shop, product) == 3
    assert customer.post(f"/orders/{order['id']}/cancel").status_code == 409


def test_an_order_that_cannot_be_filled_reserves_nothing(shop: dict[str, str]) -> None:
    customer, first, second = Customer(shop), new_product(shop, 5), new_product(shop, 0)
    items = [{"product_id": first, "quantity": 1}, {"product_id": second, "quantity": 1}]
    assert customer.post("/orders", items=items).status_code == 409
    assert stock_of(shop, first) == 5


def test_the_busy_bank_works_the_second_time_and_the_declined_card_never(shop: dict[str, str]) -> None:
    customer = Customer(shop)
    path = f"/orders/{customer.order(new_product(shop, 1), 1).json()['id']}/payment"
    answers = [customer.post(path, card=card).status_code for card in ("4000000000000002", *["4000000000000119"] * 3)]
    assert answers == [402, 503, 200, 409]


def test_a_product_is_read_from_the_cache_until_its_stock_changes(shop: dict[str, str]) -> None:
    product = new_product(shop, 5)
    url = f"{shop['products']}/products/{product}"
    before = [httpx.get(url).headers["X-Cache"] for _ in range(2)]
    httpx.post(f"{url}/reservations", json={"quantity": 1})
    assert [*before, httpx.get(url).headers["X-Cache"]] == ["miss", "hit", "miss"]


def test_wrong_fields_are_named_all_at_once(shop: dict[str, str]) -> None:
    answer = httpx.post(f"{shop['users']}/users", json={"email": "nobody", "password": "short"})
    assert answer.status_code == 422
    assert set(answer.json()["fields"]) == {"email", "name", "password"}
    assert httpx.post(f"{shop['users']}/users", content=b"{").status_code == 400


def test_only_a_customer_with_a_token_orders_and_sees_orders_of_their_own(shop: dict[str, str]) -> None:
    customer, other, product = Customer(shop), Customer(shop), new_product(shop, 1)
    assert httpx.post(f"{shop['orders']}/orders", json={"items": []}).status_code == 401
    order = customer.order(product, 1).json()["id"]
    assert httpx.get(f"{shop['orders']}/orders/{order}", headers=other.headers).status_code == 404
    gone = httpx.delete(f"{shop['users']}/users/{customer.id}", headers=customer.headers)
    assert (gone.status_code, httpx.get(f"{shop['users']}/me", headers=customer.headers).status_code) == (204, 401)


def test_an_address_registers_once(shop: dict[str, str]) -> None:
    customer = Customer(shop)
    again = {"email": customer.email.upper(), "name": "Bea", "password": "another horse"}
    assert httpx.post(f"{shop['users']}/users", json=again).status_code == 409
    wrong = {"email": customer.email, "password": "another horse"}
    assert httpx.post(f"{shop['users']}/login", json=wrong).status_code == 401


def test_the_shop_ends_with_the_process_that_started_it(shop_command: list[str], shop_folder: Path) -> None:
    command = [sys.executable, "-c", PARENT, *shop_command, "--port-base", "0"]
    with subprocess.Popen(command, cwd=shop_folder, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        url = parent.stdout.readline().split()[-1].partition("=")[2]
        assert httpx.get(f"{url}/health").json() == {"status": "ok"}
        os.kill(parent.pid, signal.SIGKILL)
    assert gone(url)


def gone(url: str) -> bool:
    """Whether a service stops answering within some seconds."""
    for _ in range(100):
        try:
            httpx.get(f"{url}/health")
        except httpx.TransportError:
            return True
        time.sleep(0.05)
    return False


def test_a_taken_port_is_told_in_one_line(shop: dict[str, str], shop_command: list[str], shop_folder: Path) -> None:
    taken = int(shop["users"].rpartition(":")[2])
    command = [*shop_command, "--port-base", str(taken - 1)]
    done = subprocess.run(command, cwd=shop_folder, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "choose another --port-base" in done.stderr
