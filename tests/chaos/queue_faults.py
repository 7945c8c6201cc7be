"""Faults of the queue: what is in it comes twice, in another order, with garbage, or is gone."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from typing import Any

import psycopg
import redis
from psycopg_pool import PoolTimeout

from interfaces.adapters.embedded import is_alive
from interfaces.adapters.redis_streams import POOLS, Streams
from tests.chaos.breaking import Breaking
from tests.chaos.harness import QUEUE, until

Entries = list[tuple[str, Any, Any]]
"""(stream, id, fields)."""


class QueueFaults(Breaking):
    """What can be done to Valkey and to what it holds, in every stream of every shard."""

    def repeat_deliveries(self) -> str:
        """Everything that the queue holds is there twice, the newest first."""
        with self._queue() as client:
            entries = self._entries(client)
            self._add(client, entries)
        return f"{self._count('repeated', entries)} are there twice"

    def reorder_deliveries(self) -> str:
        """Everything that the queue holds comes in the opposite order."""
        with self._queue() as client:
            entries = self._entries(client)
            self._add(client, entries)
            with client.pipeline(transaction=False) as pipe:
                for stream, entry, _ in entries:
                    pipe.xdel(stream, entry)
                pipe.execute()
        return f"{self._count('reordered', entries)} come the newest first"

    def garbage(self) -> str:
        """In each shard an entry that is no command and one of an execution that is unknown; all become dead letters."""
        before, shards = self._letters(), self.system.shards
        unknown = {"execution": "00000000-0000-4000-8000-000000000000", "attempt": "1", "kind": "attempt", "number": "0"}
        with self._stores, self._queue() as client:
            for shard in range(shards):
                stream = Streams(shards).of_shard(shard, ["default"])[1]
                client.xadd(stream, {b"\xff": b"\x00%d" % shard})
                client.xadd(stream, {**unknown, "shard": str(shard)})
        self.touched["garbage"] += 2 * shards
        return f"{2 * shards} entries that are no command in {shards} shards; there were {before} dead letters"

    def _letters(self) -> int:
        with contextlib.suppress(psycopg.Error, PoolTimeout), self._pool.connection() as connection:
            row = connection.execute("SELECT count(*) FROM executions.dead_letters").fetchone()
            return int(row[0]) if row else 0
        return 0

    def _entries(self, client: redis.Redis) -> Entries:
        """What waits in all streams, which has to be something."""
        entries: Entries = []

        def look() -> bool:
            try:
                pools: Any = client.smembers(POOLS)
                streams = Streams(self.system.shards).all(["default", *sorted(pool.decode() for pool in pools)])
                waiting: dict[str, Any] = {stream: client.xrange(stream) for stream in streams}
            except redis.ConnectionError:  # another fault has it just now
                return False
            entries[:] = [(stream, entry, fields) for stream, found in waiting.items() for entry, fields in found]
            return bool(entries)

        self._until(look, "something to wait in the queue", 20)
        return entries

    def _add(self, client: redis.Redis, entries: Entries) -> None:
        with client.pipeline(transaction=False) as pipe:
            for stream, _, fields in reversed(entries):
                pipe.xadd(stream, fields)
            pipe.execute()

    def _count(self, what: str, entries: Entries) -> str:
        self.touched[what] += len(entries)
        return f"{len(entries)} entries of {len({stream for stream, _, _ in entries})} streams"

    def empty_valkey(self) -> str:
        """FLUSHALL; the epoch is gone."""
        with self._queue() as client:
            keys: Any = client.dbsize()
            client.flushall()
        return f"{keys} keys are gone"

    def wipe_valkey(self) -> str:
        """SIGKILL, its files are deleted; another process answers, which was empty when it began."""
        with self._stores:
            kept, old = self.system.kept[QUEUE], self.system.valkey.pid
            kept.keep_down()
            assert old is not None
            with contextlib.suppress(ProcessLookupError):
                os.kill(old, signal.SIGKILL)
            until(lambda: not is_alive(old), "Valkey to die")
            shutil.rmtree(self.system.root / "valkey" / "appendonlydir")
            kept.down = False
            until(lambda: self.system.valkey.pid not in (None, old) and self.system.valkey.alive(), "Valkey to come back", 30)
        return f"process {old} is now {self.system.valkey.pid}, its append-only file is new"

    def _queue(self) -> redis.Redis:
        return redis.Redis.from_url(self.system.valkey.url, socket_timeout=5)
