"""The queue of run commands in Redis Streams: a consumer group, acknowledgement at the claim, an epoch against data loss."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

import redis
import redis.asyncio
import redis.asyncio.cluster
import redis.cluster
from redis.exceptions import RedisError, ResponseError

from application.ports import CommandQueue, Delivery, RunCommand
from domain.errors import Unavailable
from domain.queueing import may_take
from interfaces.adapters.redis_streams import (
    DEFAULT,
    GROUP,
    POOLS,
    STREAM,
    TAKE,
    WAKE,
    Streams,
    labels_of,
    pool_of,
    way_of,
)

EPOCH = Streams().epochs()[0]
CLAIM_IDLE_MS = 30_000
POOLS_SECONDS = 1.0
"""How long a worker with labels goes without looking for new sets of labels."""
CLUSTER = "+cluster"
"""In the scheme of a URL: redis+cluster://host:port."""
__all__ = ["EPOCH", "GROUP", "STREAM", "RedisCommandQueue", "RedisDeliveries"]


def _plain(url: str) -> str:
    return url.replace(CLUSTER, "", 1)


def _is_cluster(url: str) -> bool:
    return CLUSTER in url.split(":", 1)[0]


def _fields(command: RunCommand) -> dict[Any, Any]:
    return {
        "execution": str(command.execution),
        "attempt": str(command.attempt),
        "kind": command.kind,
        "number": str(command.number),
    }


def _read(stream: str, entry: Any, fields: Mapping[Any, Any] | None) -> Delivery:
    """An entry as a delivery; one that is not ours carries no command."""
    known = dict(fields or {})
    raw = {k.decode("utf-8", "replace"): v.decode("utf-8", "replace") for k, v in known.items()}
    try:
        kind = raw["kind"]
        if kind not in ("attempt", "teardown"):
            raise ValueError(kind)
        command = RunCommand(UUID(raw["execution"]), int(raw["attempt"]), kind, int(raw["number"]), *way_of(stream))
    except (KeyError, ValueError):
        return Delivery(entry.decode(), None, known, stream)
    return Delivery(entry.decode(), command, known, stream)


