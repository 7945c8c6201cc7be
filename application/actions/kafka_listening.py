"""Listens to a topic from a known place on, and keeps what no step has taken yet."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from application.actions.kafka_client import JudgedClient, client_options, ended
from application.actions.kafka_errors import request_failed
from application.actions.kafka_messages import record_of
from application.actions.kafka_target import KafkaTarget
from application.engine.action import ActionContext, ActionError
from domain.values import dataclass

Record = Mapping[str, Any]

_WAIT = 0.5
_SHARE = 8
_METADATA_MS = 5_000


@dataclass(frozen=True, slots=True)
class Start:
    """Where listening begins: the beginning of the topic, now, or a time (unix milliseconds)."""

    beginning: bool = False
    time: int | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """What a step has read: the messages that it takes, and how many others it looked at."""

    records: list[Record]
    others: int
    last: Record | None = None
    """The last one that it looked at and did not take."""


@dataclass(frozen=True, slots=True)
class _Kept:
    record: Record
    size: int


class Listening:
    """A consumer of every partition of a topic. It belongs to no group of members: offsets of a group are only read and
    committed, so that nothing waits for a rebalance and no partition is somebody else's.

    A message that a step passed over stays for later steps; partitions that come later are read from their beginning.
    """

    def __init__(self, target: KafkaTarget, topic: str, group: str | None, start: Start, context: ActionContext) -> None:
        self.topic, self.group, self.start = topic, group, start
        self._context = context
        self._turn = asyncio.Lock()
        self._partitions: set[Any] = set()
        self._kept: dict[int, _Kept] = {}
        """Those that no step has taken, by the number of their arrival."""
        self._arrived = 0
        self._bytes = 0
        self._consumer: Any = AIOKafkaConsumer(
            **client_options(target),
            group_id=group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            metadata_max_age_ms=_METADATA_MS,
            fetch_max_bytes=context.limits.response_read_bytes // _SHARE,
        )
        self._client = JudgedClient.judging(self._consumer._client, target, context, creates_topics=False)

    async def begin(self, seconds: float) -> list[dict[str, int]]:
        """Connect and take the position in every partition; {partition, offset} of each. What is sent from now on is seen."""
        what = f"listening to {self.topic}"
        try:
            async with asyncio.timeout(seconds):
                await self._client.watched(self._begin())
                return await self._positions()
        except (TimeoutError, KafkaError, OSError) as error:
            raise request_failed(error, what, self._client.failure) from None

    async def take(self, count: int, matches: Callable[[Record], bool], seconds: float, *, fewer: bool) -> Taken:
        """Up to `count` messages that match, waiting for `seconds` at most. Steps that run at the same time share what comes.

        When that many have not come, none is taken out, unless `fewer` will do as well. With a group, the offset after the
        last message that was looked at is committed along with the taking.
        """
        deadline = time.monotonic() + seconds
        seen: dict[int, Record] = {}
        found: list[int] = []
        while True:
            found = [number for number in found if number in self._kept]
            self._look(seen, found, count, matches)
            if len(found) == count or not await self._more(self._arrived, deadline):
                break
        if len(found) == count or fewer:
            await self._commit(seen.values())
            for number in found:
                self._bytes -= self._kept.pop(number).size
        others = [record for number, record in seen.items() if number not in found]
        return Taken([seen[number] for number in found], len(others), others[-1] if others else None)

    @property
    def exists(self) -> bool:
        """Whether the topic was there when it was last looked for."""
        return bool(self._partitions)

    async def close(self) -> None:
        """End the consumer."""
        fetcher = self._consumer._fetcher
        await ended(self._client, self._consumer.stop(), lambda: fetcher._pending_tasks if fetcher else ())

    async def _begin(self) -> None:
        await self._consumer.start()
        await self._find(self.start)

    def _look(self, seen: dict[int, Record], found: list[int], count: int, matches: Callable[[Record], bool]) -> None:
        """Look at those kept that were not seen yet, until enough are found."""
        for number, kept in self._kept.items():
            if len(found) == count:
                return
            if number not in seen:
                seen[number] = kept.record
                if matches(kept.record):
                    found.append(number)

    async def _more(self, last: int, deadline: float) -> bool:
        """Wait for a message that arrived after the one with the number `last`; false when the time is up."""
        while (left := deadline - time.monotonic()) > 0:
            async with self._turn:
                if self._arrived > last:
                    return True
                try:
                    await self._client.watched(self._fetch(min(left, _WAIT)))
                except (KafkaError, OSError) as error:
                    raise request_failed(error, f"reading {self.topic}", self._client.failure) from None
        return self._arrived > last

    async def _fetch(self, seconds: float) -> None:
        if not self._partitions or self._client.cluster.partitions_for_topic(self.topic) != self._numbers():
            await self._find(Start(beginning=True))
        if not self._partitions:
            await asyncio.sleep(min(seconds, _WAIT / 5))
            return
        batches = await self._consumer.getmany(timeout_ms=round(seconds * 1000))
        for batch in batches.values():
            for message in batch:
                self._keep(message)

    def _keep(self, message: Any) -> None:
        limits = self._context.limits
        size = len(message.value or b"") + len(message.key or b"")
        self._bytes += size
        if len(self._kept) >= limits.rows or self._bytes > limits.response_read_bytes // _SHARE:
            hint = "begin later (from), or read with another match"
            raise ActionError("response_too_large", f"{len(self._kept)} messages of {self.topic} were passed over", hint=hint)
        self._arrived += 1
        self._kept[self._arrived] = _Kept(record_of(message, limits.json_depth), size)

    async def _find(self, start: Start) -> None:
        """Learn about partitions, and take a position in those that are new."""
        self._client._topics = {self.topic}
        await self._client.force_metadata_update()
        if self.topic in self._client.cluster.unauthorized_topics:
            raise ActionError("auth", f"the topic {self.topic} may not be read", hint="the user of sasl needs the right to")
        numbers = self._client.cluster.partitions_for_topic(self.topic) or set()
        new = {TopicPartition(self.topic, number) for number in numbers} - self._partitions
        if not new:
            return
        positions = {known: await self._consumer.position(known) for known in self._partitions}
        positions |= await self._offsets(new, start)
        # No await from here on: a step that is cancelled between assigning and seeking would lose every position.
        self._consumer.assign(sorted(positions))
        for partition, offset in positions.items():
            self._consumer.seek(partition, offset)
        self._partitions |= new

    async def _offsets(self, partitions: set[Any], start: Start) -> dict[Any, int]:
        """Where to begin in each partition: what the group has committed stands over `start`."""
        offsets = await self._starts(partitions, start)
        if self.group is not None:
            for partition in partitions:
                committed = await self._consumer.committed(partition)
                offsets[partition] = offsets[partition] if committed is None else committed
        return offsets

    async def _starts(self, partitions: set[Any], start: Start) -> dict[Any, int]:
        if start.beginning:
            beginnings: dict[Any, int] = await self._consumer.beginning_offsets(partitions)
            return beginnings
        ends: dict[Any, int] = await self._consumer.end_offsets(partitions)
        if start.time is None:
            return ends
        found = await self._consumer.offsets_for_times(dict.fromkeys(partitions, start.time))
        return {
            partition: found[partition].offset if found.get(partition) and found[partition].timestamp >= 0 else ends[partition]
            for partition in partitions
        }

    async def _positions(self) -> list[dict[str, int]]:
        return [
            {"partition": partition.partition, "offset": await self._consumer.position(partition)}
            for partition in sorted(self._partitions)
        ]

    async def _commit(self, looked: Iterable[Record]) -> None:
        offsets: dict[Any, int] = {}
        for record in looked:
            partition = TopicPartition(self.topic, record["partition"])
            offsets[partition] = max(offsets.get(partition, 0), record["offset"] + 1)
        if self.group is None or not offsets:
            return
        try:
            await self._client.watched(self._consumer.commit(offsets))
        except (KafkaError, OSError) as error:
            hint = "a group of its own: consumers that are running own the offsets of theirs"
            failure = request_failed(error, f"committing for the group {self.group}", self._client.failure)
            raise ActionError(failure.kind, failure.message, hint=failure.hint or hint) from None

    def _numbers(self) -> set[int]:
        return {partition.partition for partition in self._partitions}
