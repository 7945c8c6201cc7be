"""Commands on schedules: create, change, pause, resume, delete."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid4, uuid5

from application.executions import IdempotencyKeyReused
from application.flows import Flows
from application.log import Log, VersionConflict
from application.suite_plan import cells_of
from application.tag_expression import parse_tags
from domain.errors import Conflict, NotFound
from domain.events import Actor
from domain.schedule import Schedule


def schedule_uuid(workspace: str, idempotency_key: str | None) -> UUID:
    """Random, or derived from the key so that creating twice makes one schedule."""
    return uuid5(NAMESPACE_URL, f"testmesh:schedule:{workspace}:{idempotency_key}") if idempotency_key else uuid4()


class Schedules:
    """The commands that faces use. `now` gives aware UTC time; `flows` says which flows can run."""

    def __init__(self, log: Log, flows: Flows, now: Callable[[], datetime]) -> None:
        self.log = log
        self._flows = flows
        self._now = now

    def create(
        self,
        by: Actor,
        workspace: str,
        plan: Mapping[str, Any],
        *,
        idempotency_key: str | None = None,
        digest: str = "",
        may: Callable[[], None] = lambda: None,
    ) -> tuple[UUID, int]:
        """Make a schedule whose ticks count from now on: its id and the position of the event. `plan` has the fields of
        `domain.schedule.PLAN`; the same key again gives the same answer for the same request, a refusal for another.
        `may` raises where there may be no more schedules."""
        id = schedule_uuid(workspace, idempotency_key)
        before = self.log.find(Schedule, id) if idempotency_key else None
        if before is None:
            may()
            self._check(workspace, plan)
            made = Schedule.create(by, id=id, workspace=workspace, since=self._now(), request_digest=digest, **plan)
            try:
                return id, self.log.put(made)
            except VersionConflict:
                before = self.log.load(Schedule, id)
        if before.request_digest != digest:
            raise IdempotencyKeyReused("this Idempotency-Key was used for another request; use a new key for a new request")
        return id, self.log.position_of(id)

    def change(self, by: Actor, workspace: str, id: UUID, changes: Mapping[str, Any]) -> int:
        """Give fields of the plan new values. Where ticks move, they count from now on."""
        if changes.get("flow") or changes.get("selection"):
            changes = {"flow": "", "selection": {}, **changes}  # one takes the place of the other
            self._check(workspace, changes)
        return self._command(workspace, id, lambda schedule: schedule.change(by, self._now(), **changes))

    def pause(self, by: Actor, workspace: str, id: UUID, reason: str) -> int:
        """Let nothing start until it is resumed."""
        return self._command(workspace, id, lambda schedule: schedule.pause(by, reason))

    def resume(self, by: Actor, workspace: str, id: UUID) -> int:
        """Let ticks count again, from now on."""
        return self._command(workspace, id, lambda schedule: schedule.resume(by, self._now()))

    def delete(self, by: Actor, workspace: str, id: UUID) -> int:
        """End it; executions that it started go on, and its history stays."""
        return self._command(workspace, id, lambda schedule: schedule.delete(by))

    def get(self, workspace: str, id: UUID) -> Schedule:
        """The schedule, if it is one of this workspace and not deleted."""
        schedule = self.log.find(Schedule, id)
        if schedule is None or schedule.workspace != workspace or schedule.deleted:
            raise NotFound(f"there is no schedule {id} in this workspace")
        return schedule

    def _command(self, workspace: str, id: UUID, command: Callable[[Schedule], None]) -> int:
        while True:
            schedule = self.get(workspace, id)
            command(schedule)
            try:
                return self.log.put(schedule)
            except VersionConflict:
                continue

    def _check(self, workspace: str, plan: Mapping[str, Any]) -> None:
        if plan["flow"]:
            self._check_flow(workspace, plan["flow"])
        else:
            selection = plan.get("selection") or {}
            if selection.get("tags"):
                parse_tags(selection["tags"])
            cells_of(selection.get("matrix") or {})

    def _check_flow(self, workspace: str, flow: str) -> None:
        try:
            found = self._flows.get(workspace, UUID(flow))
        except ValueError:
            raise NotFound(f"there is no flow {flow[:64]} in this workspace") from None
        if found.archived:
            raise Conflict(f"flow {found.name} is archived; restore it before you schedule it", code="flow_archived")
