"""Claims: a worker begins what the queue rang for, with its lease row in the transaction of the event."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from application.log import GroupFull, Log, VersionConflict
from domain.events import Actor
from domain.execution import AttemptNotMine, Execution, ExecutionFinished
from domain.queueing import may_take

if TYPE_CHECKING:
    from application.ports import RunCommand


class UnknownExecution(Exception):
    """The log does not have the execution that a command names: it can never be run."""


class NotHere(Exception):
    """This worker does not have the labels that the execution asks for."""

    def __init__(self, execution: Execution) -> None:
        super().__init__(f"execution {execution.id} runs on {', '.join(execution.request.runs_on)}")
        self.execution = execution


class NeedsSolitude(Exception):
    """A worker was lost over this execution: it goes on in a process of its own."""


def claim(
    log: Log, command: RunCommand, worker: str, *, labels: Collection[str] | None = None, alone: bool = True
) -> Execution | None:
    """Begin the attempt or teardown for this worker; None when it is stale, another worker was faster, or a group is full
    (whoever gives a place up calls it again). `labels` are those of the worker, None where they do not matter; `alone` says
    that its process does nothing else. Raises UnknownExecution, NotHere and NeedsSolitude."""
    while True:
        try:
            return _claim(log, command, worker, labels, alone)
        except (AttemptNotMine, ExecutionFinished):
            return None
        except VersionConflict:
            continue  # what came between may be a cancel, and then the command still has to be obeyed
        except GroupFull:
            if not _room_by_now(log, command):
                return None


def _room_by_now(log: Log, command: RunCommand) -> bool:
    from application import group_places

    assert log.database is not None
    with log.database.pool.connection() as connection:
        return group_places.uncall(connection, command.execution)


def _claim(log: Log, command: RunCommand, worker: str, labels: Collection[str] | None, alone: bool) -> Execution:
    from application import leases  # local runs have none

    execution = log.find(Execution, command.execution)
    if execution is None:
        raise UnknownExecution(f"there is no execution {command.execution}")
    by = Actor(f"worker:{worker}", correlation=str(execution.id))
    suspect = execution.suspect
    if command.kind == "teardown":
        execution.start_teardown(by, command.attempt, worker, command.number)
    else:
        execution.start_attempt(by, command.attempt, worker)
    request = execution.request
    if labels is not None and not may_take(labels, request.runs_on):
        raise NotHere(execution)
    if suspect and not alone:
        raise NeedsSolitude
    seconds = request.teardown_timeout * (2 if execution.calls_open else 1)  # as much again for called flows
    seconds += request.timeout if command.kind == "attempt" else 0.0
    side = leases.take(execution.id, command.attempt, command.kind, worker, seconds, cancelled=execution.cancel_requested)
    log.put(execution, side=[side])
    return execution


def begin_local(log: Log, execution: Execution, worker: str) -> None:
    """Begin an attempt where the log is this process's own and there is nobody to lease it from."""
    execution.start_attempt(Actor(f"worker:{worker}", correlation=str(execution.id)), execution.attempt, worker)
    log.put(execution)
