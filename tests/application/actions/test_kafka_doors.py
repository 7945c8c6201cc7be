"""The Kafka actions where a broker asks for TLS or a password, and with clusters that keep transactions."""

from __future__ import annotations

import asyncio
import itertools
import ssl
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from application.actions.kafka_client import abort_all
from application.actions.kafka_consumer import KAFKA_CONSUMER, KAFKA_SUBSCRIBE
from application.actions.kafka_producer import KAFKA_PRODUCER
from application.engine.egress import WorkerPolicy
from tests.support.action_context import Bench, bench
from tests.support.http_server import Identity, listening, new_identity
from tests.support.kafka_broker import free_port, kafka_broker, mock_cluster
from tests.support.kafka_door import kafka_door

pytestmark = pytest.mark.servers

_NUMBERS = itertools.count()
USERS = {"ann": "open, sesame = 1"}
ANN = {"username": "ann", "password": USERS["ann"]}


@pytest.fixture
async def one() -> AsyncIterator[Bench]:
    async with bench() as made:
        yield made


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return new_identity(tmp_path_factory.mktemp("identity"))


@pytest.fixture(scope="module")
def doors() -> Iterator[tuple[int, int]]:
    """The port of a door, and of the broker behind it that sends its clients there."""
    door = free_port()
    with kafka_broker(advertised=door) as broker:
        yield door, broker


@pytest.fixture(scope="module")
def cluster() -> Iterator[list[str]]:
    """Three brokers that know idempotent producers and transactions."""
    with mock_cluster(3) as brokers:
        yield brokers


@pytest.fixture
def topic() -> str:
    return f"topic-{next(_NUMBERS)}"


async def round_trip(one: Bench, config: dict[str, Any]) -> Any:
    """A message that is sent and read again."""
    await one.run(KAFKA_PRODUCER, {**config, "value": "hello", "timeout": 5})
    result = await one.run(KAFKA_CONSUMER, {**config, "from_beginning": True, "timeout": 5})
    return result["first"]["value"]


async def kinds(one: Bench, config: dict[str, Any]) -> set[str]:
    """The kinds of the errors of both actions."""
    sent = await one.error(KAFKA_PRODUCER, {**config, "value": 1, "timeout": 5})
    read = await one.error(KAFKA_CONSUMER, {**config, "timeout": 5})
    return {sent.kind, read.kind}


async def refused(one: Bench, config: dict[str, Any]) -> str:
    """The kind of the error of both actions."""
    (kind,) = await kinds(one, config)
    return kind


async def test_tls_checks_the_certificate_of_every_broker(
    one: Bench, doors: tuple[int, int], identity: Identity, topic: str
) -> None:
    at = {"brokers": f"127.0.0.1:{doors[0]}", "topic": topic}
    async with kafka_door(*doors, tls=identity.server()):
        assert await round_trip(one, {**at, "tls": {"ca": identity.certificate}}) == "hello"
        assert await round_trip(one, {**at, "tls": {"verify": False}}) == "hello"
        assert await refused(one, {**at, "tls": True}) == "tls"
        assert await refused(one, {**at, "tls": {"ca": identity.certificate, "server_name": "elsewhere.example"}}) == "tls"
        assert await refused(one, at) == "connection_error"


async def test_our_own_certificate_is_shown(one: Bench, doors: tuple[int, int], identity: Identity, topic: str) -> None:
    at = {"brokers": f"127.0.0.1:{doors[0]}", "topic": topic}
    ours = {"ca": identity.certificate, "cert": identity.certificate, "key": identity.key}
    async with kafka_door(*doors, tls=identity.server(client=identity.certificate)):
        assert await round_trip(one, {**at, "tls": ours}) == "hello"
        assert await kinds(one, {**at, "tls": {"ca": identity.certificate}}) <= {"tls", "connection_error"}
    assert identity.key in one.secrets


