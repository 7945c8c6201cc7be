"""A worker process whose flows may kill it:
`python -m tests.support.deadly_worker DATABASE_URL REDIS_URL CONCURRENCY CHILDREN SECONDS [HEARTBEAT LEASE]`."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Mapping
from typing import Any

from application.engine.action import Action, ActionContext
from interfaces.workers.execution_worker import ExecutionWorker
from interfaces.workers.nursery import Nursery
from interfaces.workers.solitary import PipeDeliveries, Solitary
from tests.support.cluster import Cluster
from tests.support.local import Calls, small_actions

EXIT_KILLED = 77


def deadly_actions() -> Mapping[str, Action]:
    """The small actions, `die`, which ends the process without a word, and `block`, which lets nobody else work."""

    async def die(config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        os._exit(EXIT_KILLED)

    async def block(config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        time.sleep(60)  # noqa: ASYNC251
        return {}

    made = (Action("die", {}, die), Action("block", {}, block))
    return small_actions(Calls([])) | {action.name: action for action in made}


def main() -> None:
    """Work until killed. SECONDS is how long an execution waits for a child."""
    concurrency, children, seconds = int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5])
    nursery = Nursery(lambda: asyncio.run(_alone(_cluster())))
    solitary = Solitary(nursery, children, (seconds, 2 * seconds))
    beats = dict(zip(("heartbeat", "lease"), map(float, sys.argv[6:]), strict=False))
    asyncio.run(_cluster().worker(concurrency=concurrency, solitary=solitary, **beats).run(asyncio.Event()))


def _cluster() -> Cluster:
    return Cluster(sys.argv[1], sys.argv[2], deadly_actions(), clean=False)


async def _alone(cluster: Cluster) -> None:
    stop = asyncio.Event()
    worker = ExecutionWorker(
        cluster.tools,
        cluster.database.connect,
        lambda incarnation: PipeDeliveries(stop),
        concurrency=1,
        heartbeat=0.2,
        lease=1.0,
        labels=None,
    )
    await worker.run(stop)


if __name__ == "__main__":
    main()
