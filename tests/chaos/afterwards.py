"""What is looked at when a chaos run is over: everything has ended, and the read models are those of a rebuild."""

from __future__ import annotations

import time
from collections.abc import Collection
from uuid import NAMESPACE_URL, UUID, uuid5

import psycopg

from application.audit import audit
from application.seals import signing_key
from projections.projector import Projector
from projections.rebuild import checksum, rebuild
from projections.registry import LOGS, for_log
from tests.chaos.checker import Event
from tests.chaos.harness import System


def unfinished(url: str) -> int:
    """How many executions have not ended, from the log."""
    sql = "SELECT count(*) FILTER (WHERE topic = 'execution.requested'), count(*) FILTER (WHERE topic = 'execution.finished')"
    with psycopg.connect(url, connect_timeout=5) as connection:
        row = connection.execute(f"{sql} FROM executions.events").fetchone()
    return int(row[0] - row[1]) if row else 0


def wait_for_the_end(url: str, seconds: float = 90) -> None:
    """Until every execution has ended."""
    end = time.monotonic() + seconds
    while left := unfinished(url):
        assert time.monotonic() < end, f"{left} executions have not ended"
        time.sleep(0.2)


def read_models_equal_a_rebuild(system: System) -> int:
    """The read models of every log, the live feed among them, are what the log says; how many were compared."""
    compared = 0
    for log in LOGS:
        database, read = system.platform.readers(log), system.platform.logs[log].read
        Projector(database.pool, database.connect, log, for_log(log), read).catch_up()
        for projection in for_log(log):
            before = checksum(database.pool, projection)
            rebuild(system.platform.owner(log).pool, projection, read)
            assert checksum(database.pool, projection) == before, projection.name
            compared += 1
    return compared


def events_as_sealed(system: System) -> int:
    """Every event of every log is sealed, by whichever projectors lived meanwhile, and is what was sealed; how many."""
    platform, events = system.platform, 0
    for log in LOGS:
        platform.sealer.seal(log)
        with platform.auditors(log).connect() as connection:
            seen = audit(connection, log, signing_key(platform.key).public_key())
        assert seen.finding is None, (log, seen.finding)
        events += seen.events
    return events


def scheduled(log: dict[UUID, list[Event]]) -> set[UUID]:
    """The executions that schedules asked for."""
    return {id for id, events in log.items() if events[0][2].get("trigger") == "schedule"}


def differs_from_the_keys(
    log: dict[UUID, list[Event]], workspace: str, answered: dict[str, UUID], cases: Collection[UUID] = ()
) -> list[str]:
    """The executions that were asked for by requests are those of the keys, each under the id that its key gives; `cases` are
    those of suite runs."""
    wanted = {uuid5(NAMESPACE_URL, f"testmesh:run:{workspace}:{key}") for key in answered}
    there = set(log) - scheduled(log) - set(cases)
    wrong = [f"{id}: nobody has asked for it" for id in there - wanted]
    return wrong + [f"{id}: not the id of its key" for id in set(answered.values()) - wanted]
