"""The read side of a server process: queries of every read model, and waiting until they have reached a position."""

from __future__ import annotations

import asyncio
import re
import time
from functools import cached_property

from domain.errors import Conflict, Invalid
from interfaces.back_pressure import BackPressure
from interfaces.bootstrap import Platform
from projections.api_key_index import ApiKeyIndex
from projections.execution_details import ExecutionDetails
from projections.execution_list import ExecutionList
from projections.flow_list import FlowList
from projections.flow_revisions import FlowRevisions
from projections.live_feed import LiveFeed
from projections.positions import lag
from projections.registry import for_log
from projections.schedule_decisions import ScheduleDecisions
from projections.schedule_list import ScheduleList
from projections.suite_cases import SuiteCases
from projections.suite_run_list import SuiteRunList
from projections.workspace_members import WorkspaceMembers

WAIT_SECONDS = 5.0
FIRST_PAUSE, LAST_PAUSE = 0.01, 0.2
"""Seconds between two looks at the positions of read models, at first and at most."""
_POSITION = re.compile(r"(flows|executions|schedules|identity):([0-9]{1,18})")


class NotThereYet(Conflict):
    """The read models have not reached the position in time."""

    code = "position_not_reached"


class Reading:
    """Queries over the platform's databases."""

    def __init__(self, platform: Platform, *, wait_seconds: float = WAIT_SECONDS) -> None:
        self.platform = platform
        self.wait_seconds = wait_seconds

    @cached_property
    def flow_list(self) -> FlowList:
        """Flows."""
        return FlowList(self.platform.database("flows").pool)

    @cached_property
    def flow_revisions(self) -> FlowRevisions:
        """Revisions of flows."""
        return FlowRevisions(self.platform.database("flows").pool)

    @cached_property
    def execution_list(self) -> ExecutionList:
        """Executions."""
        return ExecutionList(self.platform.database("executions").pool)

    @cached_property
    def back_pressure(self) -> BackPressure:
        """What bounds the queue."""
        settings = self.platform.settings
        return BackPressure(self.execution_list.queued, settings.queue_limit, settings.workspace_queue_limit)

    @cached_property
    def execution_details(self) -> ExecutionDetails:
        """One execution in full."""
        return ExecutionDetails(self.platform.database("executions").pool)

    @cached_property
    def suite_run_list(self) -> SuiteRunList:
        """Suite runs."""
        return SuiteRunList(self.platform.database("executions").pool)

    @cached_property
    def suite_cases(self) -> SuiteCases:
        """Their cases."""
        return SuiteCases(self.platform.database("executions").pool)

    @cached_property
    def live_feed(self) -> LiveFeed:
        """Events for watchers."""
        return LiveFeed(self.platform.database("executions").pool, self.platform.logs["executions"].history)

    @cached_property
    def schedule_list(self) -> ScheduleList:
        """Schedules."""
        return ScheduleList(self.platform.database("schedules").pool)

    @cached_property
    def schedule_decisions(self) -> ScheduleDecisions:
        """What was decided about their ticks."""
        return ScheduleDecisions(self.platform.database("schedules").pool)

    @cached_property
    def api_keys(self) -> ApiKeyIndex:
        """Keys."""
        return ApiKeyIndex(self.platform.database("identity").pool)

    @cached_property
    def members(self) -> WorkspaceMembers:
        """Workspaces and members."""
        return WorkspaceMembers(self.platform.database("identity").pool)

    async def wait(self, token: str) -> None:
        """Return when every read model of the log has reached the position `log:number`; NotThereYet when they have not
        after `wait_seconds`. No thread and no connection is held meanwhile, so that many may wait."""
        log, number = parse_position(token)
        end = time.monotonic() + self.wait_seconds
        pause = FIRST_PAUSE
        while (found := await asyncio.to_thread(self._reached, log))[0] < number:
            left = end - time.monotonic()
            if left <= 0:
                raise _not_there(log, number, *found)
            await asyncio.sleep(min(pause, left))
            pause = min(2 * pause, LAST_PAUSE)

    def _reached(self, log: str) -> tuple[int, int]:
        """How far the slowest read model is, and the head of the log."""
        found = lag(self.platform.database(log).pool, for_log(log))
        return min(at for _, _, at, _ in found), max(head for *_, head in found)


def _not_there(log: str, number: int, reached: int, head: int) -> NotThereYet:
    if number > head:
        return NotThereYet(
            f"{log}:{number} is behind the newest event of this server, {log}:{head}",
            remedy="is it of another server, or from before a backup was restored? then ask without it",
        )
    return NotThereYet(
        f"the read models stand at {log}:{reached}, {number - reached} behind", remedy="ask again, or see `testmesh doctor`"
    )


def parse_position(token: str) -> tuple[str, int]:
    """The log and number of a position's token."""
    found = _POSITION.fullmatch(token)
    if found is None:
        raise Invalid("a position looks like executions:1842", code="invalid_position")
    return found[1], int(found[2])
