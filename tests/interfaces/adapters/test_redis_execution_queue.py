"""The queue on a real Valkey: delivery, adoption, the epoch, groups that vanish, receivers that are gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from uuid import uuid4

import pytest
import redis

from application.ports import RunCommand
from domain.errors import Unavailable
from interfaces.adapters import redis_execution_queue as adapter
from interfaces.adapters.redis_execution_queue import GROUP, STREAM, RedisCommandQueue, RedisDeliveries

pytestmark = pytest.mark.servers


@pytest.fixture
def client(valkey_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(valkey_url) as made:
        for key in made.scan_iter("testmesh:*"):
            made.delete(key)
        yield made


@pytest.fixture
def queue(valkey_url: str, client: redis.Redis) -> Iterator[RedisCommandQueue]:
    made = RedisCommandQueue(valkey_url)
    yield made
    made.close()


@pytest.fixture
async def worker(valkey_url: str, client: redis.Redis) -> AsyncIterator[RedisDeliveries]:
    made = RedisDeliveries(valkey_url, "one")
    await made.receive(1, 10)
    yield made
    await made.leave()


async def test_commands_come_in_order_and_once(queue: RedisCommandQueue, worker: RedisDeliveries, client: redis.Redis) -> None:
    commands = [RunCommand(uuid4(), 1), RunCommand(uuid4(), 2, "teardown", 1)]
    queue.send(commands)
    found = await worker.receive(10, 100)
    assert [delivery.command for delivery in found] == commands
    assert await worker.receive(10, 10) == []
    for delivery in found:
        await worker.done(delivery)
    assert client.xlen(STREAM) == 0


async def test_what_a_dead_worker_held_is_adopted(
    queue: RedisCommandQueue, worker: RedisDeliveries, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.send([RunCommand(uuid4(), 1) for _ in range(5)])
    assert len(await worker.receive(5, 100)) == 5
    monkeypatch.setattr(adapter, "CLAIM_IDLE_MS", 50)
    other = RedisDeliveries(valkey_url, "two")
    assert await other.adopt() == []
    await asyncio.sleep(0.08)
    adopted = await other.adopt()
    assert len(adopted) == 5
    for delivery in adopted:
        await other.done(delivery)
    await other.leave()


async def test_a_vanished_group_is_made_again_and_nothing_of_the_stream_is_skipped(
    queue: RedisCommandQueue, worker: RedisDeliveries, client: redis.Redis
) -> None:
    client.delete(STREAM)
    queue.send([RunCommand(uuid4(), 1)])
    assert await worker.receive(1, 10) == []
    assert len(await worker.receive(1, 100)) == 1


async def test_nonsense_is_delivered_without_a_command_and_can_be_sent_again_as_it_was(
    queue: RedisCommandQueue, worker: RedisDeliveries, client: redis.Redis
) -> None:
    client.xadd(STREAM, {"kind": "attempt", "execution": "no id", "attempt": "1", "number": "0"})
    client.xadd(STREAM, {b"\xff": b"\xfe"})
    found = await worker.receive(5, 100)
    assert [delivery.command for delivery in found] == [None, None]
    for delivery in found:
        await worker.done(delivery)
        queue.send_fields(delivery.fields)
    again = await worker.receive(5, 100)
    assert [delivery.fields for delivery in again] == [delivery.fields for delivery in found]
    assert again[1].fields == {b"\xff": b"\xfe"}


async def test_a_command_that_is_given_back_comes_again(queue: RedisCommandQueue, worker: RedisDeliveries) -> None:
    command = RunCommand(uuid4(), 3)
    queue.send([command])
    (delivery,) = await worker.receive(1, 100)
    await worker.give_back(delivery)
    (again,) = await worker.receive(1, 100)
    assert again.command == command


def test_the_epoch_stands_only_when_nothing_was_lost_while_it_was_made(queue: RedisCommandQueue, client: redis.Redis) -> None:
    assert queue.epoch() is None
    queue.begin_epoch("a")
    client.flushdb()
    assert queue.commit_epoch("a") is False
    queue.begin_epoch("b")
    assert queue.commit_epoch("b") is True
    assert queue.epoch() == "b"


async def test_receivers_that_are_gone_are_forgotten_unless_they_hold_something(
    queue: RedisCommandQueue, worker: RedisDeliveries, valkey_url: str, client: redis.Redis
) -> None:
    await worker.receive(1, 10)
    queue.send([RunCommand(uuid4(), 1)])
    holder = RedisDeliveries(valkey_url, "holder")
    await holder.receive(1, 100)
    await asyncio.sleep(0.05)
    assert queue.forget_receivers(3600) == 0
    assert queue.forget_receivers(0.01) == 1
    names = {consumer["name"] for consumer in client.xinfo_consumers(STREAM, GROUP)}  # type: ignore[union-attr]
    assert names == {b"holder"}
    await holder.leave()


async def test_a_server_that_is_away_is_said(valkey_url: str) -> None:
    away = RedisCommandQueue("redis://127.0.0.1:9/0")
    with pytest.raises(Unavailable, match="Redis does not answer"):
        away.send([RunCommand(uuid4(), 1)])
    away.close()
    receiver = RedisDeliveries("redis://127.0.0.1:9/0", "x")
    with pytest.raises(Unavailable, match="Redis does not answer"):
        await receiver.receive(1, 10)
    await receiver.leave()
