"""Why an execution waits, in words that people can act on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from application import group_places, leases, worker_list
from application.group_places import Wait
from application.worker_list import LiveWorker
from domain.queueing import WORKSPACE_GROUP, may_take

if TYPE_CHECKING:
    import psycopg

SHOWN_HOLDERS = 3


def reasons(connection: psycopg.Connection[Any], execution: UUID, runs_on: Sequence[str]) -> list[str]:
    """What an execution waits for now: places in groups, then a worker."""
    found = [_of_group(wait) for wait in group_places.waits_of(connection, execution)]
    return [*found, *_of_workers(worker_list.live(connection), runs_on, bool(found))]


def _of_group(wait: Wait) -> str:
    what = "the workspace's quota" if wait.name == WORKSPACE_GROUP else f"the group {wait.name}"
    shown = [str(id) for id in wait.holders[:SHOWN_HOLDERS]]
    more = [f"{wait.held - SHOWN_HOLDERS} more"] if wait.held > SHOWN_HOLDERS else []
    held = f"is held by {', '.join([*shown, *more])}" if wait.holders else "has others first"
    return f"{what} (max {wait.max}) {held}" + (f", {wait.ahead} before it" if wait.ahead else "")


def _of_workers(live: Sequence[LiveWorker], runs_on: Sequence[str], waits_for_place: bool) -> list[str]:
    """What the workers that live can say."""
    able = [worker for worker in live if may_take(worker.labels, runs_on)]
    if not live:
        return ["no worker is running"]
    if not able:
        return [f"no worker has {missing_labels(live, runs_on)}"]
    if waits_for_place:
        return []
    awake = [worker for worker in able if worker.silent <= leases.LEASE_SECONDS]
    if not awake:
        return [f"every worker that may take it is silent ({len(able)})"]
    free = sum(max(0, worker.concurrency - worker.running) for worker in awake)
    return ["a worker will take it soon"] if free else [f"every worker that may take it is busy ({len(able)})"]


def missing_labels(live: Sequence[LiveWorker], runs_on: Sequence[str]) -> str:
    """The labels that nobody has, or all that nobody has together."""
    everywhere = {label for worker in live for label in worker.labels}
    lacking = [label for label in runs_on if label not in everywhere]
    if len(lacking) == 1:
        return f"the label {lacking[0]}"
    return f"the labels {', '.join(lacking or runs_on)}" + ("" if lacking else " together")
