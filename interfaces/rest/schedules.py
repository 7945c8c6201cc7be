"""Schedules over REST."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import islice
from typing import Any
from uuid import UUID

from application.executions import request_digest
from domain.cron import parse
from domain.duration import parse_duration
from domain.errors import Invalid, LimitExceeded, NotFound
from domain.limits import LIMITS
from domain.schedule import PLAN, due_at
from domain.suite_rules import check_time_limit
from interfaces.rest.call import Call, Reply, id_of, position_text
from interfaces.rest.executions import check_size, seconds_of
from interfaces.rest.suite_runs import SELECTION, matrix_of, pushed_flows, selected

ROUTE = "POST /schedules"


async def page(call: Call) -> Reply:
    """A page of schedules, or those called exactly so."""
    query = call.query
    if query.called is not None:
        rows = await call.run(call.reading.schedule_list.find, call.workspace, query.called)
        return Reply({"items": [_shown(row) for row in rows], "next_cursor": None})
    found = await call.run(
        call.reading.schedule_list.page,
        call.workspace,
        flow=query.flow,
        paused=query.paused,
        cursor=query.cursor,
        limit=query.limit,
    )
    return Reply({"items": [_shown(row) for row in found.items], "next_cursor": found.next_cursor})


async def one(call: Call) -> Reply:
    """One schedule."""
    return Reply(_shown(await _row(call)))


async def create(call: Call) -> Reply:
    """Make a schedule. Durable when this answers; the same Idempotency-Key again gives the same answer."""
    if call.body.selection is not None:
        await pushed_flows(call)
    id, position = await call.run(_create, call)
    body = {"id": str(id), "position": position_text("schedules", position)}
    where = {"Location": f"/api/v1/workspaces/{call.workspace}/schedules/{id}"}
    return Reply(body, 201, ("schedules", position), where)


def _create(call: Call) -> tuple[UUID, int]:
    plan = _given(call.body)
    digest = request_digest(call.workspace, call.caller.key_id, ROUTE, plan)

    def may() -> None:
        if call.reading.schedule_list.count(call.workspace) >= LIMITS.schedules:
            raise LimitExceeded(f"a workspace may have {LIMITS.schedules:,} schedules", remedy="delete one that is not needed")
        _check_selection(call, plan)

    made: tuple[UUID, int] = call.platform.schedules.create(
        call.by, call.workspace, _checked(plan), idempotency_key=call.idempotency_key, digest=digest, may=may
    )
    return made


def _check_selection(call: Call, plan: Mapping[str, Any]) -> None:
    """NotFound when it means no flow today: it may mean others at each tick, but a typing error means none for ever."""
    if selection := plan.get("selection"):
        selected(call, {name: selection[name] for name in SELECTION if name in selection})


def _given(body: Any) -> dict[str, Any]:
    """The fields of a plan that were given; without `selection` where there is none, as it was before there were any."""
    plan = {name: value for name in PLAN if (value := getattr(body, name)) is not None}
    if "selection" in plan:
        selection = plan["selection"]
        given = {name: value for name in selection.__dataclass_fields__ if (value := getattr(selection, name))}
        if not given.keys() & {"project", "folder", "suite", "tags"}:
            raise Invalid("a selection says which flows: project, folder, suite or tags", code="nothing_selected")
        plan["selection"] = {**given, "matrix": matrix_of(given.get("matrix", {}))}
        check_time_limit(seconds_of(given.get("timeout"), "selection.timeout") or 0.0)
    return plan


def _checked(plan: dict[str, Any]) -> dict[str, Any]:
    """The fields as the domain has them."""
    if plan.get("variables") is not None:
        check_size(plan["variables"])
    if plan.get("jitter") is not None:
        try:
            plan = {**plan, "jitter": parse_duration(plan["jitter"])}
        except ValueError as error:
            raise Invalid(f"jitter: {error}", code="invalid_jitter") from None
    return plan


async def change(call: Call) -> Reply:
    """Change some fields."""
    id = id_of(call.path["schedule"], "schedule")
    changes = _given(call.body)
    if changes.get("selection"):
        await pushed_flows(call)
        await call.run(_check_selection, call, changes)
    position = await call.run(call.platform.schedules.change, call.by, call.workspace, id, _checked(changes))
    return Reply({"id": str(id)}, position=("schedules", position))


async def pause(call: Call) -> Reply:
    """Let it stand still."""
    id = id_of(call.path["schedule"], "schedule")
    position = await call.run(call.platform.schedules.pause, call.by, call.workspace, id, call.body.reason)
    return Reply({"paused": True}, position=("schedules", position))


async def resume(call: Call) -> Reply:
    """Let it go on."""
    id = id_of(call.path["schedule"], "schedule")
    position = await call.run(call.platform.schedules.resume, call.by, call.workspace, id)
    return Reply({"paused": False}, position=("schedules", position))


async def delete(call: Call) -> Reply:
    """End it."""
    id = id_of(call.path["schedule"], "schedule")
    position = await call.run(call.platform.schedules.delete, call.by, call.workspace, id)
    return Reply({"id": str(id), "deleted": True}, position=("schedules", position))


async def firings(call: Call) -> Reply:
    """The next ticks; those of a paused schedule as they would be if it were resumed now."""
    row = await _row(call)
    cron, id = parse(row["cron"], row["time_zone"]), UUID(row["id"])
    after = max(row["considered"], datetime.now(UTC))
    ticks = await call.run(lambda: list(islice(cron.ticks(after), call.query.count)))
    items = [
        {"tick": tick, "local": tick.astimezone(cron.zone).isoformat(), "due": due_at(id, tick, row["jitter"])}
        for tick in ticks
    ]
    return Reply({"items": items, "paused": row["paused"]})


async def decisions(call: Call) -> Reply:
    """A page of decisions."""
    row, query = await _row(call), call.query
    found = await call.run(
        call.reading.schedule_decisions.page,
        call.workspace,
        row["id"],
        decision=query.decision,
        cursor=query.cursor,
        limit=query.limit,
    )
    return Reply({"items": found.items, "next_cursor": found.next_cursor})


async def _row(call: Call) -> dict[str, Any]:
    id = id_of(call.path["schedule"], "schedule")
    row: dict[str, Any] | None = await call.run(call.reading.schedule_list.get, call.workspace, id)
    if row is None:
        raise NotFound(f"there is no schedule {id} in this workspace")
    return row


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """A row with the tick that comes next; None while it is paused, or where this server does not know its zone."""
    try:
        cron = parse(row["cron"], row["time_zone"])
        tick = None if row["paused"] else cron.next(max(row["considered"], datetime.now(UTC)))
    except Invalid:
        tick = None
    return {**row, "next_tick": tick}
