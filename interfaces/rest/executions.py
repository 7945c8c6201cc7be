"""Executions over REST."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from typing import Any
from uuid import UUID

import orjson

from application.actions.registry import ACTIONS
from application.bundles import Bundle, checked_bundle
from application.executions import RunRequest, request_digest
from application.flow_documents import read_flow
from application.queueing import Wish
from application.suite_plan import row_variables, rows_of
from application.waiting import reasons
from domain.definition import FlowDefinition
from domain.duration import parse_duration
from domain.errors import Invalid, LimitExceeded, NotFound, Refusal
from domain.limits import LIMITS
from domain.queueing import Group, checked_labels
from interfaces.reading import Reading, parse_position
from interfaces.rest.bodies import RequestExecution, RequestSuiteRun
from interfaces.rest.call import Call, Reply, id_of, position_text
from interfaces.rest.sent_files import contents

ROUTE = "POST /executions"
_LATER = ("path", "files", "priority", "runs_on", "concurrency", "queue_timeout")


class Resync(Refusal):
    """Nobody can go on without a gap from this position."""

    kind = "conflict"
    code = "resync"


async def page(call: Call) -> Reply:
    """A page of executions."""
    query = call.query
    found = await call.run(
        call.reading.execution_list.page,
        call.workspace,
        status=query.status,
        verdict=query.verdict,
        flow=query.flow,
        tag=query.tag,
        trigger=query.trigger,
        cursor=query.cursor,
        limit=query.limit,
    )
    return Reply({"items": found.items, "next_cursor": found.next_cursor})


async def one(call: Call) -> Reply:
    """Everything about one execution."""
    row = await call.run(call.reading.execution_details.get, call.workspace, id_of(call.path["execution"], "execution"))
    if row is None:
        raise NotFound(f"there is no execution {call.path['execution'][:64]} in this workspace")
    return Reply({**row, "waiting_for": await call.run(_waiting_for, call, row)})


def _waiting_for(call: Call, row: Mapping[str, Any]) -> list[str]:
    """Why it waits, if it does."""
    if row["status"] not in ("queued", "owes_teardown"):
        return []
    with call.platform.database("executions").pool.connection() as connection:
        return reasons(connection, UUID(row["id"]), row["runs_on"])


async def request(call: Call) -> Reply:
    """Accept a run. Durable when this answers; the same Idempotency-Key again gives the same answer."""
    id, position = await call.run(_accept, call)
    body = {"id": str(id), "position": position_text("executions", position)}
    return Reply(body, 202, ("executions", position), {"Location": f"/api/v1/workspaces/{call.workspace}/executions/{id}"})


def _accept(call: Call) -> tuple[UUID, int]:
    """What was accepted before stays accepted, even if the flow could not be run any more."""
    executions = call.platform.executions
    digest = request_digest(call.workspace, call.caller.key_id, ROUTE, _plain(call.body))
    if call.idempotency_key is not None:
        before: tuple[UUID, int] | None = executions.accepted(call.workspace, call.idempotency_key, digest)
        if before is not None:
            return before
    call.reading.back_pressure.check(call.workspace)
    accepted: tuple[UUID, int] = executions.request(call.by, _wanted(call, digest))
    call.reading.back_pressure.accepted(call.workspace)
    return accepted


def _wanted(call: Call, digest: str) -> RunRequest:
    body = call.body
    if (body.flow is None) == (body.document is None):
        raise Invalid("give `flow` (an id) or `document` (a text), one of them", code="invalid_body")
    check_size(body.variables)
    more: dict[str, Any] = {
        "variables": body.variables,
        "tags": body.tags,
        "trigger": body.trigger,
        "seed": body.seed,
        "case": body.case,
        "idempotency_key": call.idempotency_key,
        "digest": digest,
        "wish": wish_of(body),
    }
    if body.flow is not None:
        if body.files or body.path is not None:
            raise Invalid(
                "`files` and `path` belong to `document`; a flow has those that it was pushed with", code="invalid_body"
            )
        definition, text, pinned, bundle = call.platform.flows.runnable(call.workspace, id_of(body.flow, "flow"), body.revision)
        more["variables"] = _row_variables(definition, bundle, body)
        return RunRequest(call.workspace, definition, text, pinned, bundle=bundle, **more)
    if body.revision is not None:
        raise Invalid("`revision` belongs to `flow`; a `document` has none", code="invalid_body")
    definition, _ = read_flow(body.document, file=body.file or "<document>", actions=ACTIONS)
    bundle = _bundle(body)
    more["variables"] = _row_variables(definition, bundle, body)
    return RunRequest(call.workspace, definition, body.document, bundle=bundle, **more)


def _row_variables(definition: FlowDefinition, bundle: Bundle, body: RequestExecution) -> dict[str, Any]:
    """The variables of the run, with those of its row: a flow with rows of data runs for one of them. Whoever has read the
    rows sends the values along, as `row` among the variables."""
    if definition.data is None or "row" in body.variables:
        return dict(body.variables)
    if not body.case:
        raise Invalid(
            f"{definition.name} has rows of data, and an execution is for one of them",
            code="has_rows",
            remedy="name the row with `case`, or run all of them with POST /suite-runs",
        )
    for row in rows_of(definition, bundle):
        if row.key == body.case:
            variables = {**row_variables(row), **body.variables}
            check_size(variables)
            return variables
    raise NotFound(f"{definition.name} has no row {body.case!r}", code="no_such_row")


def wish_of(body: RequestExecution | RequestSuiteRun) -> Wish:
    """What a body says about waiting."""
    group, given = None, body.concurrency
    if given is not None:
        timeout = seconds_of(given.timeout, "concurrency.timeout") or 0.0
        group = Group(given.group, given.max, given.when_full, timeout)
    labels = checked_labels(body.runs_on, "runs_on")
    return Wish(body.priority, labels, group, seconds_of(body.queue_timeout, "queue_timeout"))


def seconds_of(text: str | None, where: str) -> float | None:
    """A duration of a body; Invalid names the field."""
    try:
        return parse_duration(text) if text is not None else None
    except ValueError as error:
        raise Invalid(f"{where}: {error}", code="invalid_field") from error


def _bundle(body: RequestExecution) -> Bundle:
    if not body.files:
        return Bundle()
    if body.path is None:
        raise Invalid("`path` must say where the document stands among its `files`", code="missing_field")
    return checked_bundle(body.path, contents(body.files))


def check_size(variables: dict[str, Any]) -> None:
    """Variables stand in the first event, which has its limit."""
    size, most = len(orjson.dumps(variables)), LIMITS.event_bytes * 3 // 4
    if size > most:
        raise LimitExceeded(f"the variables may have {most} bytes, these have {size}", remedy="put large data into a file")


def _plain(body: Any) -> dict[str, Any]:
    """The request as its digest has it: what came later is left out where it is not given, as it was before."""
    fields = {name: getattr(body, name) for name in body.__dataclass_fields__}
    return {name: given for name, given in fields.items() if given or name not in _LATER}


async def source(call: Call) -> Reply:
    """The text that the execution is pinned to."""
    id = id_of(call.path["execution"], "execution")

    def read() -> str:
        executions = call.platform.executions
        text: str = executions.source(executions.get(call.workspace, id))
        return text

    return Reply(await call.run(read), content_type="application/yaml; charset=utf-8")


async def cancel(call: Call) -> Reply:
    """Ask an execution to stop."""
    id = id_of(call.path["execution"], "execution")
    position = await call.run(call.platform.executions.cancel, call.by, call.workspace, id, call.body.reason)
    return Reply({"id": str(id)}, 202, ("executions", position))


async def events(call: Call) -> Reply:
    """The events of one execution after a position."""
    id = id_of(call.path["execution"], "execution")
    row = await call.run(call.reading.execution_list.get, call.workspace, id)
    if row is None:
        raise NotFound(f"there is no execution {id} in this workspace")
    return await events_of(call, [id])


def check_position(reading: Reading, after: int, *, whole: bool) -> None:
    """Raise Resync unless whoever has seen this position can go on there without a gap. All events of an execution or a suite
    run are there; those of the `whole` workspace are kept for some days."""
    if whole and reading.live_feed.expired(after):
        raise Resync("events this old are not kept in the feed any more; read the executions, then follow from now")
    if after > (head := reading.platform.logs["executions"].head()):
        raise Resync(
            f"executions:{after} is behind the newest event of this server, executions:{head}: it is of another server, or from"
            " before a backup was restored; read the executions, then follow from now"
        )


async def feed(call: Call) -> Reply:
    """The events of the whole workspace after a position."""
    return await events_of(call, None)


async def events_of(call: Call, executions: Collection[str | UUID] | None, begin: int = 0) -> Reply:
    """The events of these executions and suite runs, or of all, after the position that the query names; there are none
    before `begin`."""
    after = feed_position(call.query.after)
    live = call.reading.live_feed
    if after:
        await call.run(partial(check_position, call.reading, after, whole=executions is None))
    found = await call.run(live.after, call.workspace, max(after, begin), executions=executions, limit=call.query.limit)
    items = [{"position": position_text("executions", row["feed_id"]), **row} for row in found]
    return Reply({"items": items, "next": items[-1]["position"] if items else call.query.after})


def feed_position(token: str | None) -> int:
    """The number of a feed position; 0 for none."""
    if token is None:
        return 0
    log, number = parse_position(token)
    if log != "executions":
        raise Invalid("the feed's positions look like executions:1842", code="invalid_position")
    return number
