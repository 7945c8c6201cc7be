"""The queue on a real Valkey: delivery, adoption, the epoch, groups that vanish, receivers that are gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import pytest
import redis

from application.ports import RunCommand
from domain.errors import Unavailable
from interfaces.adapters import redis_deliveries as adapter
from interfaces.adapters.redis_command_queue import RedisCommandQueue
from interfaces.adapters.redis_deliveries import RedisDeliveries
from interfaces.adapters.redis_streams import GROUP, STREAM

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


def commands(number: int, **way: Any) -> list[RunCommand]:
    return [RunCommand(uuid4(), 1, **way) for _ in range(number)]


async def taken(worker: RedisDeliveries, count: int) -> list[RunCommand | None]:
    """What a worker takes, acknowledged."""
    found = await worker.receive(count, 50)
    for delivery in found:
        await worker.done(delivery)
    return [delivery.command for delivery in found]


async def test_higher_priorities_come_first_and_the_others_have_their_share(
    queue: RedisCommandQueue, worker: RedisDeliveries
) -> None:
    low, normal, high = (commands(20, priority=rank) for rank in (-1, 0, 1))
    queue.send([*low, *normal, *high])
    first = [command for _ in range(4) for command in await taken(worker, 4)]
    counts = [len(set(kind) & set(first)) for kind in (high, normal, low)]
    assert counts == [12, 2, 2], "of eight one is of each lower priority"
    rest = [command for _ in range(11) for command in await taken(worker, 4)]
    assert len({*first, *rest}) == 60
    assert [command for command in [*first, *rest] if command in low] == low, "in their order"


async def test_without_higher_ones_nothing_is_held_back(queue: RedisCommandQueue, worker: RedisDeliveries) -> None:
    low = commands(10, priority=-1)
    queue.send(low)
    assert await taken(worker, 10) == low


async def test_a_worker_takes_no_more_than_it_asked_for(queue: RedisCommandQueue, worker: RedisDeliveries) -> None:
    sent = [*commands(3), *commands(3, priority=1), *commands(3, priority=-1)]

    async def send_later() -> None:
        await asyncio.sleep(0.05)
        queue.send(sent)

    sending = asyncio.create_task(send_later())
    found = await worker.receive(1, 1000)
    await sending
    assert len(found) == 1
    assert len(await worker.receive(9, 100)) == 8, "the others wait for whoever has room"


async def test_workers_read_what_they_have_the_labels_for(
    queue: RedisCommandQueue, worker: RedisDeliveries, valkey_url: str
) -> None:
    able = RedisDeliveries(valkey_url, "able", labels=["gpu", "region=eu", "fast"])
    plain, gpu, both = commands(1), commands(1, runs_on=("gpu",)), commands(1, runs_on=("region=eu", "gpu"))
    other = commands(1, runs_on=("gpu", "region=us"))
    queue.send([*plain, *gpu, *both, *other])
    assert await taken(worker, 9) == plain
    found = await able.receive(9, 50)
    assert {delivery.command for delivery in found} == {*gpu, *both}
    assert {delivery.command.runs_on for delivery in found if delivery.command} == {("gpu",), ("gpu", "region=eu")}
    await able.leave()


async def test_labels_that_come_up_later_are_noticed(queue: RedisCommandQueue, valkey_url: str, client: redis.Redis) -> None:
    able = RedisDeliveries(valkey_url, "able", labels=["gpu"])
    assert await able.receive(1, 10) == []
    gpu = commands(1, runs_on=("gpu",))
    queue.send(gpu)
    found = [delivery for _ in range(4) for delivery in await able.receive(1, 500)]
    assert [delivery.command for delivery in found] == gpu
    await able.leave()


async def test_all_shards_are_read_and_an_emptied_one_is_noticed(valkey_url: str, client: redis.Redis) -> None:
    queue, worker = RedisCommandQueue(valkey_url, 4), RedisDeliveries(valkey_url, "one", shards=4)
    sent = commands(40)
    queue.send(sent)
    assert len(client.keys("testmesh:run:*")) == 4  # type: ignore[arg-type]
    assert set(await taken(worker, 40)) == set(sent)
    queue.begin_epoch("a")
    assert queue.commit_epoch("a")
    client.delete("testmesh:{2}:epoch")
    assert queue.epoch() is None
    await worker.leave()
    queue.close()


async def test_who_reads_several_shards_is_woken(valkey_url: str, client: redis.Redis) -> None:
    queue, worker = RedisCommandQueue(valkey_url, 4), RedisDeliveries(valkey_url, "one", shards=4)
    assert await worker.receive(5, 10) == []
    waiting = asyncio.create_task(worker.receive(5, 5000))
    await asyncio.sleep(0.1)
    sent = commands(1)
    queue.send(sent)
    async with asyncio.timeout(2):
        while not (found := await waiting):
            waiting = asyncio.create_task(worker.receive(5, 5000))
    assert [delivery.command for delivery in found] == sent
    await worker.leave()
    queue.close()
