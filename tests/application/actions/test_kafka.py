"""The Kafka actions on a real broker."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from application.actions.kafka_consumer import KAFKA_CONSUMER, KAFKA_SUBSCRIBE
from application.actions.kafka_producer import KAFKA_PRODUCER
from application.actions.registry import ACTIONS
from application.engine.action import ActionError, ActionFailed
from application.engine.egress import WorkerPolicy
from domain.expressions import ExpressionError
from domain.limits import Limits
from tests.support.action_context import Bench, bench
from tests.support.kafka_broker import free_port, kafka_broker
from tests.support.local import Local, flow, outcomes

pytestmark = pytest.mark.servers

_NUMBERS = itertools.count()


@pytest.fixture
def topic() -> str:
    """A topic that no other test uses."""
    return f"topic-{next(_NUMBERS)}"


@pytest.fixture
def at(kafka_port: int, topic: str) -> dict[str, Any]:
    """The broker and topic of the test."""
    return {"brokers": f"127.0.0.1:{kafka_port}", "topic": topic}


@pytest.fixture
async def one() -> AsyncIterator[Bench]:
    async with bench() as made:
        yield made


async def read(one: Bench, at: Mapping[str, Any], **config: Any) -> list[Mapping[str, Any]]:
    result = await one.run(KAFKA_CONSUMER, {**at, "from_beginning": True, "timeout": 5, **config})
    assert result["count"] == len(result["messages"])
    messages: list[Mapping[str, Any]] = result["messages"]
    return messages


async def failed(one: Bench, config: Mapping[str, Any]) -> ActionFailed:
    with pytest.raises(ActionFailed) as raised:
        await one.run(KAFKA_CONSUMER, config)
    return raised.value


@pytest.mark.parametrize(
    ("value", "arrives"),
    [
        ({"id": 7, "tags": ["a", None]}, {"id": 7, "tags": ["a", None]}),
        ("plain ü text", "plain ü text"),
        ("", ""),
        ('{"id": 12345678901234567890}', {"id": 12345678901234567890}),
        ("{not json", "{not json"),
        ("NaN", "NaN"),
        ("007", "007"),
        (7.5, 7.5),
        ([1, 2], [1, 2]),
        ({"base64": "/wA="}, {"base64": "/wA="}),
        ("[" * 100 + "]" * 100, "[" * 100 + "]" * 100),
        ("9" * 5000, "9" * 5000),
    ],
)
async def test_a_value_arrives_as_it_was_meant(one: Bench, at: dict[str, Any], value: Any, arrives: Any) -> None:
    await one.run(KAFKA_PRODUCER, {**at, "value": value})

    (message,) = await read(one, at)
    assert message["value"] == arrives


async def test_a_message_is_written_with_key_headers_and_partition(one: Bench, at: dict[str, Any]) -> None:
    headers = {"trace": "abc", "number": 7, "many": ["a", "b"]}
    sent = await one.run(KAFKA_PRODUCER, {**at, "payload": {"n": 1}, "key": "k1", "headers": headers, "partition": 2})

    assert (sent["partition"], sent["offset"], sent["topic"], sent["count"]) == (2, 0, at["topic"], 1)
    (message,) = await read(one, at)
    assert message["key"] == "k1"
    assert message["headers"] == {"trace": "abc", "number": "7", "many": ["a", "b"]}
    assert (message["partition"], message["offset"]) == (2, 0)
    assert message["timestamp"] == sent["timestamp"]
    assert str(message["timestamp"]).endswith("Z")


async def test_messages_with_one_key_stay_in_order_in_one_partition(one: Bench, at: dict[str, Any]) -> None:
    messages = [{"n": n} for n in range(20)]
    sent = await one.run(KAFKA_PRODUCER, {**at, "messages": messages, "key": "same"})

    assert sent["count"] == 20
    assert [message["offset"] for message in sent["messages"]] == list(range(20))
    assert len({message["partition"] for message in sent["messages"]}) == 1
    assert [message["value"]["n"] for message in await read(one, at, count=20)] == list(range(20))


async def test_each_message_of_a_list_may_differ(one: Bench, at: dict[str, Any]) -> None:
    messages = ["text", {"value": 1, "key": "own"}, {"value": None, "key": "gone", "headers": {"h": "x"}}]
    await one.run(KAFKA_PRODUCER, {**at, "messages": messages, "key": "common", "partition": 0})

    arrived = await read(one, at, count=3)
    assert [(message["key"], message["value"]) for message in arrived] == [("common", "text"), ("own", 1), ("gone", None)]
    assert arrived[2]["headers"] == {"h": "x"}


@pytest.mark.parametrize("options", [{"compression": "gzip"}, {"compression": "none"}, {"acks": 1}, {"acks": "all"}])
async def test_messages_arrive_however_they_are_sent(one: Bench, at: dict[str, Any], options: dict[str, Any]) -> None:
    await one.run(KAFKA_PRODUCER, {**at, "value": "x" * 10_000, **options})

    assert (await read(one, at))[0]["value"] == "x" * 10_000


async def test_without_acknowledgement_no_offset_is_known(one: Bench, at: dict[str, Any]) -> None:
    sent = await one.run(KAFKA_PRODUCER, {**at, "value": "x", "acks": 0})

    assert (sent["partition"], sent["offset"]) == (None, None)
    assert (await read(one, at))[0]["value"] == "x"


async def test_a_subscription_sees_what_is_sent_after_it_and_nothing_before(one: Bench, at: dict[str, Any]) -> None:
    await one.run(KAFKA_PRODUCER, {**at, "value": "before"})
    subscribed = await one.run(KAFKA_SUBSCRIBE, {**at, "name": "orders"})
    for value in ("first", "second", "third"):
        await one.run(KAFKA_PRODUCER, {**at, "value": value, "key": "k"})

    assert subscribed["count"] == len(subscribed["partitions"]) > 0
    assert sum(place["offset"] for place in subscribed["partitions"]) == 1
    one_of = {"subscription": "orders", "timeout": 5}
    assert [message["value"] for message in await read_from(one, one_of)] == ["first"]
    assert [message["value"] for message in await read_from(one, {**one_of, "count": 2})] == ["second", "third"]


async def read_from(one: Bench, config: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    messages: list[Mapping[str, Any]] = (await one.run(KAFKA_CONSUMER, config))["messages"]
    return messages


async def test_what_a_match_passed_over_stays_for_later_steps(one: Bench, at: dict[str, Any]) -> None:
    await one.run(KAFKA_SUBSCRIBE, {**at, "name": "s"})
    await one.run(KAFKA_PRODUCER, {**at, "key": "k", "messages": [{"n": n} for n in range(3)]})

    async def take(match: str) -> list[int]:
        found = await read_from(one, {"subscription": "s", "match": match, "timeout": 2})
        return [message["value"]["n"] for message in found]

    assert await take("value.n == 2") == [2]
    assert await take("value.n >= 0") == [0]
    assert await take("message.value.n == 1 and key == 'k'") == [1]
    assert (await one.run(KAFKA_CONSUMER, {"subscription": "s", "timeout": 0.1, "allow_empty": True}))["messages"] == []


async def test_steps_that_run_at_the_same_time_read_from_one_subscription(one: Bench, at: dict[str, Any]) -> None:
    await one.run(KAFKA_SUBSCRIBE, {**at, "name": "s"})

    async def take(match: str) -> Any:
        return (await read_from(one, {"subscription": "s", "match": match, "timeout": 5}))[0]["value"]

    never = asyncio.ensure_future(failed(one, {"subscription": "s", "match": "value == 0", "timeout": 2}))
    waiting = [asyncio.ensure_future(take(f"value == {n}")) for n in (3, 1, 2)]
    both = [asyncio.ensure_future(take("value > 3")) for _ in range(2)]
    await asyncio.sleep(0.1)
    await one.run(KAFKA_PRODUCER, {**at, "key": "k", "messages": [1, 2, 3, 4, 5]})

    async with asyncio.timeout(1.5):
        assert await asyncio.gather(*waiting) == [3, 1, 2]
        assert sorted(await asyncio.gather(*both)) == [4, 5]
    assert (await never).message.startswith(f"no message of {at['topic']} within")


async def test_a_failed_step_takes_nothing_out_of_a_subscription(one: Bench, at: dict[str, Any]) -> None:
    await one.run(KAFKA_SUBSCRIBE, {**at, "name": "s"})
    await one.run(KAFKA_PRODUCER, {**at, "value": "only"})
    missing = await failed(one, {"subscription": "s", "count": 2, "timeout": 0.3})

    assert missing.message.startswith(f"only 1 of 2 messages of {at['topic']} within 0.3 s")
    assert [message["value"] for message in await read_from(one, {"subscription": "s", "timeout": 1})] == ["only"]


async def test_a_subscription_to_a_topic_that_does_not_exist_yet_sees_its_first_message(one: Bench, at: dict[str, Any]) -> None:
    subscribed = await one.run(KAFKA_SUBSCRIBE, {**at, "name": "s"})
    await one.run(KAFKA_PRODUCER, {**at, "value": "the first"})

    assert subscribed["partitions"] == []
    assert [message["value"] for message in await read_from(one, {"subscription": "s", "timeout": 5})] == ["the first"]


async def test_a_consumer_that_is_waiting_gets_what_is_sent_meanwhile(one: Bench, at: dict[str, Any]) -> None:
    await one.run(KAFKA_PRODUCER, {**at, "value": "old"})
    waiting = asyncio.ensure_future(one.run(KAFKA_CONSUMER, {**at, "timeout": 10}))
    while not waiting.done():
        await one.run(KAFKA_PRODUCER, {**at, "value": "new"})
        await asyncio.sleep(0.02)

    assert (await waiting)["first"]["value"] == "new"


async def test_no_message_before_the_deadline_fails_and_tells_what_to_do(one: Bench, at: dict[str, Any]) -> None:
    await one.run(KAFKA_PRODUCER, {**at, "value": "too early"})
    begun = time.monotonic()
    missing = await failed(one, {**at, "timeout": "300ms"})

    assert 0.2 < time.monotonic() - begun < 2
    assert f"no message of {at['topic']} within 0." in missing.message
    assert "kafka_subscribe" in missing.message
    assert missing.result == {"messages": [], "count": 0, "first": None}


async def test_a_failure_shows_what_was_seen_and_why_it_did_not_match(one: Bench, at: dict[str, Any]) -> None:
    await one.run(KAFKA_PRODUCER, {**at, "messages": [{"id": 1}, "text"], "key": "k"})

    missing = await failed(one, {**at, "from_beginning": True, "match": "value.id == 7", "timeout": 0.5})

    assert "for which value.id == 7" in missing.message
    assert "2 others were seen; the last at partition" in missing.message
    assert "'text'" in missing.message
    assert missing.message.splitlines()[-1].strip()


async def test_a_match_may_say_what_the_parts_of_a_message_are(one: Bench, at: dict[str, Any]) -> None:
    one.names = {"wanted": 2}
    for number, source in enumerate(("shop", "shop", "bank")):
        value = {"type": "created", "user": {"id": number}}
        await one.run(KAFKA_PRODUCER, {**at, "value": value, "key": f"k{number}", "headers": {"source": source}})

    async def ids(**match: Any) -> list[int]:
        config = {**at, "from_beginning": True, "timeout": 5, "match": match}
        return [message["value"]["user"]["id"] for message in (await one.run(KAFKA_CONSUMER, config))["messages"]]

    assert await ids(key="k1") == [1]
    assert await ids(json_path=["$.type == 'created'", "$.user.id == '${wanted}' || $.user.id == wanted"]) == [2]
    assert await ids(json_path="$.user.id > 0", header={"source": "bank"}) == [2]
    assert await ids(headers={"source": "shop"}, value={"user": {"id": 1}}) == [1]
    config = {**at, "from_beginning": True, "timeout": 0.5, "filter": {"key": "k9", "json_path": ["$.type == 'created'"]}}
    message = (await failed(one, config)).message
    assert 'for which {"key": "k9"' in message
    assert "the key is 'k2', not 'k9'" in message


async def test_at_most_so_many_messages_are_taken_and_one_is_enough(one: Bench, at: dict[str, Any]) -> None:
    config = {**at, "from_beginning": True, "timeout": 0.5, "max_messages": 2}
    assert "no message" in (await failed(one, config)).message
    assert (await one.run(KAFKA_CONSUMER, {**config, "allow_empty": True}))["count"] == 0
    await one.run(KAFKA_PRODUCER, {**at, "value": 1})
    assert [message["value"] for message in (await one.run(KAFKA_CONSUMER, config))["messages"]] == [1]
    await one.run(KAFKA_PRODUCER, {**at, "messages": [2, 3]})
    begun = time.monotonic()
    taken = await read(one, at, max_messages=2, timeout=30)
    values = {message["value"] for message in taken}
    assert len(taken) == 2
    assert values < {1, 2, 3}  # partitions have no order among them
    assert time.monotonic() - begun < 20


async def test_a_missing_topic_is_named_as_the_reason(one: Bench, at: dict[str, Any]) -> None:
    assert "the topic does not exist" in (await failed(one, {**at, "timeout": 0.3})).message


async def test_nothing_is_fine_where_that_is_allowed(one: Bench, at: dict[str, Any]) -> None:
    result = await one.run(KAFKA_CONSUMER, {**at, "timeout": 0.3, "allow_empty": True})

    assert result == {"messages": [], "count": 0, "first": None}


async def test_a_match_that_cannot_be_evaluated_is_an_error_and_no_timeout(one: Bench, at: dict[str, Any]) -> None:
    await one.run(KAFKA_PRODUCER, {**at, "value": {"id": 1}})

    for match in ("value.id ==", "unheard_of == 1"):
        with pytest.raises(ExpressionError):
            await read(one, at, match=match)
    error = await one.error(KAFKA_CONSUMER, {**at, "from_beginning": True, "match": "value.id", "timeout": 5})
    assert error.kind == "config"


async def test_variables_are_known_to_a_match(at: dict[str, Any]) -> None:
    async with bench(names={"wanted": 2}) as one:
        await one.run(KAFKA_PRODUCER, {**at, "messages": [{"value": {"id": n}, "headers": {"h": str(n)}} for n in (1, 2, 3)]})

        (message,) = await read(one, at, match="value.id == wanted and headers.h == '2'")
        assert message["value"] == {"id": 2}


async def test_a_cancelled_step_loses_no_message_of_a_subscription(one: Bench, at: dict[str, Any]) -> None:
    await one.run(KAFKA_SUBSCRIBE, {**at, "name": "s"})
    for n in range(20):
        await one.run(KAFKA_PRODUCER, {**at, "value": n, "key": "k"})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(n / 2000):
                await one.run(KAFKA_CONSUMER, {"subscription": "s", "match": "value == 99", "timeout": 5})

    found = await read_from(one, {"subscription": "s", "count": 20, "timeout": 5})
    assert [message["value"] for message in found] == list(range(20))


async def test_a_group_goes_on_where_a_passing_step_has_stopped(one: Bench, at: dict[str, Any]) -> None:
    await one.run(KAFKA_PRODUCER, {**at, "messages": [1, 2, 3, 4], "key": "k"})
    group = {"group_id": f"group-of-{at['topic']}"}

    assert [message["value"] for message in await read(one, at, **group, count=2)] == [1, 2]
    await failed(one, {**at, **group, "count": 5, "timeout": 0.5})
    assert [message["value"] for message in await read(one, at, **group, count=2)] == [3, 4]
    await failed(one, {**at, **group, "from_beginning": True, "timeout": 0.3})
    assert len(await read(one, at, group_id="another", count=4)) == 4


@pytest.mark.parametrize(
    "when",
    [
        lambda: time.time(),
        lambda: time.time() * 1000,
        lambda: "100ms",
        lambda: datetime.now(UTC).isoformat(),
        lambda: datetime.now(UTC).replace(tzinfo=None).isoformat(),
    ],
)
async def test_reading_begins_at_a_time(one: Bench, at: dict[str, Any], when: Callable[[], Any]) -> None:
    await one.run(KAFKA_PRODUCER, {**at, "value": "early", "key": "k"})
    await asyncio.sleep(0.2)
    begun = when()
    await asyncio.sleep(0.01)
    await one.run(KAFKA_PRODUCER, {**at, "value": "late", "key": "k"})

    result = await one.run(KAFKA_CONSUMER, {**at, "from": begun, "timeout": 5})
    assert result["first"]["value"] == "late"


async def test_a_worker_reaches_only_what_its_policy_allows(at: dict[str, Any], kafka_port: int) -> None:
    async with bench(egress=WorkerPolicy(allow=[f"127.0.0.1:{kafka_port}"])) as allowed:
        await allowed.run(KAFKA_PRODUCER, {**at, "value": 1})
        assert await read(allowed, at)
    async with bench(egress=WorkerPolicy()) as refusing:
        assert (await refusing.error(KAFKA_PRODUCER, {**at, "value": 1})).kind == "egress"
        assert (await refusing.error(KAFKA_CONSUMER, at)).kind == "egress"
        assert (await refusing.error(KAFKA_SUBSCRIBE, {**at, "name": "s"})).kind == "egress"


async def test_a_broker_that_only_the_metadata_names_is_judged_and_never_connected(topic: str) -> None:
    touched = asyncio.Event()

    async def touch(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        touched.set()
        writer.close()

    hidden = await asyncio.start_server(touch, "127.0.0.1", 0)
    port = hidden.sockets[0].getsockname()[1]
    with kafka_broker(advertised=port) as bootstrap:
        at = {"brokers": f"127.0.0.1:{bootstrap}", "topic": topic, "timeout": 5}
        async with bench(egress=WorkerPolicy(allow=[f"127.0.0.1:{bootstrap}"])) as one:
            for action, config in ((KAFKA_PRODUCER, {"value": 1}), (KAFKA_CONSUMER, {}), (KAFKA_SUBSCRIBE, {"name": "s"})):
                error = await one.error(action, {**at, **config})
                assert (error.kind, f":{port}" in error.message) == ("egress", True)
            assert not touched.is_set()
        async with bench() as local:
            assert (await local.error(KAFKA_PRODUCER, {**at, "value": 1, "timeout": 1})).kind != "egress"
            assert touched.is_set()
    hidden.close()
    await hidden.wait_closed()


async def test_what_cannot_be_reached_has_a_kind_of_its_own(one: Bench, at: dict[str, Any]) -> None:
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read()
        finally:
            writer.close()

    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(4)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async def kind(brokers: str, **more: Any) -> str:
        return (await one.error(KAFKA_PRODUCER, {**at, "brokers": brokers, "value": 1, "timeout": 0.5, **more})).kind

    async with (
        await asyncio.start_server(deaf, "127.0.0.1", 0) as silent,
        await asyncio.start_server(rude, "127.0.0.1", 0) as http,
    ):
        assert await kind(f"127.0.0.1:{free_port()}") == "connection_refused"
        assert await kind("no-such-host.invalid") == "dns"
        assert await kind(f"127.0.0.1:{silent.sockets[0].getsockname()[1]}") == "timeout"
        assert await kind(f"127.0.0.1:{http.sockets[0].getsockname()[1]}") == "connection_error"
        assert await kind(f"127.0.0.1:{http.sockets[0].getsockname()[1]}", tls=True) == "tls"


async def test_another_bootstrap_broker_is_asked_when_the_first_is_down(one: Bench, at: dict[str, Any]) -> None:
    brokers = [f"127.0.0.1:{free_port()}", at["brokers"]]

    await one.run(KAFKA_PRODUCER, {**at, "brokers": brokers, "value": 1})
    assert len(await read(one, {**at, "brokers": ", ".join(brokers)})) == 1


async def test_steps_share_a_producer_and_the_end_of_the_execution_closes_it(one: Bench, at: dict[str, Any]) -> None:
    await asyncio.gather(*(one.run(KAFKA_PRODUCER, {**at, "value": n}) for n in range(5)))

    assert len(one.resources) == 1
    assert len(await read(one, at, count=5)) == 5
    assert len(one.resources) == 1


async def test_a_step_that_runs_out_of_time_sends_nothing_later(one: Bench, topic: str) -> None:
    port = free_port()
    with kafka_broker(advertised=port) as broker:
        at = {"brokers": f"127.0.0.1:{port}", "topic": topic}
        async with pipe(port, broker):
            await one.run(KAFKA_PRODUCER, {**at, "value": "early", "key": "k"})
        error = await one.error(KAFKA_PRODUCER, {**at, "value": "late", "key": "k", "timeout": 0.5})
        assert error.kind in ("timeout", "connection_refused")
        async with pipe(port, broker):
            await asyncio.sleep(0.5)
            await one.run(KAFKA_PRODUCER, {**at, "value": "last", "key": "k"})
            assert [message["value"] for message in await read(one, at, count=2)] == ["early", "last"]


@contextlib.asynccontextmanager
async def pipe(port: int, broker: int) -> AsyncIterator[None]:
    """Connections to the port go to the broker, until the end of the context cuts them."""
    running: set[asyncio.Task[Any]] = set()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        there = await asyncio.open_connection("127.0.0.1", broker)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(65536):
                sink.write(data)

        try:
            await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))
        except (asyncio.CancelledError, OSError):
            pass
        finally:
            for end in (writer, there[1]):
                end.transport.abort()
            running.discard(task)

    async with await asyncio.start_server(forward, "127.0.0.1", port):
        yield
        for task in list(running):
            task.cancel()
        await asyncio.gather(*running)


async def test_too_much_is_refused(at: dict[str, Any]) -> None:
    async with bench(limits=Limits(response_read_bytes=240_000, request_body_bytes=20_000, rows=10)) as one:
        assert (await one.error(KAFKA_PRODUCER, {**at, "value": "x" * 30_000})).kind == "config"
        assert (await one.error(KAFKA_PRODUCER, {**at, "messages": ["x"] * 11})).kind == "config"
        await one.run(KAFKA_PRODUCER, {**at, "messages": ["x"] * 10, "key": "k"})
        await one.run(KAFKA_PRODUCER, {**at, "messages": ["x"] * 10, "key": "k"})
        error = await one.error(KAFKA_CONSUMER, {**at, "from_beginning": True, "match": "value == 'y'", "timeout": 5})
        assert error.kind == "response_too_large"


async def test_a_few_bytes_do_not_become_gigabytes(one: Bench, at: dict[str, Any]) -> None:
    await one.run(KAFKA_PRODUCER, {**at, "value": "x" * 500_000, "compression": "gzip"})
    async with bench(limits=Limits(response_read_bytes=100_000)) as small:
        error = await small.error(KAFKA_CONSUMER, {**at, "from_beginning": True, "timeout": 5})

    assert error.kind == "response_too_large"


@pytest.mark.parametrize(
    ("action", "config", "message"),
    [
        (KAFKA_PRODUCER, {"brokers": "", "value": 1}, "brokers has an entry"),
        (KAFKA_PRODUCER, {"brokers": ["a:1", 7], "value": 1}, "brokers has an entry"),
        (KAFKA_PRODUCER, {"brokers": "a:99999", "value": 1}, "brokers has an entry"),
        (KAFKA_PRODUCER, {"brokers": [], "value": 1}, "1 to 32"),
        (KAFKA_PRODUCER, {"topic": "a b", "value": 1}, "topic must be"),
        (KAFKA_PRODUCER, {"value": None}, "value is null"),
        (KAFKA_PRODUCER, {"value": "\ud800"}, "surrogate"),
        (KAFKA_PRODUCER, {"value": {"base64": "%"}}, "not base64"),
        (KAFKA_PRODUCER, {"messages": []}, "list of 1 to"),
        (KAFKA_PRODUCER, {"messages": [1], "value": 1}, "write each message into the list"),
        (KAFKA_PRODUCER, {"messages": [{"value": 1, "ky": 2}]}, "messages[0] has no key 'ky'"),
        (KAFKA_PRODUCER, {"value": 1, "headers": "x"}, "headers must be an object"),
        (KAFKA_PRODUCER, {"value": 1, "partition": -1}, "partition must be a number"),
        (KAFKA_PRODUCER, {"value": 1, "partition": 77}, "has no partition 77"),
        (KAFKA_PRODUCER, {"value": 1, "acks": 2}, "acks must be"),
        (KAFKA_PRODUCER, {"value": 1, "acks": 1, "idempotent": True}, "does not go with"),
        (KAFKA_PRODUCER, {"value": 1, "compression": "rar"}, "compression must be"),
        (KAFKA_PRODUCER, {"value": 1, "compression": "zstd"}, "needs the package cramjam"),
        (KAFKA_PRODUCER, {"value": 1, "sasl": {"username": "a"}}, "username and password"),
        (KAFKA_PRODUCER, {"value": 1, "sasl": {"user": "a"}}, "no key 'user'"),
        (KAFKA_PRODUCER, {"value": 1, "sasl": {"mechanism": "GSSAPI", "username": "a", "password": "b"}}, "must be one of"),
        (KAFKA_PRODUCER, {"value": 1, "tls": {"ca": "file.pem"}}, "PEM text"),
        (KAFKA_PRODUCER, {"value": 1, "tls": {"cert": "-----BEGIN x"}}, "cert and key together"),
        (KAFKA_PRODUCER, {"value": 1, "tls": {"insecure": True}}, "no key 'insecure'"),
        (KAFKA_CONSUMER, {"count": 0}, "count must be"),
        (KAFKA_CONSUMER, {"from": "yesterday"}, "from cannot be read"),
        (KAFKA_CONSUMER, {"from": "now", "from_beginning": True}, "leave one out"),
        (KAFKA_CONSUMER, {"match": {"id": 1}}, "match has no key 'id'"),
        (KAFKA_CONSUMER, {"match": {}}, "match is empty"),
        (KAFKA_CONSUMER, {"match": {"header": {}, "headers": {}}}, "match has headers twice"),
        (KAFKA_CONSUMER, {"match": {"headers": "x"}}, "must be an object of names"),
        (KAFKA_CONSUMER, {"match": {"json_path": ["$.a =="]}}, "match.json_path"),
        (KAFKA_CONSUMER, {"count": 1, "max_messages": 1}, "keep one"),
        (KAFKA_CONSUMER, {"max_messages": 0}, "max_messages must be a number"),
        (KAFKA_CONSUMER, {"match": 7}, "must be an expression"),
        (KAFKA_CONSUMER, {"subscription": "s"}, "leave it out beside subscription"),
        (KAFKA_SUBSCRIBE, {"name": ""}, "name of a subscription"),
    ],
)
async def test_a_config_that_cannot_be_carried_out_is_told(
    one: Bench, at: dict[str, Any], action: Any, config: dict[str, Any], message: str
) -> None:
    error = await one.error(action, {**at, **config})

    assert error.kind == "config"
    assert message in error.message


async def test_a_subscription_that_nobody_began_is_an_error_with_the_nearest_name(one: Bench, at: dict[str, Any]) -> None:
    await one.run(KAFKA_SUBSCRIBE, {**at, "name": "orders"})
    error = await one.error(KAFKA_CONSUMER, {"subscription": "order"})

    assert isinstance(error, ActionError)
    assert error.hint == 'did you mean "orders"?'


async def test_a_flow_listens_before_it_makes_something_happen(kafka_port: int, topic: str) -> None:
    steps = """
