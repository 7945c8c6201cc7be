"""The checker: reads the event log afterwards and says what was promised and did not hold. It shares no code with the
protocol that it judges."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

import orjson
import psycopg

TEARDOWNS = 2
Event = tuple[int, str, dict[str, Any]]
"""(version, topic without `execution.`, fields)."""


def read_log(url: str, topics: str = "execution.%") -> dict[UUID, list[Event]]:
    """Every execution's events as they stand in the table; with `%` those of all that is in the log."""
    found: dict[UUID, list[Event]] = defaultdict(list)
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT originator_id, originator_version, topic, state FROM executions.events WHERE topic LIKE %s"
            " ORDER BY notification_id",
            (topics,),
        )
        for id, version, topic, state in rows:
            found[id].append((version, topic.removeprefix("execution."), orjson.loads(bytes(state))))
    return found


def broken_promises(log: dict[UUID, list[Event]], accepted: Iterable[UUID]) -> list[str]:
    """Each sentence is a promise that does not hold; empty is good."""
    wrong = [f"{id}: accepted, but there is no trace of it" for id in accepted if id not in log]
    for id, events in log.items():
        wrong += [f"{id}: {text}" for text in _of_one(events)]
    return wrong


def read_order(url: str) -> list[tuple[UUID, str, dict[str, Any]]]:
    """What matters to concurrency groups, of all executions in the order of commits: (execution, topic, fields)."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT originator_id, topic, state FROM executions.events WHERE topic = ANY(%s) ORDER BY notification_id",
            (["execution.requested", "execution.attempt_started", "execution.finished"],),
        ).fetchall()
    return [(id, topic.removeprefix("execution."), orjson.loads(bytes(state))) for id, topic, state in rows]


def crowded(events: Iterable[tuple[UUID, str, dict[str, Any]]]) -> list[str]:
    """Moments at which more executions held places of a group than one of them allows, from first attempt to end; and those
    that overtook one of their group."""
    wrong: list[str] = []
    wishes: dict[UUID, dict[str, int]] = {}
    holders: dict[str, dict[UUID, int]] = defaultdict(dict)
    lines: dict[str, list[UUID]] = defaultdict(list)
    for id, topic, fields in events:
        if topic == "requested":
            wishes[id] = {group["name"]: group["max"] for group in fields.get("groups", ())}
        for name, most in wishes.get(id, {}).items():
            held, line = holders[name], lines[name]
            if topic == "requested":
                line.append(id)
            elif topic == "finished":
                held.pop(id, None)
                lines[name] = [one for one in line if one != id]
            elif id not in held:
                held[id] = most
                free = most - len(held) + 1
                wrong += [f"{id}: {line.index(id)} came before it in {name}"] if line.index(id) >= max(free, 1) else []
                line.remove(id)
            if len(held) > min(held.values(), default=len(held)):
                wrong.append(f"{id}: {len(held)} hold places of {name}")
    return wrong


def of_topic(log: Mapping[UUID, list[Event]], topic: str, cases: Mapping[UUID, Collection[UUID]]) -> dict[UUID, list[Event]]:
    """What belongs to a topic: `workspace`, `execution:<id>`, or `suite_run:<id>` with the executions of its cases."""
    if topic == "workspace":
        return dict(log)
    id = UUID(topic.partition(":")[2])
    return {one: log[one] for one in {id, *cases.get(id, ())} if one in log}


def missed_or_doubled(log: dict[UUID, list[Event]], seen: Sequence[tuple[UUID, int]]) -> list[str]:
    """What a watcher that resumes where it stopped should have seen exactly once and, of each execution, in order."""
    there = Counter((id, version) for id, events in log.items() for version, _, _ in events)
    wrong = [f"{id}: event {version} never reached the watcher" for id, version in there - Counter(seen)]
    for id, version in Counter(seen) - there:
        belongs = (id, version) in there
        wrong.append(f"{id}: event {version} " + ("reached the watcher twice" if belongs else "is not of what was watched"))
    newest: dict[UUID, int] = {}
    for id, version in seen:
        if version < newest.get(id, 0):
            wrong.append(f"{id}: event {version} reached the watcher after {newest[id]}")
        newest[id] = max(version, newest.get(id, 0))
    return wrong


def _of_one(events: Sequence[Event]) -> list[str]:
    ended = any(name == "finished" for _, name, _ in events)
    return broken_so_far(events) + ([] if ended else ["0 terminal events"])


def broken_so_far(events: Sequence[Event]) -> list[str]:
    """As `broken_promises`, of one execution that need not have ended yet."""
    wrong = []
    names = [name for _, name, _ in events]
    if [version for version, _, _ in events] != list(range(1, len(events) + 1)):
        wrong.append("versions have holes or repeat")
    if names.count("finished") > 1:
        wrong.append(f"{names.count('finished')} terminal events")
    elif "finished" in names and names[-1] != "finished":
        wrong.append(f"{names[-1]} after the terminal event")
    return wrong + _fences(events) + _teardowns(events) + _claims(events) + _bounds(events) + _drained(events)


def _fences(events: Sequence[Event]) -> list[str]:
    """After an attempt was abandoned, its old worker writes nothing; every event of a worker is by the present owner."""
    wrong, owner = [], ""
    for version, name, fields in events:
        if name == "attempt_started" or (name == "teardown_started" and fields["number"]):
            owner = fields["worker"]
        elif name in ("attempt_abandoned", "requeued"):
            owner = ""
        elif "worker" in fields and fields["worker"] != owner:
            wrong.append(f"{name} (version {version}) by {fields['worker']}, the owner was {owner or 'nobody'}")
    return wrong


def _claims(events: Sequence[Event]) -> list[str]:
    """Each attempt is begun once, and numbers only rise."""
    begun = [fields["attempt"] for _, name, fields in events if name == "attempt_started"]
    return [] if begun == sorted(set(begun)) else [f"attempts began as {begun}"]


def _bounds(events: Sequence[Event]) -> list[str]:
    """Lost attempts that count are at most as many as were allowed, and a teardown is tried at most twice elsewhere."""
    most = next((fields.get("max_attempts", 3) for _, name, fields in events if name == "requested"), 3)
    counted = sum(name == "requeued" and fields.get("counts", True) for _, name, fields in events)
    tries = [fields["number"] for _, name, fields in events if name == "teardown_started"]
    wrong = [f"{counted + 1} attempts that count, {most} are allowed"] if counted >= most else []
    return wrong + ([f"teardown was tried {max(tries)} times"] if max(tries, default=0) > TEARDOWNS else [])


def _drained(events: Sequence[Event]) -> list[str]:
    """An attempt that a worker gave back when it was asked to end does not count."""
    wrong, given_back = [], False
    for _, name, fields in events:
        if name == "attempt_abandoned":
            given_back = fields.get("why") == "drain"
        elif name == "requeued":
            wrong += ["an attempt that was given back counts"] if given_back and fields.get("counts", True) else []
            given_back = False
    return wrong


def _teardowns(events: Sequence[Event]) -> list[str]:
    """Whatever began a step has torn down (or was given up) before the next attempt and before the end."""
    wrong, stepped, torn = [], False, False
    for _, name, _ in events:
        if name == "attempt_started":
            stepped = torn = False
        elif name == "step_started":
            stepped = True
        elif name in ("teardown_finished", "teardown_given_up"):
            torn = True
        elif name in ("requeued", "finished") and stepped and not torn:
            wrong.append(f"{name} without teardown")
    return wrong
