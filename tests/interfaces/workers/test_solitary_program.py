"""The program `testmesh worker`: what was lost with a worker goes on in a child of it; its labels are those of its options."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from application import leases, worker_list
from application.actions.registry import ACTIONS
from application.claims import claim
from application.dispatch import Dispatcher
from application.executions import RunRequest
from application.flow_documents import read_flow
from application.ports import RunCommand
from application.queueing import Wish
from domain.events import Actor
from domain.execution import Execution
from interfaces.adapters.redis_command_queue import RedisCommandQueue
from interfaces.bootstrap import Platform, make_key
from interfaces.settings import Settings
from tests.support.events import BY
from tests.support.served import FLOW
from tests.support.tied import tied

pytestmark = pytest.mark.servers


@pytest.fixture
def platform(fresh_database: Callable[[], str], valkey_url: str, tmp_path: Path) -> Iterator[Platform]:
    make_key(tmp_path / "key")
    made = Platform(Settings(database_url=fresh_database(), redis_url=valkey_url, key_file=str(tmp_path / "key")))
    made.migrate()
    made.identity.first_contact()
    yield made
    made.close()


@pytest.fixture
def worker(platform: Platform) -> Iterator[subprocess.Popen[bytes]]:
    settings = platform.settings
    environ = {
        **os.environ,
        "TESTMESH_DATABASE_URL": settings.database_url,
        "TESTMESH_REDIS_URL": settings.redis_url,
        "TESTMESH_KEY_FILE": settings.key_file,
    }
    process = subprocess.Popen(tied(sys.executable, "-m", "interfaces.cli.main", "worker", "--label", "gpu"), env=environ)
    yield process
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


def until(holds: Callable[[], object], seconds: float = 40.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def test_an_execution_that_was_lost_with_its_worker_goes_on_in_a_process_of_its_own(
    platform: Platform, worker: subprocess.Popen[bytes]
) -> None:
    log = platform.logs["executions"]
    definition, _ = read_flow(FLOW, file="f.yaml", actions=ACTIONS)
    ids = [platform.executions.request(BY, RunRequest("w", definition, FLOW, wish=Wish(runs_on=("gpu",))))[0] for _ in range(2)]
    lost = claim(log, RunCommand(ids[0], 1), "gone")
    assert lost is not None
    lost.abandon(Actor("sweeper"), 1, "worker_lost")
    log.put(lost, side=[leases.release(lost.id, "gone")])
    queue = RedisCommandQueue(platform.settings.redis_url)
    dispatcher = Dispatcher(log, queue)
    while dispatcher.step():
        pass
    queue.close()
    until(lambda: all(log.load(Execution, id).status == "finished" for id in ids))
    with platform.database("executions").pool.connection() as connection:
        (live,) = worker_list.live(connection)
    assert live.labels == ("gpu",)
    events = [recorded.event for recorded in log.read(0, 1000, (Execution.AttemptStarted.TOPIC,))]
    ran = {event.originator_id: event.worker for event in events}
    assert ran[ids[1]] == live.incarnation
    assert ran[ids[0]] not in (live.incarnation, "gone")
    assert [log.load(Execution, id).verdict for id in ids] == ["passed", "passed"]
