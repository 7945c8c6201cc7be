"""The table of routes: validation, OpenAPI and the authorisation matrix all come from it."""

from __future__ import annotations

from importlib.metadata import version

from domain.limits import LIMITS
from interfaces.rest import executions, flows, identity, operations, queue, schedules
from interfaces.rest.bodies import (
    ChangeSchedule,
    CreateSchedule,
    DeadLettersQuery,
    DecisionsQuery,
    EventsQuery,
    ExecutionsQuery,
    FlowsQuery,
    GroupsQuery,
    IssueKey,
    KeysQuery,
    Member,
    NextQuery,
    Pause,
    Push,
    RequestExecution,
    SchedulesQuery,
    SourceQuery,
    Stop,
    Tags,
)
from interfaces.rest.call import Call, Reply
from interfaces.rest.openapi import document, page
from interfaces.rest.route import Route

HOME = "/api/v1"
ROOM = HOME + "/workspaces/<workspace>"
LETTERS = HOME + "/operations/dead-letters"


async def openapi(call: Call) -> Reply:
    """The description, made from this table."""
    return Reply(document(ROUTES, version("testmesh")))


async def docs(call: Call) -> Reply:
    """The description as a page without scripts."""
    return Reply(page(ROUTES, version("testmesh")), content_type="text/html; charset=utf-8")