class RedisCommandQueue(CommandQueue):
    """The sending side, synchronous, for the dispatcher and the sweeper."""

    def __init__(self, url: str, shards: int = 1) -> None:
        """`shards` must be the same for all who send and receive."""
        self._streams = Streams(shards)
        options: dict[str, Any] = {"socket_timeout": 5, "socket_connect_timeout": 5}
        self._url, self._options = url, options
        self._made: Any = None

    @property
    def _redis(self) -> Any:
        """The client; that of a cluster asks its nodes when it is made."""
        if self._made is None:
            kind: Any = redis.cluster.RedisCluster if _is_cluster(self._url) else redis.Redis
            try:
                self._made = kind.from_url(_plain(self._url), **self._options)
            except RedisError as error:
                raise Unavailable(f"Redis does not answer: {error}") from error
        return self._made

    def send(self, commands: list[RunCommand]) -> None:
        """Add commands in one round trip. A stream is never trimmed: that would drop unread entries."""
        pools = {pool_of(command.runs_on) for command in commands} - {DEFAULT}
        try:
            with self._redis.pipeline(transaction=False) as pipe:
                for command in commands:
                    pipe.xadd(self._streams.of(command), _fields(command))
                if pools:
                    pipe.sadd(POOLS, *sorted(pools))
                pipe.execute()
            self._wake()
        except RedisError as error:
            raise Unavailable(f"Redis does not answer: {error}") from error

    def send_fields(self, fields: Mapping[bytes, bytes]) -> None:
        """Add an entry as it is; a worker that may not run it sends it on."""
        entry: dict[Any, Any] = dict(fields)
        try:
            self._redis.xadd(STREAM, entry)
            self._wake()
        except RedisError as error:
            raise Unavailable(f"Redis does not answer: {error}") from error

    def _wake(self) -> None:
        """Who reads several shards waits for none of them."""
        if self._streams.shards > 1:
            self._redis.publish(WAKE, b"")

    def epoch(self) -> str | None:
        """The current mark; None when any shard has lost its own."""
        try:
            marks: list[Any] = [self._redis.get(name) for name in self._streams.epochs()]
        except RedisError as error:
            raise Unavailable(f"Redis does not answer: {error}") from error
        return ",".join(mark.decode() for mark in marks) if all(marks) else None

    def begin_epoch(self, nonce: str) -> None:
        """Write the marks to be."""
        try:
            for name in self._streams.epochs():
                self._redis.set(f"{name}:new", nonce)
        except RedisError as error:
            raise Unavailable(f"Redis does not answer: {error}") from error

    def commit_epoch(self, nonce: str) -> bool:
        """Make them current, unless one has vanished with everything else meanwhile."""
        try:
            for name in self._streams.epochs():
                value: Any = self._redis.get(f"{name}:new")
                if value is None or value.decode() != nonce:
                    return False
            for name in self._streams.epochs():
                self._redis.rename(f"{name}:new", name)
        except ResponseError:
            return False  # it vanished between the two
        except RedisError as error:
            raise Unavailable(f"Redis does not answer: {error}") from error
        return True

    def end_epoch(self) -> None:
        """Take the marks away, so that the sweeper sends everything that waits."""
        try:
            for name in self._streams.epochs():
                self._redis.delete(name)
        except RedisError as error:
            raise Unavailable(f"Redis does not answer: {error}") from error

    def forget_receivers(self, idle_seconds: float) -> int:
        """Take consumers of workers that are gone out of the groups; what they held was adopted before."""
        try:
            consumers = {stream: self._consumers(stream) for stream in self._streams.all(self._asked())}
            silent = {c["name"] for each in consumers.values() for c in each}
            for c in (c for each in consumers.values() for c in each):
                if c["pending"] or c["idle"] <= idle_seconds * 1000:
                    silent.discard(c["name"])
            for stream, each in consumers.items():
                for name in silent & {c["name"] for c in each}:
                    self._redis.xgroup_delconsumer(stream, GROUP, name)
        except RedisError as error:
            raise Unavailable(f"Redis does not answer: {error}") from error
        return len(silent)

    def _consumers(self, stream: str) -> list[Any]:
        try:
            found: list[Any] = self._redis.xinfo_consumers(stream, GROUP)
        except ResponseError:
            return []  # no stream or no group: there is nobody to forget
        return found

    def _asked(self) -> list[str]:
        """The sets of labels that somebody has asked for."""
        return [DEFAULT, *sorted(pool.decode() for pool in self._redis.smembers(POOLS))]

    def lengths(self) -> dict[str, int]:
        """Commands that are on their way, by stream; only streams that there are."""
        try:
            lengths = {stream: int(self._redis.xlen(stream)) for stream in self._streams.all(self._asked())}
        except RedisError as error:
            raise Unavailable(f"Redis does not answer: {error}") from error
        return {stream: length for stream, length in lengths.items() if length}

    def close(self) -> None:
        """Close the connections."""
        if self._made is not None:
            self._made.close()


class RedisDeliveries:
    """The receiving side, asynchronous, for one worker (the consumer's name is its incarnation)."""

    def __init__(self, url: str, worker: str, *, labels: Collection[str] = (), shards: int = 1) -> None:
        """`labels` are those of the worker: it reads the streams of all their sets that somebody has asked for."""
        kind: Any = redis.asyncio.cluster.RedisCluster if _is_cluster(url) else redis.asyncio.Redis
        self._redis: Any = kind.from_url(_plain(url), socket_timeout=10, socket_connect_timeout=5)
        self._url = _plain(url)
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
        try:
            await self._find_pools()
            found = await self._take(count)
            if found:
                return found
            if self._streams.shards == 1:
                return await self._wait(count, block_ms)
            await self._hear(block_ms)
            return await self._take(count)
        except RedisError as error:
            raise Unavailable(f"Redis does not answer: {error}") from error

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
                found.append(_read(stream.decode(), entry, dict(zip(fields[::2], fields[1::2], strict=True))))
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
        found = [_read(stream.decode(), entry, fields) for stream, all in given for entry, fields in _flat(all)]
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
        try:
            await self._find_pools()
            for stream in self._streams.all(self._pools):
                if len(found) < count:
                    found.extend(await self._adopt(stream, count - len(found)))
        except RedisError as error:
            raise Unavailable(f"Redis does not answer: {error}") from error
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
            found.extend(_read(stream, entry, fields) for entry, fields in answer[1] if fields)
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
            try:
                await self._redis.xadd(self._streams.of(delivery.command), _fields(delivery.command))
                if delivery.command.runs_on:
                    await self._redis.sadd(POOLS, pool_of(delivery.command.runs_on))
                if self._streams.shards > 1:
                    await self._redis.publish(WAKE, b"")
            except RedisError as error:
                raise Unavailable(f"Redis does not answer: {error}") from error
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
