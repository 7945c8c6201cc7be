"""Suite runs over REST."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from application.actions.registry import ACTIONS
from application.bundles import Bundle, checked_bundle
from application.data_rows import Case as DataRow
from application.executions import request_digest
from application.flow_documents import read_flow
from application.suite_plan import Member
from application.suites import SuiteRequest
from domain.errors import Invalid, NotFound
from interfaces.rest.bodies import RequestSuiteRun, SuiteMember
from interfaces.rest.call import Call, Reply, id_of, position_text
from interfaces.rest.executions import check_size, events_of, seconds_of, wish_of
from interfaces.rest.sent_files import contents

SELECTION = ("project", "folder", "suite", "tags")


async def page(call: Call) -> Reply:
    """A page of suite runs."""
    query = call.query
    found = await call.run(
        call.reading.suite_run_list.page,
        call.workspace,
        status=query.status,
        verdict=query.verdict,
        name=query.name,
        root=query.root,
        cursor=query.cursor,
        limit=query.limit,
    )
    return Reply({"items": found.items, "next_cursor": found.next_cursor})


async def one(call: Call) -> Reply:
    """One suite run, and what the chain of reruns that it belongs to has come to."""
    row = await _row(call)
    merged = await call.run(call.reading.suite_cases.merged_summary, call.workspace, row["root"])
    return Reply({**row, "merged": merged})


async def request(call: Call) -> Reply:
    """Accept a suite run. Durable when this answers; the same Idempotency-Key again gives the same answer. Flows that were
    pushed a moment ago are found."""
    await pushed_flows(call)
    return _accepted(call, *await call.run(_accept, call))


async def pushed_flows(call: Call) -> None:
    """Wait until what was pushed before this request is found by a selection."""
    head = await call.run(call.platform.flows.log.head)
    await call.reading.wait(position_text("flows", head))


def _accept(call: Call) -> tuple[UUID, int]:
    suites, body = call.platform.suites, call.body
    digest = request_digest(call.workspace, call.caller.key_id, "POST /suite-runs", _plain(body))
    if call.idempotency_key is not None:
        before: tuple[UUID, int] | None = suites.accepted(call.workspace, call.idempotency_key, digest)
        if before is not None:
            return before
    call.reading.back_pressure.check(call.workspace)
    check_size(body.variables)
    members, selection = _chosen(call, body)
    wanted = SuiteRequest(
        call.workspace,
        members,
        name=body.name or body.suite or body.folder or "",
        selection=selection,
        matrix=matrix_of(body.matrix),
        variables=body.variables,
        parallel=body.parallel,
        fail_fast=body.fail_fast,
        timeout=seconds_of(body.timeout, "timeout") or 0.0,
        trigger=body.trigger,
        seed=body.seed,
        wish=wish_of(body),
        idempotency_key=call.idempotency_key,
        digest=digest,
    )
    made: tuple[UUID, int] = suites.request(call.by, wanted)
    return made


def _accepted(call: Call, id: UUID, position: int) -> Reply:
    body = {"id": str(id), "position": position_text("executions", position)}
    where = {"Location": f"/api/v1/workspaces/{call.workspace}/suite-runs/{id}"}
    return Reply(body, 202, ("executions", position), where)


def _plain(body: Any) -> dict[str, Any]:
    return {name: getattr(body, name) for name in body.__dataclass_fields__}


def matrix_of(given: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The matrix of a body, whose values are lists."""
    for name, values in given.items():
        if not isinstance(values, list):
            raise Invalid(f"matrix.{name} must be a list of values", code="invalid_matrix")
    return dict(given)


def _chosen(call: Call, body: RequestSuiteRun) -> tuple[list[Member], dict[str, Any]]:
    """The flows that the body asks for, and how it does so: by a selection among those of the workspace, or one by one."""
    given = {name: value for name in SELECTION if (value := getattr(body, name)) is not None}
    suites = call.platform.suites
    if body.members:
        if body.flows or given.keys() - {"project"}:
            raise Invalid("give `members`, or a selection, one of them", code="invalid_body")
        return _members(call, body), {**given, "members": len(body.members)}
    if body.flows:
        if given:
            raise Invalid("give `flows` (ids), or another selection, one of them", code="invalid_body")
        return suites.members(call.workspace, [id_of(id, "flow") for id in body.flows]), {"flows": list(body.flows)}
    if not given:
        raise Invalid(f"say what to run: {', '.join(SELECTION)}, flows or members", code="nothing_selected")
    return suites.members(call.workspace, selected(call, given)), given


