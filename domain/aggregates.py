"""The one table of aggregates by domain: importing it makes every stored topic known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from eventsourcing.domain import Aggregate

from domain.api_key import ApiKey
from domain.execution import Execution
from domain.flow import Flow
from domain.once_step import OnceStep
from domain.schedule import Schedule
from domain.suite_run import SuiteRun
from domain.user import User
from domain.workspace import Workspace

AGGREGATES: Mapping[str, tuple[type[Aggregate], ...]] = {
    "flows": (Flow,),
    "executions": (Execution, SuiteRun, OnceStep),
    "schedules": (Schedule,),
    "identity": (Workspace, User, ApiKey),
}


def event_classes() -> Iterator[type[Any]]:
    """Every event class that may stand in a log."""
    for aggregates in AGGREGATES.values():
        for aggregate in aggregates:
            seen = set()
            for value in vars(aggregate).values():
                if isinstance(value, type) and issubclass(value, Aggregate.Event) and "TOPIC" in vars(value):
                    if value not in seen:
                        yield value
                    seen.add(value)
