"""The read side of a server process: queries of every read model, and waiting until they have reached a position."""

from __future__ import annotations

from functools import cached_property

from domain.errors import Conflict, Invalid
from interfaces.bootstrap import Platform
from projections.api_key_index import ApiKeyIndex
from projections.execution_details import ExecutionDetails
from projections.execution_list import ExecutionList
from projections.flow_list import FlowList
from projections.flow_revisions import FlowRevisions
from projections.live_feed import LiveFeed
from projections.positions import position, wait_for
from projections.registry import for_log
from projections.workspace_members import WorkspaceMembers

WAIT_SECONDS = 5.0


class NotThereYet(Conflict):
    """The read models have not reached the position in time."""

    code = "position_not_reached"


class Reading:
    """Queries over the platform's databases."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform

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
    def execution_details(self) -> ExecutionDetails:
        """One execution in full."""
        return ExecutionDetails(self.platform.database("executions").pool)

    @cached_property
    def live_feed(self) -> LiveFeed:
        """Events for watchers."""
        return LiveFeed(self.platform.database("executions").pool)

    @cached_property
    def api_keys(self) -> ApiKeyIndex:
        """Keys."""
        return ApiKeyIndex(self.platform.database("identity").pool)

    @cached_property
    def members(self) -> WorkspaceMembers:
        """Workspaces and members."""
        return WorkspaceMembers(self.platform.database("identity").pool)

    def wait(self, token: str, seconds: float = WAIT_SECONDS) -> None:
        """Return when every read model of the log has reached the position `log:number`; NotThereYet after `seconds`."""
        log, number = parse_position(token)
        database = self.platform.database(log)
        names = [projection.name for projection in for_log(log)]
        if not wait_for(database.pool, database.connect, log, names, number, seconds):
            reached = min(position(database.pool, log, name) for name in names)
            raise NotThereYet(
                f"the read models stand at {log}:{reached}, {number - reached} behind; ask again, or see `testmesh doctor`"
            )


def parse_position(token: str) -> tuple[str, int]:
    """The log and number of a position's token."""
    log, colon, number = token.partition(":")
    if not colon or log not in ("flows", "executions", "identity") or not number.isdigit() or len(number) > 18:
        raise Invalid("a position looks like executions:1842", code="invalid_position")
    return log, int(number)
