"""The action `kafka_producer`: messages to a topic of Kafka."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from application.actions.extras import extra_missing
from application.actions.http_request import read_seconds
from application.actions.kafka_messages import Outgoing, read_messages, time_text
from application.actions.kafka_target import BROKERS, KAFKA_SERVER, KafkaTarget, read_kafka_target, read_topic
from application.engine.action import Action, ActionContext, ActionError, Key

if TYPE_CHECKING:
    from application.actions.kafka_sending import Sender, Sending

_SECONDS = 30.0
_SHOWN = 5
_ACKS: Mapping[str, int | str] = {"0": 0, "1": 1, "all": "all", "-1": "all"}
_CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
_SWITCH = {True: True, False: False, "true": True, "false": False}


async def run(config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
    """Send the messages and wait until the broker has them, as `acks` says."""
    target = read_kafka_target(config, context)
    topic = read_topic(config.get("topic"))
    seconds = min(read_seconds(config.get("timeout"), _SECONDS), context.remaining())
    messages = read_messages(config, context.limits.rows)
    sending = _sending(config)
    context.exchange["request"] = _shown(target, topic, messages)
    sender: Sender = context.resources.setdefault(
        f"kafka_producer:{(target, sending)!r}:{_secret(target)}", sending.sender(target)
    )
    sent = [_result(topic, given) for given in await sender.send(topic, messages, seconds, context)]
    context.exchange["response"] = {"messages": sent[:_SHOWN], "count": len(sent)}
    return {**sent[-1], "messages": sent, "count": len(sent)}


def _sending(config: Mapping[str, Any]) -> Sending:
    """How to send. ActionError `config`, also for the extra when it is not installed."""
    try:
        from application.actions.kafka_sending import Sending
    except ModuleNotFoundError:
        raise extra_missing("kafka_producer", "aiokafka", "kafka") from None
    acks, codec = str(config.get("acks", "all")).lower(), config.get("compression") or "none"
    idempotent, transaction = config.get("idempotent", False), config.get("transactional_id")
    if acks not in _ACKS:
        raise ActionError("config", "acks must be 0, 1 or all")
    if codec not in _CODECS:
        raise ActionError("config", f"compression must be one of {', '.join(_CODECS)}")
    if not isinstance(idempotent, bool | str) or idempotent not in _SWITCH:
        raise ActionError("config", "idempotent must be true or false")
    if transaction is not None and (not isinstance(transaction, str) or not transaction):
        raise ActionError("config", "transactional_id must be a text of its own for each producer")
    if (_SWITCH[idempotent] or transaction) and acks not in ("all", "-1"):
        raise ActionError("config", f"acks: {acks} does not go with idempotent or transactional_id", hint="leave acks out")
    return Sending(_ACKS[acks], None if codec == "none" else codec, _SWITCH[idempotent], transaction)


def _result(topic: str, given: Any) -> dict[str, Any]:
    """Where a message was written; with `acks: 0` nobody knows."""
    if given is None:
        return {"topic": topic, "partition": None, "offset": None, "timestamp": None}
    return {
        "topic": topic,
        "partition": given.partition,
        "offset": given.offset if given.offset >= 0 else None,
        "timestamp": time_text(given.timestamp),
    }


def _shown(target: KafkaTarget, topic: str, messages: Sequence[Outgoing]) -> dict[str, Any]:
    def text(value: bytes | None) -> str | None:
        return None if value is None else value.decode("utf-8", "replace")

    shown = [
        {"key": text(one.key), "value": text(one.value), "headers": {name: text(value) for name, value in one.headers}}
        for one in messages[:_SHOWN]
    ]
    return {"brokers": target.label, "topic": topic, "messages": shown, "count": len(messages)}


def _secret(target: KafkaTarget) -> int:
    """Tells targets apart that differ only in what their text leaves out."""
    return hash(target)


KAFKA_PRODUCER = Action(
    name="kafka_producer",
    aliases=("kafka_publish", "kafka.produce", "kafka.publish"),
    description="Sends messages to a topic of Kafka. Steps of an execution share a producer. Needs the extra kafka.",
    keys={
        "brokers": Key(("string", "array"), required=True, description=BROKERS),
        "topic": Key(("string",), required=True),
        "value": Key(
            one_of="value",
            aliases=("payload",),
            description='Text goes as it is, {"base64": ...} as bytes, any other value as JSON; null deletes the key.',
        ),
        "messages": Key(
            ("array",),
            one_of="value",
            description="Several at once, in order: values, or objects of value, key, headers and partition. What is given"
            " beside the list counts for each that does not give its own.",
        ),
        "key": Key(description="As value; messages with the same key go to the same partition."),
        "headers": Key(("object",), description="Names and values; a list repeats a name."),
        "partition": Key(("integer",), description="Chosen by the key when left out, or at random."),
        "compression": Key(
            ("string",), choices=_CODECS, description="none by default. All but gzip need the package cramjam too."
        ),
        "acks": Key(
            ("string", "integer"), description="Who must have a message before it counts as sent: all (default), 1 or 0."
        ),
        "idempotent": Key(("boolean",), description="Whether the broker drops what a lost answer makes us send twice (false)."),
        "transactional_id": Key(("string",), description="Sends the messages of the step in one transaction under this id."),
        **KAFKA_SERVER,
        "timeout": Key(("duration",), description="For all messages together; 30s by default."),
    },
    run=run,
    result={
        "topic": "Where the messages went.",
        "partition": "The partition of the last message; null with acks 0.",
        "offset": "The offset of the last message; null with acks 0.",
        "timestamp": "The time that the last message carries, ISO 8601.",
        "messages": "topic, partition, offset and timestamp of each message, in order.",
        "count": "How many were sent.",
    },
)
