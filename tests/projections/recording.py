"""A log worth keeping: what a small real system stores, every class of event, and events as older versions stored them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import orjson
import psycopg

from domain.aggregates import event_classes
from projections.registry import LOGS
from tests.chaos.afterwards import wait_for_the_end
from tests.chaos.harness import FLOW, System, until
from tests.chaos.trial import running
from tests.support.every_event import histories

GOLDEN = Path(__file__).parents[1] / "domain" / "golden"
FAILING = "flow: {name: fails, steps: [{id: a, action: assert, config: {assertions: ['1 == 2']}}]}"
LONG = FLOW.replace("NAP: 50", "NAP: 20000").replace("name: chaos", "name: long")
_BEGUN = ("execution.requested.1", "execution.attempt_started.1", "execution.step_started.1", "execution.step_finished.1")
OLD = (
    (*_BEGUN, "execution.log_written.1", "execution.finished.1"),
    ("execution.requested.2", "execution.attempt_started.1", "execution.finished.2"),
    ("schedule.created.1", "schedule.tick_considered.1", "schedule.paused.1"),
)
"""Streams of golden files: the first versions of events whose fields have changed since, and what follows them."""
ADD = "SELECT {}.append(%b::uuid[], %b::int4[], %b::text[], %b::bytea[])"
_DOMAINS = {"api_key": "identity", "user": "identity", "workspace": "identity", "flow": "flows", "schedule": "schedules"}


def recorded() -> list[dict[str, Any]]:
    """The stored events of all logs in their order, as plain data. AssertionError when a class of event is not among them."""
    with running(workers=2, concurrency=4) as system:
        _use(system)
        system.stop_roles()
        _add_histories(system)
        _add_old_streams(system.settings.database_url)
        events = list(_stored(system.settings.database_url))
    missing = {vars(event)["TOPIC"] for event in event_classes()} - {event["topic"] for event in events}
    assert not missing, f"no event of {sorted(missing)}: let tests/support/every_event.py make one"
    return events


def _use(system: System) -> None:
    """What users do, and a worker that dies."""
    flow, failing, long = system.push(), system.push(FAILING, "fails.yaml"), system.push(LONG, "long.yaml")
    with system.client() as http:
        schedule = _made(http, system.path("/schedules"), name="each 2 s", flow=flow, cron="*/2 * * * * *", overlap="queue")
        for body in ({"flow": flow, "variables": {"NAP": 1}, "tags": ["smoke"]}, {"flow": failing}, {"document": FLOW}):
            _made(http, system.path("/executions"), **body)
        for _ in range(2):
            _made(
                http, system.path("/executions"), flow=flow, concurrency={"group": "g", "max": 1, "when_full": "cancel_older"}
            )
        _made(http, system.path("/suite-runs"), flows=[flow, failing], matrix={"NAP": [1, 2]})
        stopped, lost = (_made(http, system.path("/executions"), flow=long) for _ in range(2))
        until(lambda: {_status(http, system, id) for id in (stopped, lost)} == {"running"}, "the long ones to run", 30)
        http.post(system.path(f"/executions/{stopped}/cancel"), json={"reason": "enough"}).raise_for_status()
        for worker in system.workers:
            assert worker.process is not None
            worker.process.kill()
        until(lambda: _attempt(http, system, lost) > 1, "the next attempt", 60)
        http.post(system.path(f"/executions/{lost}/cancel"), json={"reason": "seen"}).raise_for_status()
        http.put(system.path("/members"), json={"login": "lena", "role": "viewer"}).raise_for_status()
        http.post(system.path("/keys"), json={"name": "ci", "scopes": ["runs:read"]}).raise_for_status()
        http.delete(system.path(f"/schedules/{schedule}")).raise_for_status()
    wait_for_the_end(system.settings.database_url)


def _made(http: httpx.Client, path: str, **body: Any) -> str:
    answer = http.post(path, json=body)
    assert answer.is_success, answer.text
    return str(answer.json()["id"])


def _status(http: httpx.Client, system: System, id: str) -> str:
    answer = http.get(system.path(f"/executions/{id}"))
    return str(answer.json()["status"]) if answer.is_success else ""


def _attempt(http: httpx.Client, system: System, id: str) -> int:
    return int(http.get(system.path(f"/executions/{id}")).json()["attempt"])


def _log_of(topic: str) -> str:
    return _DOMAINS.get(topic.partition(".")[0], "executions")


def _add_histories(system: System) -> None:
    for aggregate in histories():
        pending = aggregate.pending_events
        if pending:
            system.platform.logs[_log_of(type(pending[0]).TOPIC)].put(aggregate)


def _add_old_streams(url: str) -> None:
    """Each stream under an id of its own."""
    with psycopg.connect(url, autocommit=True) as connection:
        for names in OLD:
            id, stream = uuid4(), [orjson.loads((GOLDEN / f"{name}.json").read_bytes()) for name in names]
            topics, states = [event["topic"] for event in stream], [orjson.dumps(event["state"]) for event in stream]
            values = ([id] * len(stream), list(range(1, len(stream) + 1)), topics, states)
            connection.execute(ADD.format(_log_of(names[0])).encode(), values)


def _stored(url: str) -> Iterator[dict[str, Any]]:
    with psycopg.connect(url) as connection:
        for log in LOGS:
            assert re.fullmatch(r"\w+", log)
            sql = f"SELECT notification_id, originator_id, originator_version, topic, state FROM {log}.events ORDER BY 1"
            for position, id, version, topic, state in connection.execute(sql.encode()):
                yield {
                    "log": log,
                    "position": position,
                    "originator_id": str(id),
                    "originator_version": version,
                    "topic": topic,
                    "state": orjson.loads(state),
                }
