"""Calls executions whose turn in their concurrency groups has come, says which of them go first, and cancels those that newer
ones replace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from application import group_places
from application.executions import cancel
from application.log import Log
from application.ports import CommandQueue, RunCommand
from domain.events import Actor
from domain.execution import ExecutionFinished
from domain.queueing import FIRST

BY = Actor("dispatcher")


def call_waiting(log: Log, queue: CommandQueue) -> int:
    """Send every waiting execution for which there is a place, and then note that; how many."""
    assert log.database is not None
    with log.database.pool.connection() as connection:
        found = group_places.callable_now(connection)
        round = group_places.round_of_calls(connection) if found else 0
    if found:
        queue.send(ranked(log, [RunCommand(id, 1, priority=priority, runs_on=runs_on) for id, priority, runs_on in found]))
        with log.database.pool.connection() as connection:
            group_places.mark_called(connection, [id for id, _, _ in found], round)
    return len(found)


def ranked(log: Log, commands: Sequence[RunCommand]) -> list[RunCommand]:
    """These commands with the priority by which they are to be sent. Who is in a group and is waited for there goes first: its
    place would stand empty while it stands behind everything that waits for a worker."""
    assert log.database is not None
    with log.database.pool.connection() as connection:
        first = group_places.waited_for(connection, [command.execution for command in commands])
    return [replace(command, priority=FIRST) if command.execution in first else command for command in commands]


def cancel_older(log: Log, id: UUID, name: str) -> None:
    """Ask those to stop that were in the group before this execution and leave it no place."""
    assert log.database is not None
    with log.database.pool.connection() as connection:
        found = group_places.older(connection, id, name)
    for older in found:
        try:
            cancel(log, BY, older, f"execution {id} is newer in the group {name}")
        except ExecutionFinished:
            continue


def groups_in_use(log: Log) -> bool:
    """Whether anybody holds a place or waits for one."""
    assert log.database is not None
    with log.database.pool.connection() as connection:
        return group_places.in_use(connection)
