"""Flows over REST."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from uuid import UUID

from application.bundles import checked_bundle
from application.flows import Document, Pushed
from domain.errors import Conflict, Invalid, NotFound
from interfaces.rest.bodies import Push
from interfaces.rest.call import Call, Reply, id_of, position_text
from interfaces.rest.sent_files import contents


async def page(call: Call) -> Reply:
    """A page of flows, or those called exactly so."""
    query = call.query
    if query.called is not None:
        return Reply({"items": await call.run(call.reading.flow_list.find, call.workspace, query.called), "next_cursor": None})
    found = await call.run(
        call.reading.flow_list.page,
        call.workspace,
        project=query.project,
        tag=query.tag,
        suite=query.suite,
        text=query.text,
        archived=query.archived,
        cursor=query.cursor,
        limit=query.limit,
    )
    return Reply({"items": found.items, "next_cursor": found.next_cursor})


async def one(call: Call) -> Reply:
    """One flow."""
    row = await call.run(call.reading.flow_list.get, call.workspace, id_of(call.path["flow"], "flow"))
    if row is None:
        raise NotFound(f"there is no flow {call.path['flow'][:64]} in this workspace")
    return Reply(row)


async def revisions(call: Call) -> Reply:
    """Every revision, newest first."""
    await one(call)
    return Reply({"items": await call.run(call.reading.flow_revisions.of, call.workspace, id_of(call.path["flow"], "flow"))})


async def source(call: Call) -> Reply:
    """The text, exactly as it was pushed."""
    flow = id_of(call.path["flow"], "flow")
    _, revision, text = await call.run(call.platform.flows.source, call.workspace, flow, call.query.revision)
    return Reply(text, content_type="application/yaml; charset=utf-8", headers={"X-Flow-Revision": str(revision)})


async def push(call: Call) -> Reply:
    """Store a bundle of flows; with `prune`, archive those of the project that it does not bring."""
    documents = await call.run(_documents, call.body)
    if call.body.prune:
        head = await call.run(call.platform.flows.log.head)
        await call.reading.wait(position_text("flows", head))
    pushed, position = await call.run(call.platform.flows.push, call.by, call.workspace, call.body.project, documents)
    gone: list[UUID] = []
    if call.body.prune:
        gone = await call.run(_gone, call, {done.id for done in pushed})
        position = await call.run(_archive_all, call, gone, position)
    body = {"items": [_pushed(done) for done in pushed], "archived": [str(id) for id in gone]}
    return Reply(body, position=("flows", position))


def _documents(body: Push) -> list[Document]:
    """The flows, each with the files that it names."""
    sent = contents(body.files)
    known = {**{document.path: document.text.encode() for document in body.documents}, **dict(sent)}
    named: set[str] = set()
    documents = []
    for document in body.documents:
        for path in document.files:
            if path not in known:
                raise Invalid(f"{document.path} names the file {path!r}, which is not in the push", code="missing_file")
        bundle = checked_bundle(document.path, ((path, known[path]) for path in document.files))
        named |= bundle.files.keys()
        documents.append(Document(bundle.path, document.text, bundle.files))
    for path, _ in sent:
        if path not in named:
            raise Invalid(f"no document of the push names the file {path!r}", code="unused_file")
    return documents


def _pushed(done: Pushed) -> dict[str, Any]:
    return {
        "id": str(done.id),
        "path": done.path,
        "name": done.name,
        "revision": done.revision,
        "outcome": done.outcome,
        "warnings": [str(warning) for warning in done.warnings],
    }


def _gone(call: Call, kept: set[UUID]) -> list[UUID]:
    """Flows of the project in use that a push did not bring, wherever their files were moved."""
    gone: list[UUID] = []
    cursor = None
    while True:
        found = call.reading.flow_list.page(call.workspace, project=call.body.project, cursor=cursor, limit=200)
        gone += [id for row in found.items if (id := UUID(row["id"])) not in kept]
        cursor = found.next_cursor
        if cursor is None:
            return gone


def _archive_all(call: Call, ids: list[UUID], position: int) -> int:
    """Archive flows, those left out that somebody else has archived meanwhile; the position after the last."""
    for id in ids:
        with suppress(Conflict):
            position = call.platform.flows.archive(call.by, call.workspace, id)
    return position


async def tag(call: Call) -> Reply:
    """Replace the tags."""
    tags = list(dict.fromkeys(call.body.tags))
    position = await call.run(call.platform.flows.tag, call.by, call.workspace, id_of(call.path["flow"], "flow"), tags)
    return Reply({"tags": tags}, position=("flows", position))


async def archive(call: Call) -> Reply:
    """Take a flow out of use."""
    position = await call.run(call.platform.flows.archive, call.by, call.workspace, id_of(call.path["flow"], "flow"))
    return Reply({"archived": True}, position=("flows", position))


async def restore(call: Call) -> Reply:
    """Bring a flow back."""
    position = await call.run(call.platform.flows.restore, call.by, call.workspace, id_of(call.path["flow"], "flow"))
    return Reply({"archived": False}, position=("flows", position))
