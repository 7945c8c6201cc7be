"""R12: fifty watchers whose connections are cut again and again miss nothing and see nothing twice."""

from __future__ import annotations

import asyncio
import time

import pytest

from application.log import Log
from domain.api_key import SCOPES
from domain.events import SYSTEM
from domain.user import user_uuid
from tests.chaos.checker import missed_or_doubled, read_log
from tests.chaos.harness import System
from tests.chaos.trial import running
from tests.chaos.watcher import Watcher
from tests.support.events import events_of_attempt, requested
from tests.support.figures import Figure

pytestmark = [pytest.mark.row("R12"), pytest.mark.long]
WATCHERS, EVENTS, SEED = 50, 10_000, 12
USERS = 3
"""A user may have 20 connections."""


def test_fifty_clients_cut_each_second_see_the_log(figure: Figure) -> None:
    with running(workers=0) as system:
        watchers = [Watcher(system.api_url, key, SEED + n, seconds=1.0) for n, key in enumerate(_keys(system))]
        begun = time.monotonic()
        asyncio.run(_watched(watchers, system))
        seconds = time.monotonic() - begun
        log = read_log(system.settings.database_url)
        wrong = [text for watcher in watchers for text in missed_or_doubled(log, watcher.seen)]
        figure(
            f"seed {SEED}: {WATCHERS} clients, {sum(watcher.connections for watcher in watchers):,} connections,"
            f" {sum(map(len, log.values())):,} events, {seconds:.0f} s: {len(wrong)} missed, doubled or out of order"
        )
        assert sum(map(len, log.values())) >= EVENTS
        assert wrong == []
        assert min(watcher.connections for watcher in watchers) > 5


def _keys(system: System) -> list[str]:
    """One a watcher, of some users."""
    identity, users = system.platform.identity, [f"watcher-{number}" for number in range(USERS)]
    for user in users:
        identity.add_member(SYSTEM, system.workspace, user, "viewer")
    made = [identity.issue_key(SYSTEM, system.workspace, user, SCOPES, user=str(user_uuid(user))) for user in users]
    return [made[number % USERS].text for number in range(WATCHERS)]


async def _watched(watchers: list[Watcher], system: System) -> None:
    """Write the events while everybody watches; return when everybody has reached the last."""
    last = 0
    tasks = [asyncio.create_task(watcher.watch(lambda: last)) for watcher in watchers]
    last = await asyncio.to_thread(_write, system.platform.logs["executions"], system.workspace)
    async with asyncio.timeout(600):
        await asyncio.gather(*tasks)


def _write(log: Log, workspace: str) -> int:
    """The events, over some ten seconds; the position of the last."""
    written = 0
    while written < EVENTS:
        executions = [events_of_attempt(requested(workspace=workspace)) for _ in range(5)]
        written += sum(execution.version for execution in executions)
        position = log.put(*executions)
        time.sleep(0.03)
    return position
