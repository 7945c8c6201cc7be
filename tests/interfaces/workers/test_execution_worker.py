"""Workers over real PostgreSQL and Valkey: claim, finish, cancel, drain, takeover, stale and unreadable commands."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from uuid import uuid4

import pytest
import redis

from application.actions.registry import ACTIONS
from application.dead_letters import DeadLetters
from application.ports import RunCommand
from domain.execution import Execution
from interfaces.adapters.redis_streams import STREAM
from projections.execution_list import Waiting
from tests.support.cluster import Cluster, Running
from tests.support.local import BY, finished, flow, topics

pytestmark = pytest.mark.servers

ONE = flow("- {id: one, action: say, config: {message: hello}}")
HANGING = flow(
    "- {id: make, action: say, config: {message: made}, output: {made: $}}\n- {id: hang, action: nap, config: {seconds: 60}}",
    teardown="- {id: down, action: say, config: {message: 'down ${made}'}}",
)


@pytest.fixture
def cluster(database_url: str, valkey_url: str) -> Iterator[Cluster]:
    made = Cluster(database_url, valkey_url)
    yield made
    made.close()


async def test_a_requested_execution_is_run_to_its_verdict(cluster: Cluster) -> None:
    with cluster.following():
        async with Running(cluster.worker()) as worker:
            execution = await cluster.finished(cluster.request(ONE))
            await cluster.until(lambda: worker.running == 0)
    assert execution.verdict == "passed"
    assert topics(cluster.events())[:2] == ["requested", "attempt_started"]
    with cluster.database.connect() as connection:
        assert connection.execute("SELECT count(*) FROM executions.leases").fetchone() == (0,)
    with redis.Redis.from_url(cluster.redis_url) as client:
        assert client.xlen(STREAM) == 0


async def test_many_executions_and_two_workers_give_each_exactly_one_end(cluster: Cluster) -> None:
    ids = [cluster.request(ONE) for _ in range(30)]
    with cluster.following():
        async with Running(cluster.worker()), Running(cluster.worker()):
            for id in ids:
                await cluster.finished(id)
    ends = [event for event in cluster.events() if isinstance(event, Execution.Finished)]
    assert sorted(event.originator_id for event in ends) == sorted(ids)


async def test_a_command_that_comes_twice_is_run_once(cluster: Cluster) -> None:
    id = cluster.request(ONE)
    cluster.queue.send([RunCommand(id, 1)] * 3)
    async with Running(cluster.worker()), Running(cluster.worker()):
        await cluster.finished(id)
        with redis.Redis.from_url(cluster.redis_url) as client:
            await cluster.until(lambda: client.xlen(STREAM) == 0)
    assert topics(cluster.events()).count("attempt_started") == 1


@pytest.mark.row("R9")
async def test_unreadable_and_unknown_commands_are_parked_with_a_reason(cluster: Cluster) -> None:
    with redis.Redis.from_url(cluster.redis_url) as client:
        client.xadd(STREAM, {"nonsense": "\x00"})
        cluster.queue.send([RunCommand(uuid4(), 1)])
        async with Running(cluster.worker()):
            await cluster.until(lambda: client.xlen(STREAM) == 0)
            id = cluster.request(ONE)
            cluster.queue.send([RunCommand(id, 1)])
            assert (await cluster.finished(id)).verdict == "passed", "the worker lives"
        client.flushdb()
    parked = DeadLetters(cluster.database, cluster.queue.send_fields).page(decided=False, before=None, limit=9)
    assert {letter.reason.split()[0] for letter in parked} == {"not", "there"}
    assert {b"nonsense": b"\x00"} in [letter.fields for letter in parked]


async def test_cancel_reaches_a_hung_step_within_a_second_and_tears_down(cluster: Cluster) -> None:
    id = cluster.request(HANGING)
    with cluster.following():
        async with Running(cluster.worker(heartbeat=60.0)):
            await cluster.until(lambda: "nap" in cluster.calls.seen)
            begun = asyncio.get_running_loop().time()
            await asyncio.to_thread(cluster.executions.cancel, BY, "w", id)
            execution = await cluster.finished(id)
            assert asyncio.get_running_loop().time() - begun < 1.0
    assert execution.verdict == "cancelled"
    assert cluster.calls.seen == ["made", "nap", "down made"]


async def test_cancel_reaches_a_worker_that_never_got_the_hint(cluster: Cluster) -> None:
    id = cluster.request(HANGING)
    with cluster.following():
        async with Running(cluster.worker()):
            await cluster.until(lambda: "nap" in cluster.calls.seen)
            execution = cluster.load(id)
            execution.request_cancel(BY)
            cluster.log.put(execution)
            with cluster.database.connect() as connection:
                connection.execute("UPDATE executions.leases SET cancel_requested = true")
            assert (await cluster.finished(id)).verdict == "cancelled"


async def test_draining_gives_the_attempt_back_and_another_worker_finishes(cluster: Cluster) -> None:
    id = cluster.request(HANGING.replace("60", "0.5"))
    with cluster.following():
        async with Running(cluster.worker(drain=0.01)):
            await cluster.until(lambda: "nap" in cluster.calls.seen)
        async with Running(cluster.worker()):
            execution = await cluster.finished(id)
    assert (execution.verdict, execution.attempt, execution.lost) == ("passed", 2, 0)
    names = topics(cluster.events())
    assert names.index("attempt_abandoned") < names.index("teardown_started") < names.index("requeued")
    assert cluster.calls.seen[:3] == ["made", "nap", "down made"]


async def test_a_worker_that_falls_silent_is_replaced_and_its_teardown_runs_first(cluster: Cluster) -> None:
    id = cluster.request(HANGING.replace("60", "1.5"))
    silent = cluster.worker(heartbeat=60.0)
    with cluster.following(), cluster.sweeping():
        async with Running(silent):
            await cluster.until(lambda: "nap" in cluster.calls.seen)
            async with Running(cluster.worker()):
                execution = await cluster.finished(id, 15)
    assert (execution.verdict, execution.attempt, execution.lost) == ("passed", 2, 1)
    events = cluster.events()
    assert finished(events).attempt == 2
    assert topics(events).count("teardown_finished") == 2
    fenced = [e for e in events if getattr(e, "worker", "") == silent.incarnation]
    requeued = next(i for i, e in enumerate(events) if isinstance(e, Execution.Requeued))
    assert all(events.index(e) < requeued for e in fenced)


async def test_a_called_flow_is_torn_down_by_another_worker_with_its_inputs_and_its_secrets(cluster: Cluster) -> None:
    cluster.actions = {**ACTIONS, **cluster.actions}
    cluster.tools = replace(cluster.tools, actions=cluster.actions)
    inner = (
        "flow:\n  name: inner\n  inputs: {who: nobody}\n  steps:\n"
        "    - {id: make, action: say, config: {message: canary-token}, output: {token: $}, secret_outputs: [token]}\n"
        "    - {id: hang, action: nap, config: {seconds: 0.5}}\n"
        "  teardown: [{id: down, action: say, config: {message: 'down ${who} ${token}'}}]\n"
    )
    call = flow("- {id: c, action: run_flow, config: {flow: inner.yaml, inputs: {who: Ada}}}")
    id = cluster.request(call, **{"inner.yaml": inner})
    with cluster.following():
        async with Running(cluster.worker(drain=0.01)):
            await cluster.until(lambda: "nap" in cluster.calls.seen)
        async with Running(cluster.worker()):
            execution = await cluster.finished(id)
    assert (execution.verdict, execution.attempt) == ("passed", 2)
    assert cluster.calls.seen[:3] == ["canary-token", "nap", "down Ada canary-token"]
    torn = [e for e in cluster.events() if isinstance(e, Execution.StepFinished) and e.phase == "teardown"]
    assert [(e.path, e.attempt, e.outcome["verdict"]) for e in torn] == [("c/down", 1, "passed")]
    assert "canary-token" not in str([vars(event) for event in cluster.events()])


async def test_a_flow_may_choose_to_fail_when_its_worker_is_lost(cluster: Cluster) -> None:
    text = HANGING.replace("  steps:", "  config:\n    on_worker_lost: fail\n  steps:", 1)
    id = cluster.request(text)
    with cluster.following(), cluster.sweeping():
        async with Running(cluster.worker(heartbeat=60.0, drain=0.01)) as lost:
            await cluster.until(lambda: "nap" in cluster.calls.seen)
            async with Running(cluster.worker()):
                execution = await cluster.finished(id, 15)
            for attempt in list(lost._running.values()):
                attempt.stop("lost")
    assert (execution.verdict, execution.attempt) == ("error", 1)
    assert finished(cluster.events()).cause == "worker_lost"
    assert "down made" in cluster.calls.seen


async def test_a_queue_that_lost_everything_is_filled_again(cluster: Cluster) -> None:
    id = cluster.request(ONE)
    cluster.sweeper._waiting = lambda: [Waiting(id, 1, "attempt", 0)]
    with cluster.sweeping():
        async with Running(cluster.worker()):
            await cluster.finished(id)
    assert cluster.queue.epoch() is not None


async def test_a_worker_that_claims_the_teardown_of_an_attempt_it_lost_stops_that_attempt(
    cluster: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    text = flow(
        "- {id: hang, action: nap, config: {seconds: 0.6}}\n- {id: more, action: say, config: {message: more}}",
        teardown="- {id: down, action: nap, config: {seconds: 1.2}}",
    )
    id = cluster.request(text)
    with cluster.following():
        async with Running(cluster.worker(heartbeat=60.0, lease=90.0)) as worker:
            await cluster.until(lambda: "nap" in cluster.calls.seen)
            await asyncio.to_thread(cluster.abandon, id)
            execution = await cluster.finished(id)
            await cluster.until(lambda: worker.running == 0)
    assert (execution.verdict, execution.attempt, execution.lost) == ("passed", 2, 1)
    names = topics(cluster.events())
    lost = names[names.index("attempt_abandoned") : names.index("requeued")]
    assert lost == ["attempt_abandoned", "teardown_started", "step_started", "step_finished", "teardown_finished"]
    assert cluster.calls.seen.count("more") == 1
    assert f"execution {id}: attempt 1 has lost its lease" in caplog.text
