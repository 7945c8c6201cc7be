"""A worker process whose flows may kill it: `python -m tests.support.deadly_worker DATABASE_URL REDIS_URL`."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from typing import Any

from application.engine.action import Action, ActionContext
from tests.support.cluster import Cluster
from tests.support.local import Calls, small_actions

EXIT_KILLED = 77


def deadly_actions() -> Mapping[str, Action]:
    """The small actions, and `die`, which ends the process without a word."""

    async def die(config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
        os._exit(EXIT_KILLED)

    return {**small_actions(Calls([])), "die": Action("die", {}, die)}


def main() -> None:
    """Work until killed."""
    cluster = Cluster(sys.argv[1], sys.argv[2], deadly_actions(), clean=False)
    asyncio.run(cluster.worker().run(asyncio.Event()))


if __name__ == "__main__":
    main()