def selected(call: Call, given: Mapping[str, str]) -> list[UUID]:
    """The flows of the workspace that a selection means; NotFound when it means none."""
    ids: list[UUID] = call.platform.suites.selected(call.workspace, **given)
    if not ids:
        raise NotFound(
            f"no flow of this workspace has {_words(given)}",
            code="nothing_selected",
            remedy="see what there is with `testmesh flows ls`",
        )
    return ids


def _words(given: Mapping[str, str]) -> str:
    return " and ".join(f"{name} {value!r}" for name, value in given.items())


def _members(call: Call, body: RequestSuiteRun) -> list[Member]:
    """The members with their flows: those of the workspace by id, the others among the documents."""
    sent = dict(contents(body.files))
    known = {**{document.path: document.text.encode() for document in body.documents}, **sent}
    texts = {document.path: document for document in body.documents}
    return [_member(call, body, member, known, texts) for member in body.members]


def _member(
    call: Call, body: RequestSuiteRun, member: SuiteMember, known: Mapping[str, bytes], texts: Mapping[str, Any]
) -> Member:
    if (member.flow is None) == (member.document is None):
        raise Invalid("a member has `flow` (an id) or `document` (a path among `documents`), one of them", code="invalid_body")
    check_size(member.variables)
    rows = None if member.rows is None else [DataRow(row.key, row.values) for row in member.rows]
    only = frozenset(member.cases) if member.cases else None
    more: dict[str, Any] = {"variables": member.variables, "rows": rows, "only": only, "project": body.project or ""}
    if member.flow is not None:
        found: Member = call.platform.suites.member(call.workspace, id_of(member.flow, "flow"), member.revision, **more)
        return found
    path = str(member.document)
    if path not in texts:
        raise Invalid(f"the document {path!r} is not among `documents`", code="missing_file")
    document = texts[path]
    for name in document.files:
        if name not in known:
            raise Invalid(f"{path} names the file {name!r}, which did not come along", code="missing_file")
    bundle = checked_bundle(path, ((name, known[name]) for name in document.files))
    definition, _ = read_flow(document.text, file=member.file or path, actions=ACTIONS)
    return Member(definition, document.text, bundle=Bundle(bundle.path, bundle.files), **more)


async def cases(call: Call) -> Reply:
    """A page of its cases; with `merged`, of the latest results in the chain of reruns that it belongs to."""
    row, query = await _row(call), call.query
    bounds = {"cursor": query.cursor, "limit": query.limit}
    if query.merged:
        found = await call.run(call.reading.suite_cases.merged, call.workspace, row["root"], **bounds)
    else:
        found = await call.run(
            call.reading.suite_cases.page,
            call.workspace,
            row["id"],
            status=query.status,
            verdict=query.verdict,
            **bounds,
        )
    return Reply({"items": found.items, "next_cursor": found.next_cursor})


async def events(call: Call) -> Reply:
    """Its events after a position, those of its executions included."""
    row = await _row(call)
    begin = row["first_position"] - 1
    executions = await call.run(call.reading.suite_cases.executions, row["id"])
    return await events_of(call, [row["id"], *executions], begin)


async def rerun(call: Call) -> Reply:
    """Run again what did not pass."""
    return _accepted(call, *await call.run(_rerun, call))


def _rerun(call: Call) -> tuple[UUID, int]:
    suites, id = call.platform.suites, id_of(call.path["suite_run"], "suite run")
    digest = request_digest(call.workspace, call.caller.key_id, f"POST /suite-runs/{id}/rerun", _plain(call.body))
    if call.idempotency_key is not None:
        before: tuple[UUID, int] | None = suites.accepted(call.workspace, call.idempotency_key, digest)
        if before is not None:
            return before
    call.reading.back_pressure.check(call.workspace)
    made: tuple[UUID, int] = suites.rerun(
        call.by,
        call.workspace,
        id,
        parallel=call.body.parallel,
        timeout=seconds_of(call.body.timeout, "timeout"),
        idempotency_key=call.idempotency_key,
        digest=digest,
    )
    return made


async def cancel(call: Call) -> Reply:
    """Ask it to stop."""
    id = id_of(call.path["suite_run"], "suite run")
    position = await call.run(call.platform.suites.cancel, call.by, call.workspace, id, call.body.reason)
    return Reply({"id": str(id)}, 202, ("executions", position))


async def _row(call: Call) -> dict[str, Any]:
    id = id_of(call.path["suite_run"], "suite run")
    row: dict[str, Any] | None = await call.run(call.reading.suite_run_list.get, call.workspace, id)
    if row is None:
        raise NotFound(f"there is no suite run {id} in this workspace")
    return row