- id: listen
  action: kafka_subscribe
  config: {name: orders, brokers: "${brokers}", topic: "${topic}"}
- id: place
  action: kafka_producer
  config:
    brokers: ["${brokers}"]
    topic: ${topic}
    messages:
      - {value: {id: 1, total: 5}, key: first}
      - {value: {id: "${wanted}", total: 9}, key: second, headers: {trace: "${EXECUTION_ID}"}}
  assert: [count == 2, "messages[0].offset >= 0"]
- id: placed
  action: kafka.consume
  config: {subscription: orders, match: "value.id == ${wanted} && headers.trace == EXECUTION_ID", timeout: 5s}
  assert: [count == 1, first.value.total == 9, "messages[0].key == 'second'"]
  output: {total: "messages[0].value.total"}
- id: other
  action: kafka_consumer
  config: {subscription: orders, filter: "message.key == 'first' and total == 9", timeout: 5s}
- id: nothing
  action: kafka_consumer
  config: {subscription: orders, timeout: 100ms}
"""
    local = Local(actions=ACTIONS)
    variables = {"brokers": f"127.0.0.1:{kafka_port}", "topic": topic, "wanted": 7}
    events = await local.run(flow(steps), variables=variables)

    verdicts = {id: outcome["verdict"] for id, outcome in outcomes(events).items()}
    assert verdicts == {**dict.fromkeys(("listen", "place", "placed", "other"), "passed"), "nothing": "failed"}


async def test_a_message_that_waits_for_a_step_is_bounded_again_once_it_is_taken(at: dict[str, Any]) -> None:
    async with bench(limits=Limits(response_read_bytes=240_000, request_body_bytes=20_000)) as one:
        await one.run(KAFKA_SUBSCRIBE, {**at, "name": "s"})
        for _ in range(5):
            await one.run(KAFKA_PRODUCER, {**at, "value": "x" * 10_000})
            await one.run(KAFKA_CONSUMER, {"subscription": "s", "timeout": 5})
