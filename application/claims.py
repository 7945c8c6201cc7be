"""Claims: a worker begins what the queue rang for, with its lease row in the transaction of the event."""

from __future__ import annotations

from typing import TYPE_CHECKING

from application.log import Log, VersionConflict
from domain.events import Actor
from domain.execution import AttemptNotMine, Execution, ExecutionFinished

if TYPE_CHECKING:
    from application.ports import RunCommand


class UnknownExecution(Exception):
    """The log does not have the execution that a command names: it can never be run."""


def claim(log: Log, command: RunCommand, worker: str) -> Execution | None:
    """Begin the attempt or teardown for this worker; None when it is stale or another worker was faster."""
    while True:
        try:
            return _claim(log, command, worker)
        except (AttemptNotMine, ExecutionFinished):
            return None
        except VersionConflict:
            continue  # what came between may be a cancel, and then the command still has to be obeyed


def _claim(log: Log, command: RunCommand, worker: str) -> Execution:
    from application import leases  # local runs have none

    execution = log.find(Execution, command.execution)
    if execution is None:
        raise UnknownExecution(f"there is no execution {command.execution}")
    by = Actor(f"worker:{worker}", correlation=str(execution.id))
    if command.kind == "teardown":
        execution.start_teardown(by, command.attempt, worker, command.number)
    else:
        execution.start_attempt(by, command.attempt, worker)
    request = execution.request
    seconds = request.teardown_timeout * (2 if execution.calls_open else 1)  # as much again for called flows
    seconds += request.timeout if command.kind == "attempt" else 0.0
    side = leases.take(execution.id, command.attempt, command.kind, worker, seconds, cancelled=execution.cancel_requested)
    log.put(execution, side=[side])
    return execution


def begin_local(log: Log, execution: Execution, worker: str) -> None:
    """Begin an attempt where the log is this process's own and there is nobody to lease it from."""
    execution.start_attempt(Actor(f"worker:{worker}", correlation=str(execution.id)), execution.attempt, worker)
    log.put(execution)
