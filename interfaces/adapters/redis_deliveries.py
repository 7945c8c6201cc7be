"""The receiving side of the queue in Redis Streams: a consumer group, in which an entry is acknowledged once it is claimed."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import Any

import redis.asyncio
import redis.asyncio.cluster
from redis.exceptions import RedisError, ResponseError

from application.ports import Delivery
from domain.errors import Unavailable
from domain.queueing import may_take
from interfaces.adapters.redis_connections import answering, is_cluster, plain_url
from interfaces.adapters.redis_entries import delivery_of, fields_of
from interfaces.adapters.redis_streams import DEFAULT, GROUP, POOLS, TAKE, WAKE, Streams, labels_of, pool_of

CLAIM_IDLE_MS = 30_000
POOLS_SECONDS = 1.0
"""How long a worker with labels goes without looking for new sets of labels."""


class RedisDeliveries:
    """The receiving side, asynchronous, for one worker (the consumer's name is its incarnation)."""

    def __init__(self, url: str, worker: str, *, labels: Collection[str] = (), shards: int = 1) -> None:
        """`labels` are those of the worker: it reads the streams of all their sets that somebody has asked for."""
        kind: Any = redis.asyncio.cluster.RedisCluster if is_cluster(url) else redis.asyncio.Redis
        self._redis: Any = kind.from_url(plain_url(url), socket_timeout=10, socket_connect_timeout=5)
        self._url = plain_url(url)
        self._worker = worker
        self._labels = frozenset(labels)
        self._streams = Streams(shards)
        self._pools = [DEFAULT]
        self._looked = float("-inf")
        self._turn = 0
        self._bell: Any = None

    async def receive(self, count: int, block_ms: int = 2000) -> list[Delivery]:
        """New entries for this worker, never more than `count`, the highest priority first but for the share of the others;
        empty after `block_ms`."""
        with answering():
            await self._find_pools()
            found = await self._take(count)
            if found:
                return found
            if self._streams.shards == 1:
                return await self._wait(count, block_ms)
            await self._hear(block_ms)
            return await self._take(count)

    async def _find_pools(self) -> None:
        """Sets of labels that this worker has; who has none need not look."""
        now = asyncio.get_running_loop().time()
        if not self._labels or now - self._looked < POOLS_SECONDS:
            return
        self._looked = now
        asked = sorted(pool.decode() for pool in await self._redis.smembers(POOLS))
        self._pools = [DEFAULT, *(pool for pool in asked if may_take(self._labels, labels_of(pool)))]

    async def _take(self, count: int) -> list[Delivery]:
        """What is there already, from every shard, each time from another one first."""
        found: list[Delivery] = []
        shards = self._streams.shards
        for number in range(shards):
            if len(found) >= count:
                break
            keys = self._streams.of_shard((self._turn + number) % shards, self._pools)
            values = (GROUP, self._worker, count - len(found), self._turn)
            for stream, entry, fields in await self._redis.eval(TAKE, len(keys), *keys, *values):
                found.append(delivery_of(stream.decode(), entry, dict(zip(fields[::2], fields[1::2], strict=True))))
        self._turn += max(1, len(found))
        return found

    async def _wait(self, count: int, block_ms: int) -> list[Delivery]:
        """The next that comes. Each stream may give one; what is too much goes back into a queue that was empty just now."""
        streams: Any = dict.fromkeys(self._streams.of_shard(0, self._pools), ">")
        try:
            answer: Any = await self._redis.xreadgroup(GROUP, self._worker, streams, count=1, block=block_ms)
        except ResponseError as error:
            if "NOGROUP" in str(error) or "UNBLOCKED" in str(error):
                return []  # the data vanished; the next reading makes the groups again
            raise Unavailable(f"Redis refuses: {error}") from error
        given = answer.items() if isinstance(answer, dict) else answer or []
        found = [delivery_of(stream.decode(), entry, fields) for stream, all in given for entry, fields in _flat(all)]
        for surplus in found[count:]:
            await self.give_back(surplus)
        return found[:count]

    async def _hear(self, block_ms: int) -> None:
        """Wait for the bell, or for `block_ms`."""
        if self._bell is None:
            self._door = redis.asyncio.Redis.from_url(self._url, socket_timeout=10, socket_connect_timeout=5)
            self._bell = self._door.pubsub()
            await self._bell.subscribe(WAKE)
            return  # something may have come before the bell could be heard
        await self._bell.get_message(ignore_subscribe_messages=True, timeout=block_ms / 1000)

    async def adopt(self, count: int = 10) -> list[Delivery]:
        """Entries that another worker took and never claimed."""
        found: list[Delivery] = []
        with answering():
            await self._find_pools()
            for stream in self._streams.all(self._pools):
                if len(found) < count:
                    found.extend(await self._adopt(stream, count - len(found)))
        return found

    async def _adopt(self, stream: str, count: int) -> list[Delivery]:
        found: list[Delivery] = []
        cursor: Any = "0-0"
        while len(found) < count:
            try:
                answer: Any = await self._redis.xautoclaim(
                    stream, GROUP, self._worker, CLAIM_IDLE_MS, start_id=cursor, count=count - len(found)
                )
            except ResponseError as error:
                if "NOGROUP" in str(error):
                    break
                raise
            cursor = answer[0]
            found.extend(delivery_of(stream, entry, fields) for entry, fields in answer[1] if fields)
            if cursor in (b"0-0", "0-0"):
                break
        return found

    async def done(self, delivery: Delivery) -> None:
        """Acknowledge and delete; a lost acknowledgement costs one stale delivery."""
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.xack(delivery.stream, GROUP, delivery.entry)
                pipe.xdel(delivery.stream, delivery.entry)
                await pipe.execute()
        except RedisError:
            return

    async def give_back(self, delivery: Delivery) -> None:
        """Add the command again for another worker, then take this entry away."""
        if delivery.command is not None:
            with answering():
                await self._redis.xadd(self._streams.of(delivery.command), fields_of(delivery.command))
                if delivery.command.runs_on:
                    await self._redis.sadd(POOLS, pool_of(delivery.command.runs_on))
                if self._streams.shards > 1:
                    await self._redis.publish(WAKE, b"")
        await self.done(delivery)

    async def leave(self) -> None:
        """Take this consumer out of the groups where nothing is pending for it; close."""
        for stream in self._streams.all(self._pools):
            try:
                consumers: Any = await self._redis.xinfo_consumers(stream, GROUP)
                names = {c["name"].decode() if isinstance(c["name"], bytes) else c["name"]: c["pending"] for c in consumers}
                if names.get(self._worker) == 0:
                    await self._redis.xgroup_delconsumer(stream, GROUP, self._worker)
            except ResponseError:
                continue
            except RedisError:
                break
        if self._bell is not None:
            await self._bell.aclose()
            await self._door.aclose()
        await self._redis.aclose()


def _flat(entries: Any) -> Any:
    """redis-py nests one level more with RESP3."""
    return (
        entries[0]
        if entries and isinstance(entries[0], list) and entries[0] and isinstance(entries[0][0], tuple | list)
        else entries
    )
