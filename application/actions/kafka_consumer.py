"""The actions `kafka_consumer` and `kafka_subscribe`: messages from a topic of Kafka."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from application.actions.extras import extra_missing
from application.actions.http_request import read_seconds
from application.actions.kafka_matching import Matching
from application.actions.kafka_target import BROKERS, KAFKA_SERVER, read_kafka_target, read_topic
from application.engine.action import Action, ActionContext, ActionError, ActionFailed, Key
from domain.duration import parse_duration
from domain.expressions.errors import did_you_mean
from domain.values import dataclass

if TYPE_CHECKING:
    from application.actions.kafka_listening import Listening, Start, Taken

_SECONDS = 30.0
_SPARE = 0.05
_SHOWN = 300
_SWITCH = {True: True, False: False, "true": True, "false": False}
_MILLISECONDS_FROM = 100_000_000_000
_PREFIX = "kafka_subscription:"


async def subscribe(config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
    """Begin to listen under a name; steps that read from it come later."""
    name = _name(config.get("name"))
    seconds = min(read_seconds(config.get("timeout"), _SECONDS), context.remaining())
    earlier = context.resources.pop(_PREFIX + name, None)
    if earlier is not None:
        await earlier.close()
    listening = _listening(config, context, "kafka_subscribe")
    try:
        positions = await listening.begin(seconds)
    except BaseException:
        await listening.close()
        raise
    context.resources[_PREFIX + name] = listening
    return {"subscription": name, "topic": listening.topic, "partitions": positions, "count": len(positions)}


async def consume(config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
    """Wait for messages of a subscription, or of a topic from now on or an earlier place."""
    begun = time.monotonic()
    # The step's own limit must not come first: only this one tells what was seen meanwhile.
    seconds = max(0.0, min(read_seconds(config.get("timeout"), _SECONDS), context.remaining() - _SPARE))
    matching = Matching(config.get("match"), context)
    wanted = _wanted(config, context)
    subscription = config.get("subscription")
    if subscription is not None:
        listening = _subscribed(config, context)
        return await _taken(listening, matching, wanted, seconds, context)
    listening = _listening(config, context, "kafka_consumer")
    try:
        await listening.begin(seconds)
        left = max(0.0, seconds - (time.monotonic() - begun))
        return await _taken(listening, matching, wanted, left, context)
    finally:
        await listening.close()


async def _taken(
    listening: Listening, matching: Matching, wanted: _Wanted, seconds: float, context: ActionContext
) -> Mapping[str, Any]:
    context.exchange["request"] = {"topic": listening.topic, "group_id": listening.group, "match": matching.wanted}
    taken = await listening.take(wanted.most, matching, seconds, fewer=wanted.least < wanted.most)
    result = {"messages": taken.records, "count": len(taken.records), "first": taken.records[0] if taken.records else None}
    context.exchange["response"] = {"count": len(taken.records), "messages": taken.records[:1]}
    if len(taken.records) < wanted.least:
        raise ActionFailed(_why(listening, taken, matching, wanted.least, seconds), result=result)
    return result


def _why(listening: Listening, taken: Taken, matching: Matching, count: int, seconds: float) -> str:
    """What was seen instead, and what may be done."""
    wanted = "no message" if not taken.records else f"only {len(taken.records)} of {count} messages"
    lines = [f"{wanted} of {listening.topic} within {seconds:.3g} s"]
    if matching.wanted is not None:
        lines[0] += f" for which {matching.wanted}"
    if not listening.exists:
        lines.append("the topic does not exist")
    if taken.last is not None:
        last = taken.last
        lines.append(f"{taken.others} others were seen; the last at partition {last['partition']} offset {last['offset']}:")
        lines.append(f"  key {last['key']!r:.80}, value {_short(last['value'])}, headers {_short(last['headers'])}")
        lines.extend([f"  {matching.reason}"] if matching.reason else [])
    elif not taken.records and not listening.start.beginning and listening.group is None:
        lines.append("nothing came since listening began; what was sent before is not seen: begin earlier with from or")
        lines.append("from_beginning, or put a kafka_subscribe step before the one that sends")
    return "\n".join(lines)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _listening(config: Mapping[str, Any], context: ActionContext, action: str) -> Listening:
    try:
        from application.actions.kafka_listening import Listening
    except ModuleNotFoundError:
        raise extra_missing(action, "aiokafka", "kafka") from None
    target, topic = read_kafka_target(config, context), read_topic(config.get("topic"))
    group = config.get("group_id")
    if group is not None and (not isinstance(group, str) or not group):
        raise ActionError("config", "group_id must be text")
    return Listening(target, topic, group, _start(config), context)


def _subscribed(config: Mapping[str, Any], context: ActionContext) -> Listening:
    for name in ("brokers", "topic", "group_id", "from", "from_beginning", "sasl", "tls"):
        if config.get(name) is not None:
            raise ActionError("config", f"{name} is what the kafka_subscribe step says: leave it out beside subscription")
    name = _name(config["subscription"])
    listening: Listening | None = context.resources.get(_PREFIX + name)
    if listening is None:
        known = [key.removeprefix(_PREFIX) for key in context.resources if key.startswith(_PREFIX)]
        hint = did_you_mean(name, known) or "a kafka_subscribe step of this attempt must begin it"
        raise ActionError("config", f"there is no subscription {name!r}", hint=hint)
    return listening


def _start(config: Mapping[str, Any]) -> Start:
    """`from`, or `from_beginning`."""
    from application.actions.kafka_listening import Start

    given = config.get("from")
    if given is None:
        return Start(beginning=_truth(config, "from_beginning"))
    if config.get("from_beginning") is not None:
        raise ActionError("config", "from and from_beginning are given: leave one out")
    if given in ("beginning", "earliest"):
        return Start(beginning=True)
    if given in ("now", "latest", "end"):
        return Start()
    return Start(time=_time(given))


def _time(given: Any) -> int:
    """A time in unix milliseconds: a number of seconds or milliseconds, an ISO 8601 text, or how long ago."""
    if isinstance(given, int | float) and not isinstance(given, bool) and 0 < given < 1e14:
        return round(given if given >= _MILLISECONDS_FROM else given * 1000)
    try:
        if isinstance(given, str) and "-" in given:
            moment = datetime.fromisoformat(given)
            return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
        if isinstance(given, str):
            return round((time.time() - parse_duration(given)) * 1000)
    except (ValueError, OverflowError):
        pass
    hint = "write beginning, now, how long ago (5m), or a time (2030-01-31T12:00:00Z or unix seconds)"
    raise ActionError("config", "from cannot be read", hint=hint)


def _name(value: Any) -> str:
    if not isinstance(value, str) or not value or len(value) > 255:
        raise ActionError("config", "the name of a subscription must be a text of at most 255 characters")
    return value


@dataclass(frozen=True, slots=True)
class _Wanted:
    """How many messages end the step at once, and how many do when the time is up."""

    most: int
    least: int


def _wanted(config: Mapping[str, Any], context: ActionContext) -> _Wanted:
    """`count` waits for all of them; `max_messages` is content with one."""
    given = [name for name in ("count", "max_messages") if config.get(name) is not None]
    if len(given) > 1:
        hint = "count waits for so many, max_messages for at least one and at most so many"
        raise ActionError("config", "count and max_messages are both given: keep one", hint=hint)
    name = given[0] if given else "count"
    text, most = str(config.get(name, 1)), context.limits.rows
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most):
        raise ActionError("config", f"{name} must be a number from 1 to {most}")
    least = 0 if _truth(config, "allow_empty") else 1 if name == "max_messages" else int(text)
    return _Wanted(int(text), least)


def _truth(config: Mapping[str, Any], name: str) -> bool:
    value = config.get(name)
    value = False if value is None else value
    if not isinstance(value, bool | str) or value not in _SWITCH:
        raise ActionError("config", f"{name} must be true or false")
    return _SWITCH[value]


_PLACE: Mapping[str, Key] = {
    "group_id": Key(
        ("string",),
        description="Begins at the offsets that are committed for this group, and commits those of the messages that passing"
        " steps have looked at. It joins no group: use an id of its own, not that of a service under test.",
    ),
    "from": Key(
        ("string", "number"),
        description="Where to begin, and where a group has committed nothing: now (default), beginning, how long ago (5m), or a"
        " time (ISO 8601, unix seconds or milliseconds). A topic that does not exist yet is read from its beginning.",
    ),
    "from_beginning": Key(("boolean",), description="The same as from: beginning."),
    **KAFKA_SERVER,
}
_MATCH = (
    "An expression over value, key, headers and message (with topic, partition, offset and timestamp); others are passed over."
    " Or an object, all of which must hold: key (a text), headers (names and values), value (a part of it), json_path"
    " (expressions in which `$` is the value)."
)

KAFKA_SUBSCRIBE = Action(
    name="kafka_subscribe",
    aliases=("kafka.subscribe",),
    description="Begins to listen to a topic of Kafka, so that later kafka_consumer steps see all that is sent from now on."
    " It belongs before the step that makes a service send. It has taken its position in every partition when it passes."
    " Needs the extra kafka.",
    keys={
        "name": Key(("string",), required=True, description="What kafka_consumer steps give as subscription."),
        "brokers": Key(("string", "array"), required=True, description=BROKERS),
        "topic": Key(("string",), required=True),
        **_PLACE,
        "timeout": Key(("duration",), description="30s by default."),
    },
    run=subscribe,
    result={
        "subscription": "Its name.",
        "topic": "The topic.",
        "partitions": "partition and offset of each place where it listens; none when the topic does not exist yet.",
        "count": "How many partitions there are.",
    },
)
KAFKA_CONSUMER = Action(
    name="kafka_consumer",
    aliases=("kafka_consume", "kafka.consume"),
    description="Waits for messages of a topic of Kafka, and fails when they do not come. Without subscription it sees what is"
    " sent from the step's beginning on, unless from, from_beginning or group_id say otherwise. Needs the extra kafka.",
    keys={
        "subscription": Key(
            ("string",),
            one_of="source",
            description="Reads from what a kafka_subscribe step has begun, instead of brokers and topic. Each message is given"
            " to one step; those that a match passed over stay for later steps.",
        ),
        "brokers": Key(("string", "array"), one_of="source", description=BROKERS),
        "topic": Key(("string",), description="Needed beside brokers."),
        **_PLACE,
        "count": Key(("integer",), description="How many messages to wait for, 1 by default."),
        "max_messages": Key(("integer",), description="Instead of count: at most so many. When the time is up, one is enough."),
        "match": Key(("expression", "object"), aliases=("filter",), description=_MATCH),
        "timeout": Key(("duration",), description="How long to wait for all of them; 30s by default."),
        "allow_empty": Key(("boolean",), description="Whether fewer messages, or none, are fine when the time is up (false)."),
    },
    run=consume,
    result={
        "messages": 'In order of arrival: value (parsed when it is JSON, {"base64": ...} when it is not text), key, headers (a'
        " list where one repeats), topic, partition, offset and timestamp (ISO 8601).",
        "count": "How many there are.",
        "first": "The first message, null when there is none.",
    },
    unresolved=("match",),
    names={"match": ("message", "key", "value", "headers")},
)