async def test_a_tls_connection_that_is_ending_already_is_ended(identity: Identity) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    trusted = ssl.create_default_context(cadata=identity.certificate)
    async with listening(silent, tls=identity.server()) as port:
        _, ending = await asyncio.open_connection("127.0.0.1", port, ssl=trusted)
        _, other = await asyncio.open_connection("127.0.0.1", port, ssl=trusted)
        ending.close()
        ending.close()
        abort_all([ending.transport, other.transport])
        assert other.transport.is_closing()


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
async def test_a_password_lets_in_and_a_wrong_one_does_not(
    one: Bench, doors: tuple[int, int], topic: str, mechanism: str
) -> None:
    at = {"brokers": f"127.0.0.1:{doors[0]}", "topic": topic}
    async with kafka_door(*doors, users=USERS):
        assert await round_trip(one, {**at, "sasl": {"mechanism": mechanism, **ANN}}) == "hello"
        assert await refused(one, {**at, "sasl": {"mechanism": mechanism, **ANN, "password": "closed"}}) == "auth"
        assert await refused(one, {**at, "sasl": {"mechanism": "SCRAM-SHA-512", **ANN}}) == "auth"
        assert await refused(one, at) == "connection_error"
    assert set(one.secrets) == {USERS["ann"], "closed"}
    assert USERS["ann"] not in repr(one.exchange)


async def test_a_password_goes_through_tls(one: Bench, doors: tuple[int, int], identity: Identity, topic: str) -> None:
    async with kafka_door(*doors, tls=identity.server(), users=USERS):
        config = {"brokers": f"127.0.0.1:{doors[0]}", "topic": topic, "sasl": ANN, "tls": {"ca": identity.certificate}}
        assert await round_trip(one, config) == "hello"


async def test_a_broker_that_asks_for_endless_hashing_is_left(one: Bench, doors: tuple[int, int], topic: str) -> None:
    async with kafka_door(*doors, users=USERS, rounds=2_000_000_000):
        config = {"brokers": f"127.0.0.1:{doors[0]}", "topic": topic, "sasl": {"mechanism": "SCRAM-SHA-256", **ANN}}
        error = await one.error(KAFKA_PRODUCER, {**config, "value": 1, "timeout": 5})
    assert "2000000000 rounds of hashing" in error.message


async def test_a_topic_that_nobody_creates_is_told_and_listened_to_until_somebody_does(
    one: Bench, doors: tuple[int, int], topic: str
) -> None:
    at = {"brokers": f"127.0.0.1:{doors[0]}", "topic": topic}
    async with kafka_door(*doors, creates_topics=False):
        error = await one.error(KAFKA_PRODUCER, {**at, "value": 1, "timeout": 1})
        assert (error.kind, error.message) == ("kafka", f"{topic} does not exist, and the brokers do not create it")
        assert (await one.run(KAFKA_SUBSCRIBE, {**at, "name": "s"}))["partitions"] == []
    async with kafka_door(*doors):
        await one.run(KAFKA_PRODUCER, {**at, "value": "first"})
        assert (await one.run(KAFKA_CONSUMER, {"subscription": "s", "timeout": 5}))["first"]["value"] == "first"


async def test_an_idempotent_producer_sends_once(one: Bench, cluster: list[str], topic: str) -> None:
    at = {"brokers": cluster, "topic": topic}
    sent = await one.run(KAFKA_PRODUCER, {**at, "messages": ["a", "b"], "partition": 0, "idempotent": True})

    assert [message["offset"] for message in sent["messages"]] == [0, 1]


async def test_the_messages_of_a_step_are_one_transaction(one: Bench, cluster: list[str], topic: str) -> None:
    at = {"brokers": ",".join(cluster), "topic": topic}
    for values in (["a", "b"], ["c"]):
        sent = await one.run(KAFKA_PRODUCER, {**at, "messages": values, "transactional_id": "orders"})
        assert sent["count"] == len(values)


async def test_messages_go_to_the_brokers_that_lead_their_partitions(one: Bench, cluster: list[str], topic: str) -> None:
    at = {"brokers": cluster[0], "topic": topic}
    for partition in range(4):
        assert (await one.run(KAFKA_PRODUCER, {**at, "value": partition, "partition": partition}))["partition"] == partition
    result = await one.run(KAFKA_CONSUMER, {**at, "from_beginning": True, "count": 4, "timeout": 10})
    assert sorted(message["value"] for message in result["messages"]) == [0, 1, 2, 3]


async def test_a_cluster_with_one_broker_that_may_not_be_reached_is_refused_as_a_whole(cluster: list[str], topic: str) -> None:
    async with bench(egress=WorkerPolicy(allow=cluster[:2])) as one:
        for partition in range(4):
            config = {"brokers": cluster[0], "topic": topic, "value": 1, "partition": partition}
            error = await one.error(KAFKA_PRODUCER, config)
            assert (error.kind, cluster[2] in error.message) == ("egress", True)
