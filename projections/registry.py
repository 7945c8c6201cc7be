"""The one table of projections."""

from __future__ import annotations

from projections.api_key_index import ApiKeyIndexProjection
from projections.execution_details import ExecutionDetailsProjection
from projections.execution_list import ExecutionListProjection
from projections.flow_list import FlowListProjection
from projections.flow_revisions import FlowRevisionsProjection
from projections.live_feed import LiveFeedProjection
from projections.schedule_decisions import ScheduleDecisionsProjection
from projections.schedule_list import ScheduleListProjection
from projections.suite_cases import SuiteCasesProjection
from projections.suite_run_list import SuiteRunListProjection
from projections.view import Projection
from projections.workspace_members import WorkspaceMembersProjection

PROJECTIONS: tuple[Projection, ...] = (
    FlowListProjection(),
    FlowRevisionsProjection(),
    ExecutionListProjection(),
    ExecutionDetailsProjection(),
    SuiteRunListProjection(),
    SuiteCasesProjection(),
    LiveFeedProjection(),
    ScheduleListProjection(),
    ScheduleDecisionsProjection(),
    ApiKeyIndexProjection(),
    WorkspaceMembersProjection(),
)
"""A projection stands after those that it follows."""
LOGS: tuple[str, ...] = tuple(dict.fromkeys(projection.log for projection in PROJECTIONS))
"""The logs that are followed."""


def for_log(log: str) -> tuple[Projection, ...]:
    """The projections of a log."""
    return tuple(projection for projection in PROJECTIONS if projection.log == log)


def statements() -> list[str]:
    """Every statement of the read side, each of which may run again, once the logs' own tables exist."""
    return [projection.ddl() for projection in PROJECTIONS]
