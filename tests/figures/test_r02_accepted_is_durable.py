"""R2: 202 only after the commit, and the same request again is the same execution."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from tests.chaos.afterwards import differs_from_the_keys
from tests.chaos.checker import read_log
from tests.chaos.clients import Clients
from tests.chaos.faults import Faults
from tests.chaos.harness import FLOW, System
from tests.chaos.trial import running
from tests.support.figures import Figure

pytestmark = [pytest.mark.row("R2"), pytest.mark.long]
BODY = {"document": FLOW, "file": "chaos.yaml"}
TOGETHER, SUBMITTED, KILLS = 1_000, 5_000, 50


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    """No worker: what is accepted waits."""
    with running(workers=0) as made:
        yield made


async def _at_once(system: System, key: str, bodies: list[Any]) -> list[tuple[int, bytes]]:
    """The answers to requests that are sent at the same time, each by a connection of its own."""
    headers = {"Authorization": f"Bearer {system.key}", "Idempotency-Key": key}
    url, gate = system.api_url + system.path("/executions"), asyncio.Event()
    connector, patience = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(total=120)

    async def one(http: aiohttp.ClientSession, body: Any) -> tuple[int, bytes]:
        await gate.wait()
        async with http.post(url, json=body) as answer:
            return answer.status, await answer.read()

    async with aiohttp.ClientSession(connector=connector, headers=headers, timeout=patience) as http:
        tasks = [asyncio.create_task(one(http, body)) for body in bodies]
        gate.set()
        return list(await asyncio.gather(*tasks))


def test_a_thousand_equal_requests_at_once_are_one_execution_and_another_body_is_refused(
    system: System, figure: Figure
) -> None:
    begun = time.monotonic()
    answers = Counter(asyncio.run(_at_once(system, "one-key", [BODY] * TOGETHER)))
    seconds = time.monotonic() - begun
    other = asyncio.run(_at_once(system, "one-key", [{**BODY, "seed": "another"}] * 10))
    recorded = len(read_log(system.settings.database_url))
    figure(
        f"{TOGETHER:,} POSTs at once under one key: {recorded} execution, {len(answers)} answer,"
        f" {seconds:.1f} s; another body: {sorted({status for status, _ in other})}"
    )
    assert [status for status, _ in answers] == [202]
    assert recorded == 1
    assert {status for status, _ in other} == {422}


def test_what_is_accepted_while_the_api_is_killed_fifty_times_are_the_executions_that_were_asked_for(
    system: System, figure: Figure
) -> None:
    before = set(read_log(system.settings.database_url))
    faults, clients = Faults(system), Clients(system, seed=2, count=8)
    clients.start(SUBMITTED)
    for number in range(1, KILLS + 1):
        while clients.answers["202"] < number * (SUBMITTED // (KILLS + 1)) and clients.working:
            time.sleep(0.01)
        faults.inject(faults.kill_api)
    clients.join()
    log, answered = read_log(system.settings.database_url), clients.journal.read()
    wrong = differs_from_the_keys({id: log[id] for id in set(log) - before}, system.workspace, answered)
    figure(
        f"API killed {len(faults.done)} times in {SUBMITTED:,} submissions: {len(answered):,} keys answered,"
        f" {len(set(log) - before):,} executions, {len(wrong)} differ; answers {dict(clients.answers)}"
    )
    assert wrong == []
    assert len(answered) == len(set(answered.values())) == len(set(log) - before) == SUBMITTED
    assert clients.answers["no answer"] >= KILLS