ROUTES: tuple[Route, ...] = (
    Route("GET", "/health", operations.health, "Whether the process lives.", access="anonymous"),
    Route("GET", "/ready", operations.ready, "Whether it can serve; 503 when not.", access="anonymous", errors=(503,)),
    Route("GET", HOME + "/openapi.json", openapi, "This description.", access="anonymous"),
    Route("GET", HOME + "/docs", docs, "This description as a page.", access="anonymous", media="text/html"),
    Route("GET", HOME + "/whoami", identity.whoami, "The key's workspace, user and scopes."),
    Route("GET", ROOM, identity.workspace, "The workspace."),
    Route("GET", ROOM + "/members", identity.members, "Who belongs to it.", scope="admin"),
    Route("PUT", ROOM + "/members", identity.put_member, "Add a user or change the role.", scope="admin", body=Member),
    Route("DELETE", ROOM + "/members/<user>", identity.remove_member, "Remove a user.", scope="admin", errors=(409,)),
    Route("GET", ROOM + "/keys", identity.keys, "API keys, without their secrets.", scope="admin", query=KeysQuery),
    Route(
        "POST",
        ROOM + "/keys",
        identity.issue_key,
        "Make a key; its text is in this answer alone.",
        scope="admin",
        body=IssueKey,
        status=201,
    ),
    Route("DELETE", ROOM + "/keys/<key>", identity.revoke_key, "End a key.", scope="admin"),
    Route("GET", ROOM + "/flows", flows.page, "Flows by name.", scope="flows:read", query=FlowsQuery),
    Route(
        "POST",
        ROOM + "/flows",
        flows.push,
        "Register or revise flows; none is stored unless all are valid.",
        scope="flows:write",
        body=Push,
        body_limit=2 * LIMITS.push_bytes,
    ),
    Route("GET", ROOM + "/flows/<flow>", flows.one, "One flow by id.", scope="flows:read"),
    Route("GET", ROOM + "/flows/<flow>/revisions", flows.revisions, "Its revisions.", scope="flows:read"),
    Route(
        "GET",
        ROOM + "/flows/<flow>/source",
        flows.source,
        "The exact text of a revision.",
        scope="flows:read",
        query=SourceQuery,
        media="application/yaml",
    ),
    Route("PUT", ROOM + "/flows/<flow>/tags", flows.tag, "Replace its tags.", scope="flows:write", body=Tags),
    Route("POST", ROOM + "/flows/<flow>/archive", flows.archive, "Take it out of use.", scope="flows:write", errors=(409,)),
    Route("POST", ROOM + "/flows/<flow>/restore", flows.restore, "Bring it back.", scope="flows:write", errors=(409,)),
    Route("GET", ROOM + "/executions", executions.page, "Executions, newest first.", scope="runs:read", query=ExecutionsQuery),
    Route(
        "POST",
        ROOM + "/executions",
        executions.request,
        "Request a run of a flow, or of a document sent along.",
        scope="runs:write",
        body=RequestExecution,
        status=202,
        idempotent=True,
        errors=(409, 429),
        body_limit=2 * LIMITS.bundle_bytes,
    ),
    Route("GET", ROOM + "/executions/<execution>", executions.one, "One execution in full.", scope="runs:read"),
    Route(
        "GET",
        ROOM + "/executions/<execution>/source",
        executions.source,
        "The text that it ran.",
        scope="runs:read",
        media="application/yaml",
    ),
    Route(
        "GET",
        ROOM + "/executions/<execution>/events",
        executions.events,
        "Its events after a position.",
        scope="runs:read",
        query=EventsQuery,
        errors=(410,),
    ),
    Route(
        "POST",
        ROOM + "/executions/<execution>/cancel",
        executions.cancel,
        "Ask it to stop; teardown still runs.",
        scope="runs:write",
        body=Stop,
        status=202,
        errors=(409,),
    ),
    Route(
        "GET",
        ROOM + "/events",
        executions.feed,
        "Events of all executions after a position.",
        scope="runs:read",
        query=EventsQuery,
        errors=(410,),
    ),
    Route(
        "GET",
        ROOM + "/groups",
        queue.groups,
        "Locks and concurrency groups: holders, and those that wait in their order.",
        scope="runs:read",
        query=GroupsQuery,
    ),
    Route("GET", ROOM + "/schedules", schedules.page, "Schedules by name.", scope="runs:read", query=SchedulesQuery),
    Route(
        "POST",
        ROOM + "/schedules",
        schedules.create,
        "Let a flow run by itself, from now on.",
        scope="runs:write",
        body=CreateSchedule,
        status=201,
        idempotent=True,
        errors=(409,),
    ),
    Route("GET", ROOM + "/schedules/<schedule>", schedules.one, "One schedule.", scope="runs:read"),
    Route(
        "PATCH",
        ROOM + "/schedules/<schedule>",
        schedules.change,
        "Change it; moved ticks count from now on.",
        scope="runs:write",
        body=ChangeSchedule,
        errors=(409,),
    ),
    Route("DELETE", ROOM + "/schedules/<schedule>", schedules.delete, "End it; its history stays.", scope="runs:write"),
    Route(
        "POST",
        ROOM + "/schedules/<schedule>/pause",
        schedules.pause,
        "Let nothing start until it is resumed.",
        scope="runs:write",
        body=Pause,
        errors=(409,),
    ),
    Route(
        "POST",
        ROOM + "/schedules/<schedule>/resume",
        schedules.resume,
        "Let ticks count again, from now on.",
        scope="runs:write",
        errors=(409,),
    ),
    Route(
        "GET",
        ROOM + "/schedules/<schedule>/next",
        schedules.firings,
        "The ticks that come next, and when each is due.",
        scope="runs:read",
        query=NextQuery,
    ),
    Route(
        "GET",
        ROOM + "/schedules/<schedule>/decisions",
        schedules.decisions,
        "What was decided about its ticks, newest first.",
        scope="runs:read",
        query=DecisionsQuery,
    ),
    Route(
        "GET",
        LETTERS,
        operations.dead_letters,
        "Entries of the queue that can never be run, newest first.",
        scope="operator",
        query=DeadLettersQuery,
    ),
    Route("GET", HOME + "/operations/workers", queue.workers, "The workers that live, with their labels.", scope="operator"),
    Route("GET", LETTERS + "/<letter>", operations.dead_letter, "One of them.", scope="operator"),
    Route("POST", LETTERS + "/<letter>/requeue", operations.requeue, "Send it again.", scope="operator", errors=(409,)),
    Route("POST", LETTERS + "/<letter>/discard", operations.discard, "Give it up.", scope="operator", errors=(409,)),
    Route("GET", ROOM + "/projections", operations.projections, "Positions of the read models.", scope="admin"),
)
