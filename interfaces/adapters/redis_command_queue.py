"""The sending side of the queue in Redis Streams: adds commands, and keeps the epoch that shows a loss of data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import redis
import redis.cluster
from redis.exceptions import ResponseError

from application.ports import CommandQueue, RunCommand
from interfaces.adapters.redis_connections import answering, is_cluster, plain_url
from interfaces.adapters.redis_entries import fields_of
from interfaces.adapters.redis_streams import DEFAULT, GROUP, POOLS, STREAM, WAKE, Streams, pool_of


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
            kind: Any = redis.cluster.RedisCluster if is_cluster(self._url) else redis.Redis
            with answering():
                self._made = kind.from_url(plain_url(self._url), **self._options)
        return self._made

    def send(self, commands: list[RunCommand]) -> None:
        """Add commands in one round trip. A stream is never trimmed: that would drop unread entries."""
        pools = {pool_of(command.runs_on) for command in commands} - {DEFAULT}
        with answering():
            with self._redis.pipeline(transaction=False) as pipe:
                for command in commands:
                    pipe.xadd(self._streams.of(command), fields_of(command))
                if pools:
                    pipe.sadd(POOLS, *sorted(pools))
                pipe.execute()
            self._wake()

    def send_fields(self, fields: Mapping[bytes, bytes]) -> None:
        """Add an entry as it is; a worker that may not run it sends it on."""
        entry: dict[Any, Any] = dict(fields)
        with answering():
            self._redis.xadd(STREAM, entry)
            self._wake()

    def _wake(self) -> None:
        """Who reads several shards waits for none of them."""
        if self._streams.shards > 1:
            self._redis.publish(WAKE, b"")

    def epoch(self) -> str | None:
        """The current mark; None when any shard has lost its own."""
        with answering():
            marks: list[Any] = [self._redis.get(name) for name in self._streams.epochs()]
        return ",".join(mark.decode() for mark in marks) if all(marks) else None

    def begin_epoch(self, nonce: str) -> None:
        """Write the marks to be."""
        with answering():
            for name in self._streams.epochs():
                self._redis.set(f"{name}:new", nonce)

    def commit_epoch(self, nonce: str) -> bool:
        """Make them current, unless one has vanished with everything else meanwhile."""
        with answering():
            try:
                for name in self._streams.epochs():
                    value: Any = self._redis.get(f"{name}:new")
                    if value is None or value.decode() != nonce:
                        return False
                for name in self._streams.epochs():
                    self._redis.rename(f"{name}:new", name)
            except ResponseError:
                return False  # it vanished between the two
        return True

    def end_epoch(self) -> None:
        """Take the marks away, so that the sweeper sends everything that waits."""
        with answering():
            for name in self._streams.epochs():
                self._redis.delete(name)

    def forget_receivers(self, idle_seconds: float) -> int:
        """Take consumers of workers that are gone out of the groups; what they held was adopted before."""
        with answering():
            consumers = {stream: self._consumers(stream) for stream in self._streams.all(self._asked())}
            silent = {c["name"] for each in consumers.values() for c in each}
            for c in (c for each in consumers.values() for c in each):
                if c["pending"] or c["idle"] <= idle_seconds * 1000:
                    silent.discard(c["name"])
            for stream, each in consumers.items():
                for name in silent & {c["name"] for c in each}:
                    self._redis.xgroup_delconsumer(stream, GROUP, name)
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
        with answering():
            lengths = {stream: int(self._redis.xlen(stream)) for stream in self._streams.all(self._asked())}
        return {stream: length for stream, length in lengths.items() if length}

    def close(self) -> None:
        """Close the connections."""
        if self._made is not None:
            self._made.close()
