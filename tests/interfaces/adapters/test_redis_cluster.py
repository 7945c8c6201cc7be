"""The queue on a real cluster of two nodes: every shard on its own, read by one worker, each with its mark."""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import redis

from application.ports import RunCommand
from interfaces.adapters import embedded
from interfaces.adapters.embedded_valkey import EmbeddedValkey
from interfaces.adapters.redis_command_queue import RedisCommandQueue
from interfaces.adapters.redis_deliveries import RedisDeliveries

pytestmark = pytest.mark.servers
SLOTS = 16384
SHARDS = 4


class Node(EmbeddedValkey):
    """A Valkey in cluster mode."""

    bus = 0

    def _config(self) -> str:
        self.bus = embedded.free_port(None)
        more = ("cluster-enabled yes", f"cluster-port {self.bus}", "cluster-node-timeout 2000", "cluster-announce-ip 127.0.0.1")
        return super()._config() + "\n".join(more) + "\n"

    def _password(self) -> str:
        return "a-password-of-both-nodes"


@pytest.fixture(scope="module")
def nodes() -> Iterator[tuple[Node, Node]]:
    root = Path(tempfile.mkdtemp(prefix="tmn"))
    root.chmod(0o711)
    made = Node(root / "a"), Node(root / "b")
    try:
        for number, node in enumerate(made):
            with redis.Redis.from_url(node.start()) as client:
                half = SLOTS // 2
                client.execute_command("CLUSTER ADDSLOTSRANGE", number * half, (number + 1) * half - 1)
        with redis.Redis.from_url(made[0].url) as client:
            client.execute_command("CLUSTER MEET", "127.0.0.1", made[1]._port, made[1].bus)
        for node in made:
            wait_for_the_cluster(node)
        yield made
    finally:
        for node in made:
            node.stop()
        shutil.rmtree(root, ignore_errors=True)


def wait_for_the_cluster(node: Node) -> None:
    end = time.monotonic() + 20
    with redis.Redis.from_url(node.url) as client:
        while not re.search(r"cluster_state\W+ok", str(client.execute_command("CLUSTER INFO"))):
            assert time.monotonic() < end, "the cluster does not come up"
            time.sleep(0.1)


def url(node: Node) -> str:
    return node.url.replace("redis://", "redis+cluster://").removesuffix("/0")


async def test_commands_of_all_shards_reach_a_worker_and_are_taken_out(nodes: tuple[Node, Node]) -> None:
    queue, worker = (
        RedisCommandQueue(url(nodes[0]), SHARDS),
        RedisDeliveries(url(nodes[1]), "one", labels=["gpu"], shards=SHARDS),
    )
    ways = ({}, {"priority": 1}, {"runs_on": ("gpu",)})
    sent = [RunCommand(uuid4(), 1, **way) for way in ways for _ in range(20)]  # type: ignore[arg-type]
    queue.send(sent)
    found = []
    while len(found) < len(sent):
        taken = await worker.receive(16, 200)
        assert taken, "not everything came"
        for delivery in taken:
            await worker.done(delivery)
        found += taken
    assert {delivery.command for delivery in found} == set(sent)
    assert {delivery.stream.split("}")[0] for delivery in found} == {f"testmesh:run:{{{n}" for n in range(SHARDS)}
    assert queue.lengths() == {}
    assert await worker.adopt() == []
    await worker.leave()
    queue.close()


async def test_a_node_that_lost_its_data_is_noticed_and_its_streams_are_made_again(nodes: tuple[Node, Node]) -> None:
    queue, worker = RedisCommandQueue(url(nodes[0]), SHARDS), RedisDeliveries(url(nodes[0]), "two", shards=SHARDS)
    queue.begin_epoch("a")
    assert queue.commit_epoch("a")
    assert queue.epoch() == ",".join(["a"] * SHARDS)
    with redis.Redis.from_url(nodes[1].url) as client:
        client.flushall()
    assert queue.epoch() is None
    sent = [RunCommand(uuid4(), 1) for _ in range(12)]
    queue.send(sent)
    found = [delivery for _ in range(3) for delivery in await worker.receive(12, 100)]
    assert {delivery.command for delivery in found} == set(sent)
    assert queue.forget_receivers(3600) == 0
    await worker.leave()
    queue.close()
