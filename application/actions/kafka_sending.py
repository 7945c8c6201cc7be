"""A producer for the steps of an execution that send to the same cluster in the same way."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from application.actions.kafka_client import JudgedClient, client_options, ended
from application.actions.kafka_errors import request_failed
from application.actions.kafka_messages import Outgoing
from application.actions.kafka_target import KafkaTarget
from application.engine.action import ActionContext, ActionError
from domain.values import dataclass


@dataclass(frozen=True, slots=True)
class Sending:
    """How messages are sent. `transaction`: the id under which the messages of a step are written together or not at all."""

    acks: int | str
    codec: str | None = None
    idempotent: bool = False
    transaction: str | None = None

    def sender(self, target: KafkaTarget) -> Sender:
        """A producer that sends in this way."""
        return Sender(target, self)


class Sender:
    """The producer, started when first used; steps that run at the same time take turns."""

    def __init__(self, target: KafkaTarget, sending: Sending) -> None:
        self._target = target
        self._sending = sending
        self._turn = asyncio.Lock()
        self._producer: Any = None
        self._client: JudgedClient | None = None
        self._failure: ActionError | None = None
        self._missing = False

    async def send(self, topic: str, messages: Sequence[Outgoing], seconds: float, context: ActionContext) -> list[Any]:
        """Where each message was written: an object with partition, offset and timestamp (ms), None with acks 0.

        A producer whose messages did not all arrive is given up with what it still holds: nothing is sent later.
        """
        what = f"sending to {topic}"
        try:
            async with asyncio.timeout(seconds), self._turn:
                return await self._whole(topic, messages, context)
        except TimeoutError as error:
            if self._missing:
                hint = "create it first, or check the name"
                raise ActionError("kafka", f"{topic} does not exist, and the brokers do not create it", hint=hint) from None
            raise request_failed(error, f"{what} took longer than {seconds:g} s", self._failure) from None
        except (KafkaError, OSError) as error:
            raise request_failed(error, what, self._failure) from None

    async def close(self) -> None:
        """End the producer."""
        producer, client = self._producer, self._client
        self._producer = self._client = None
        if producer is not None and client is not None:
            await ended(client, producer.stop())

    async def _whole(self, topic: str, messages: Sequence[Outgoing], context: ActionContext) -> list[Any]:
        try:
            producer, client = await self._started(context)
            return await client.watched(self._send(producer, topic, messages))
        except BaseException:
            self._failure = self._client.failure if self._client else None
            cluster = self._client.cluster if self._client else None
            self._missing = bool(
                cluster and cluster.brokers() and not self._failure and not cluster.partitions_for_topic(topic)
            )
            await self._abandon()
            raise

    async def _started(self, context: ActionContext) -> tuple[Any, JudgedClient]:
        if self._producer is None or self._client is None:
            self._producer = _made(self._target, self._sending, context)
            self._client = JudgedClient.judging(self._producer.client, self._target, context, creates_topics=True)
            await self._client.watched(self._producer.start())
        return self._producer, self._client

    async def _send(self, producer: Any, topic: str, messages: Sequence[Outgoing]) -> list[Any]:
        partitions = await producer.partitions_for(topic)
        for message in messages:
            if message.partition is not None and message.partition not in partitions:
                raise ActionError("config", f"{topic} has no partition {message.partition}: it has {len(partitions)}, from 0")
        if self._sending.transaction is None:
            return await _written(producer, topic, messages)
        async with producer.transaction():
            return await _written(producer, topic, messages)

    async def _abandon(self) -> None:
        if self._producer is not None:
            self._producer._message_accumulator.fail_all(KafkaError("given up"))
        await self.close()


async def _written(producer: Any, topic: str, messages: Sequence[Outgoing]) -> list[Any]:
    """Where the messages were written, in their order; the first failure when one was not."""
    waiting: list[Any] = []
    try:
        for one in messages:
            headers = list(one.headers)
            waiting.append(await producer.send(topic, one.value, one.key, one.partition, headers=headers))
        return list(await asyncio.gather(*waiting))
    finally:
        for future in waiting:
            if future.done() and not future.cancelled():
                future.exception()


def _made(target: KafkaTarget, sending: Sending, context: ActionContext) -> Any:
    options = client_options(target)
    try:
        return AIOKafkaProducer(
            **options,
            acks=sending.acks,
            compression_type=sending.codec,
            enable_idempotence=sending.idempotent or sending.transaction is not None,
            transactional_id=sending.transaction,
            max_request_size=context.limits.request_body_bytes,
        )
    except RuntimeError:
        hint = "install it: pip install cramjam; gzip needs nothing"
        raise ActionError("config", f"compression {sending.codec} needs the package cramjam", hint=hint) from None
