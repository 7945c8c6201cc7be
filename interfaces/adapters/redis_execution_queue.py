"""The queue of run commands in Redis Streams: a consumer group, acknowledgement at the claim, an epoch against data loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import redis
import redis.asyncio
from redis.exceptions import RedisError, ResponseError

from application.ports import CommandQueue, Delivery, RunCommand
from domain.errors import Unavailable

STREAM = "testmesh:run:default"
GROUP = "workers"
EPOCH = "testmesh:epoch"
NEXT_EPOCH = "testmesh:epoch:new"
CLAIM_IDLE_MS = 30_000


def _fields(command: RunCommand) -> dict[Any, Any]:
    return {
        "execution": str(command.execution),
        "attempt": str(command.attempt),
        "kind": command.kind,
        "number": str(command.number),
    }


def _read(entry: Any, fields: Mapping[Any, Any] | None) -> Delivery:
    """An entry as a delivery; one that is not ours carries no command."""
    known = dict(fields or {})
    raw = {k.decode("utf-8", "replace"): v.decode("utf-8", "replace") for k, v in known.items()}
    try:
        kind = raw["kind"]
        if kind not in ("attempt", "teardown"):
            raise ValueError(kind)
        command = RunCommand(UUID(raw["execution"]), int(raw["attempt"]), kind, int(raw["number"]))
    except (KeyError, ValueError):
        return Delivery(entry.decode(), None, known)
    return Delivery(entry.decode(), command, known)


class RedisCommandQueue(CommandQueue):
    """The sending side, synchronous, for the dispatcher and the sweeper."""

    def __init__(self, url: str) -> None:
        self._redis: redis.Redis = redis.Redis.from_url(url, socket_timeout=5, socket_connect_timeout=5)

    def send(self, commands: list[RunCommand]) -> None:
        """Add commands in one round trip. The stream is never trimmed: that would drop unread entries."""
        try:
            with self._redis.pipeline(transaction=False) as pipe:
                for command in commands:
                    pipe.xadd(STREAM, _fields(command))
                pipe.execute()
        except RedisError as error:
            raise Unavailable(f"Redis does not answer: {error}") from error

    def send_fields(self, fields: Mapping[bytes, bytes]) -> None:
        """Add an entry as it is."""
        entry: dict[Any, Any] = dict(fields)
        try:
            self._redis.xadd(STREAM, entry)
        except RedisError as error:
            raise Unavailable(f"Redis does not answer: {error}") from error

    def epoch(self) -> str | None:
        """The current mark."""
        try:
            value: Any = self._redis.get(EPOCH)
        except RedisError as error:
            raise Unavailable(f"Redis does not answer: {error}") from error
        return value.decode() if value else None

    def begin_epoch(self, nonce: str) -> None:
        """Write the mark to be."""
        try:
            self._redis.set(NEXT_EPOCH, nonce)
        except RedisError as error:
            raise Unavailable(f"Redis does not answer: {error}") from error

    def commit_epoch(self, nonce: str) -> bool:
        """Make it current, unless it has vanished with everything else meanwhile."""
        try:
            value: Any = self._redis.get(NEXT_EPOCH)
            if value is None or value.decode() != nonce:
                return False
            self._redis.rename(NEXT_EPOCH, EPOCH)
        except RedisError as error:
            raise Unavailable(f"Redis does not answer: {error}") from error
        return True

    def end_epoch(self) -> None:
        """Take the mark away, so that the sweeper sends everything that waits."""
        try:
            self._redis.delete(EPOCH)
        except RedisError as error:
            raise Unavailable(f"Redis does not answer: {error}") from error

    def forget_receivers(self, idle_seconds: float) -> int:
        """Take consumers of workers that are gone out of the group; what they held was adopted before."""
        try:
            consumers: Any = self._redis.xinfo_consumers(STREAM, GROUP)
            gone = [c["name"] for c in consumers if c["pending"] == 0 and c["idle"] > idle_seconds * 1000]
            for name in gone:
                self._redis.xgroup_delconsumer(STREAM, GROUP, name)
        except ResponseError:
            return 0  # no stream or no group: there is nobody to forget
        except RedisError as error:
            raise Unavailable(f"Redis does not answer: {error}") from error
        return len(gone)

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()


class RedisDeliveries:
    """The receiving side, asynchronous, for one worker (the consumer's name is its incarnation)."""

    def __init__(self, url: str, worker: str) -> None:
        self._redis: redis.asyncio.Redis = redis.asyncio.Redis.from_url(url, socket_timeout=10, socket_connect_timeout=5)
        self._worker = worker

    async def receive(self, count: int, block_ms: int = 2000) -> list[Delivery]:
        """New entries for this worker; empty after `block_ms`. A vanished group is made again from the beginning."""
        try:
            answer: Any = await self._redis.xreadgroup(GROUP, self._worker, {STREAM: ">"}, count=count, block=block_ms)
        except ResponseError as error:
            await self._recover(error)
            return []
        except RedisError as error:
            raise Unavailable(f"Redis does not answer: {error}") from error
        streams = answer.items() if isinstance(answer, dict) else answer or []
        return [_read(entry, fields) for _, entries in streams for entry, fields in _flat(entries)]

    async def adopt(self, count: int = 10) -> list[Delivery]:
        """Entries that another worker took and never claimed."""
        found: list[Delivery] = []
        cursor: Any = "0-0"
        try:
            while len(found) < count:
                answer: Any = await self._redis.xautoclaim(
                    STREAM, GROUP, self._worker, CLAIM_IDLE_MS, start_id=cursor, count=count
                )
                cursor = answer[0]
                found.extend(_read(entry, fields) for entry, fields in answer[1] if fields)
                if cursor in (b"0-0", "0-0"):
                    break
        except ResponseError as error:
            await self._recover(error)
        except RedisError as error:
            raise Unavailable(f"Redis does not answer: {error}") from error
        return found

    async def done(self, delivery: Delivery) -> None:
        """Acknowledge and delete; a lost acknowledgement costs one stale delivery."""
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                pipe.xack(STREAM, GROUP, delivery.entry)
                pipe.xdel(STREAM, delivery.entry)
                await pipe.execute()
        except RedisError:
            return

    async def give_back(self, delivery: Delivery) -> None:
        """Add the command again for another worker, then take this entry away."""
        if delivery.command is not None:
            try:
                await self._redis.xadd(STREAM, _fields(delivery.command))
            except RedisError as error:
                raise Unavailable(f"Redis does not answer: {error}") from error
        await self.done(delivery)

    async def leave(self) -> None:
        """Take this consumer out of the group when nothing is pending for it; close."""
        try:
            consumers: Any = await self._redis.xinfo_consumers(STREAM, GROUP)
            names = {c["name"].decode() if isinstance(c["name"], bytes) else c["name"]: c["pending"] for c in consumers}
            if names.get(self._worker) == 0:
                await self._redis.xgroup_delconsumer(STREAM, GROUP, self._worker)
        except RedisError:
            pass
        await self._redis.aclose()

    async def _recover(self, error: ResponseError) -> None:
        """The group vanished with the data, or Redis is still loading."""
        if "NOGROUP" not in str(error):
            raise Unavailable(f"Redis refuses: {error}") from error
        try:
            await self._redis.xgroup_create(STREAM, GROUP, id="0", mkstream=True)
        except ResponseError as busy:
            if "BUSYGROUP" not in str(busy):
                raise Unavailable(f"Redis refuses: {busy}") from busy
        except RedisError as away:
            raise Unavailable(f"Redis does not answer: {away}") from away


def _flat(entries: Any) -> Any:
    """redis-py nests one level more with RESP3."""
    return (
        entries[0]
        if entries and isinstance(entries[0], list) and entries[0] and isinstance(entries[0][0], tuple | list)
        else entries
    )
