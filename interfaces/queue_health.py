"""How the queue does: what waits, what no worker can take, groups, leases; for `testmesh doctor` and the metrics."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from application import dispatch, group_places, worker_list
from application.waiting import missing_labels
from domain.queueing import may_take
from domain.values import dataclass
from interfaces.bootstrap import Platform
from projections.execution_list import ExecutionList


@dataclass(frozen=True, slots=True)
class QueueHealth:
    """`waiting` executions, the oldest for `oldest` seconds, of which `stuck` ask for labels that no live worker has (`lacking`
    says which); `held` places of groups, and `for_groups` executions that wait for one, the oldest for `oldest_for_groups`
    seconds; `workers` that live with `room` for more, `quiet` of which have not beaten for the time of a lease (their room does
    not count); `unattended` is for how many seconds the oldest has waited that needs no group and that a worker with room may
    take; `leases`, and `silent` ones among them."""

    waiting: int
    oldest: float
    stuck: int
    lacking: tuple[str, ...]
    held: int
    for_groups: int
    oldest_for_groups: float
    workers: int
    room: int
    quiet: int
    unattended: float
    leases: int
    silent: int


@dataclass(frozen=True, slots=True)
class Dispatching:
    """How far the dispatcher is in the log, how many events that it acts on it is `behind`, and whom it has yet to call
    although there is a place in their groups."""

    position: int
    behind: int
    uncalled: frozenset[UUID]


def dispatching(platform: Platform) -> Dispatching:
    """As it is now; what is behind or uncalled for more than a moment says that nobody dispatches."""
    with platform.database("executions").pool.connection() as connection:
        uncalled = group_places.callable_now(connection)
        return Dispatching(*dispatch.lag(connection), frozenset(id for id, _, _ in uncalled))


def queue_health(platform: Platform) -> QueueHealth:
    """As it is now."""
    executions = ExecutionList(platform.readers("executions").pool)
    asked, free = executions.waiting_by_labels(), executions.waiting_by_labels(in_groups=False)
    with platform.database("executions").pool.connection() as connection:
        live = worker_list.live(connection)
        held, for_groups, oldest_for_groups = group_places.totals(connection)
        leases = connection.execute(
            "SELECT count(*), count(*) FILTER (WHERE clock_timestamp() - beat > make_interval(secs => %s))"
            " FROM executions.leases",
            (platform.settings.lease,),
        ).fetchone() or (0, 0)
    stuck = [(labels, count) for labels, count, _ in asked if not any(may_take(worker.labels, labels) for worker in live)]
    now = datetime.now(UTC)
    awake = [worker for worker in live if worker.silent <= platform.settings.lease]
    roomy = [worker for worker in awake if worker.running < worker.concurrency]
    takeable = [since for labels, _, since in free if any(may_take(worker.labels, labels) for worker in roomy)]
    return QueueHealth(
        sum(count for _, count, _ in asked),
        max(((now - since).total_seconds() for _, _, since in asked), default=0.0),
        sum(count for _, count in stuck),
        tuple(missing_labels(live, labels) for labels, _ in stuck if labels),
        held,
        for_groups,
        oldest_for_groups,
        len(live),
        sum(worker.concurrency - worker.running for worker in roomy),
        len(live) - len(awake),
        max(((now - since).total_seconds() for since in takeable), default=0.0),
        *leases,
    )
