"""Suite runs that are requested before everything breaks, and what must have become of each, judged from the event table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import httpx
import orjson
import psycopg

from tests.chaos.checker import Event
from tests.chaos.harness import FLOW, System

PASSED = ("passed", "passed_on_retry")


class SuiteRuns:
    """Suite runs of two flows, the second of which needs the first, with some rows each."""

    def __init__(self, system: System) -> None:
        self._system = system
        self.requested: list[UUID] = []

    def start(self, runs: int, rows: int) -> None:
        """Push the flows and request the runs, each of twice as many cases as rows."""
        data = "".join(f"\n    - {{n: {number}}}" for number in range(rows))
        first = self._system.push(FLOW.replace("name: chaos", f"name: first\n  data:{data}"), "first.yaml")
        second = self._system.push(FLOW.replace("name: chaos", f"name: second\n  needs: [first]\n  data:{data}"), "second.yaml")
        with self._system.client() as http:
            for number in range(runs):
                body = {"flows": [first, second], "parallel": 4, "name": f"run {number}"}
                answer = http.post(self._system.path("/suite-runs"), json=body)
                assert answer.status_code == 202, answer.text
                self.requested.append(UUID(answer.json()["id"]))

    def open(self) -> int:
        """How many have not ended; an API that is away counts as one that has not."""
        try:
            with self._system.client() as http:
                rows = [http.get(self._system.path(f"/suite-runs/{id}")).json() for id in self.requested]
            return sum(row.get("verdict") is None for row in rows)
        except httpx.TransportError:
            return len(self.requested)


def read_suite_runs(url: str) -> dict[UUID, list[tuple[str, dict[str, Any]]]]:
    """The events of each suite run as they stand in the table: (topic without `suite_run.`, fields)."""
    found: dict[UUID, list[tuple[str, dict[str, Any]]]] = {}
    with psycopg.connect(url) as connection:
        sql = (
            "SELECT originator_id, topic, state FROM executions.events WHERE topic LIKE 'suite_run.%' ORDER BY notification_id"
        )
        for id, topic, state in connection.execute(sql):
            found.setdefault(id, []).append((topic.removeprefix("suite_run."), orjson.loads(bytes(state))))
    return found


def cases_of(runs: Mapping[UUID, list[tuple[str, dict[str, Any]]]]) -> dict[UUID, set[UUID]]:
    """The executions that each suite run may start."""
    return {id: {_execution(id, case["key"]) for case in _planned(events)} for id, events in runs.items()}


def broken_suites(runs: Mapping[UUID, list[tuple[str, dict[str, Any]]]], log: Mapping[UUID, list[Event]]) -> list[str]:
    """Each sentence is a promise that does not hold: a case starts once and is settled once, after what it needs, and the
    verdict follows from the executions."""
    return [f"suite run {id}: {text}" for id, events in runs.items() for text in _of_one(id, events, log)]


def _of_one(id: UUID, events: list[tuple[str, dict[str, Any]]], log: Mapping[UUID, list[Event]]) -> list[str]:
    cases, wrong = _planned(events), []
    started = Counter(number for name, fields in events if name == "cases_started" for number in fields["cases"])
    ended = {one["case"]: one["verdict"] for name, fields in events if name == "cases_ended" for one in fields["cases"]}
    settled = Counter(one["case"] for name, fields in events if name == "cases_ended" for one in fields["cases"])
    settled.update(number for name, fields in events if name == "cases_skipped" for number in fields["cases"])
    for number, case in enumerate(cases):
        execution = log.get(_execution(id, case["key"]), [])
        if settled[number] != 1 or started[number] > 1 or bool(started[number]) != bool(execution):
            wrong.append(f"case {number} started {started[number]} times and settled {settled[number]} times")
        elif execution and execution[-1][2].get("verdict") != ended.get(number):
            wrong.append(f"case {number} is said to be {ended.get(number)}, its execution is {execution[-1][2].get('verdict')}")
    if [name for name, _ in events].count("finished") != 1 or events[-1][0] != "finished":
        wrong.append("it does not end with its verdict")
    elif (events[-1][1]["verdict"] in PASSED) != (set(ended.values()) <= set(PASSED) and len(ended) == len(cases)):
        wrong.append(f"its verdict is {events[-1][1]['verdict']}, its cases are {dict(Counter(ended.values()))}")
    return wrong + _too_early(cases, events)


def _too_early(cases: list[dict[str, Any]], events: list[tuple[str, dict[str, Any]]]) -> list[str]:
    """Cases that began before all of what they need had passed."""
    wrong, passed = [], set[int]()
    for name, fields in events:
        if name == "cases_ended":
            passed |= {one["case"] for one in fields["cases"] if one["verdict"] in PASSED}
        for number in fields["cases"] if name == "cases_started" else ():
            needed = {other for other, case in enumerate(cases) if case["group"] in cases[number]["needs"]}
            wrong += [f"case {number} began before case {other} had passed" for other in needed - passed]
    return wrong


def _planned(events: list[tuple[str, dict[str, Any]]]) -> list[dict[str, Any]]:
    return [case for name, fields in events if name == "cases_planned" for case in fields["cases"]]


def _execution(suite_run: UUID, key: str) -> UUID:
    return uuid5(NAMESPACE_URL, f"testmesh:case:{suite_run}:{key}")
