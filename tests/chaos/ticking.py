"""Schedules that tick while everything breaks, and what must have become of each tick. Judged from the event tables alone."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import httpx
import orjson
import psycopg

from tests.chaos.harness import FLOW, System

PLANS: tuple[Mapping[str, Any], ...] = (
    {"name": "each 2 s", "cron": "*/2 * * * * *", "overlap": "skip", "missed": "run_all"},
    {"name": "each 3 s", "cron": "*/3 * * * * *", "overlap": "queue", "missed": "run_once"},
    {"name": "each 5 s", "cron": "*/5 * * * * *", "overlap": "cancel_older", "missed": "skip"},
    {"name": "each 4 s", "cron": "*/4 * * * * *", "overlap": "queue", "missed": "run_all"},
)


class Ticking:
    """The schedules of PLANS, of a flow that is pushed for them."""

    def __init__(self, system: System) -> None:
        self._system = system
        self.periods: dict[UUID, int] = {}
        """Seconds between the ticks of each."""

    def start(self) -> None:
        """Push and create."""
        flow = self._system.push(FLOW.replace("name: chaos", "name: ticks"), "ticks.yaml")
        with self._system.client() as http:
            for plan in PLANS:
                answer = http.post(self._system.path("/schedules"), json={"flow": flow, **plan})
                assert answer.status_code == 201, answer.text
                self.periods[UUID(answer.json()["id"])] = int(plan["cron"].partition("/")[2].split()[0])

    def stop(self) -> None:
        """Delete them, however often it has to be tried."""
        for id in self.periods:
            while not self._deleted(id):
                pass

    def _deleted(self, id: UUID) -> bool:
        try:
            with self._system.client() as http:
                return http.delete(self._system.path(f"/schedules/{id}")).status_code in (200, 202, 204, 404, 409)
        except httpx.TransportError:
            return False


def read_decisions(url: str) -> dict[UUID, list[tuple[str, dict[str, Any]]]]:
    """The events of each schedule as they stand in the table: (topic without `schedule.`, fields)."""
    found: dict[UUID, list[tuple[str, dict[str, Any]]]] = {}
    with psycopg.connect(url) as connection:
        sql = "SELECT originator_id, topic, state FROM schedules.events ORDER BY notification_id"
        for id, topic, state in connection.execute(sql):
            found.setdefault(id, []).append((topic.removeprefix("schedule."), orjson.loads(bytes(state))))
    return found


def broken_ticks(
    decisions: Mapping[UUID, list[tuple[str, dict[str, Any]]]], periods: Mapping[UUID, int], scheduled: set[UUID]
) -> list[str]:
    """Each sentence is a promise that does not hold. `scheduled` are the executions that some schedule started."""
    wrong, started = [], set[UUID]()
    for id, period in periods.items():
        texts, mine = _of_one(id, decisions.get(id, []), period)
        wrong += [f"schedule {id}: {text}" for text in texts]
        started |= mine
    wrong += [f"{id}: started by a schedule that never decided it" for id in scheduled - started]
    return wrong + [f"{id}: decided by a schedule, but there is no trace of it" for id in started - scheduled]


def _of_one(id: UUID, events: list[tuple[str, dict[str, Any]]], period: int) -> tuple[list[str], set[UUID]]:
    """Each tick is considered once and in order; one that waits is started or dropped once."""
    if not events:
        return ["has no events"], set()
    wrong, waiting, started = [], set[float](), set[UUID]()
    considered = _seconds(events[0][1]["since"]) // period * period
    for _, fields in (event for event in events if event[0] == "tick_considered"):
        kind, tick, first = fields["decision"], _seconds(fields["tick"]), _seconds(fields["first"])
        if tick > considered:
            if first != considered + period or (tick - first) / period + 1 != fields["count"]:
                wrong.append(f"{kind} of {fields['count']} ticks from {first} to {tick} after {considered}")
            considered = tick
            waiting |= {tick} if kind == "queued" else set()
        elif tick in waiting:
            waiting.discard(tick)
        else:
            wrong.append(f"tick {tick} was considered twice ({kind})")
        if kind == "started":
            started.add(uuid5(NAMESPACE_URL, f"testmesh:tick:{id}:{datetime.fromtimestamp(tick, UTC).isoformat()}"))
    return wrong, started


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
