"""Workspace, members and API keys over REST."""

from __future__ import annotations

from domain.errors import Forbidden, NotFound
from interfaces.rest.call import Call, Reply


async def whoami(call: Call) -> Reply:
    """The caller."""
    caller = call.caller
    room = await call.run(call.reading.members.workspace, caller.workspace)
    return Reply(
        {
            "workspace": caller.workspace,
            "workspace_name": room["name"] if room else None,
            "user": caller.user,
            "key_id": caller.key_id,
            "scopes": sorted(caller.scopes),
        }
    )


async def workspace(call: Call) -> Reply:
    """The workspace."""
    room = await call.run(call.reading.members.workspace, call.workspace)
    if room is None:
        raise NotFound("there is no such workspace")
    return Reply(room)


async def members(call: Call) -> Reply:
    """Its members."""
    return Reply({"items": await call.run(call.reading.members.members, call.workspace)})


async def put_member(call: Call) -> Reply:
    """Let somebody in. Only an owner makes owners."""
    body = call.body
    if body.role == "owner" and await call.run(call.reading.members.role, call.workspace, call.caller.user) != "owner":
        raise Forbidden("only an owner can make an owner", code="owner_only")
    position = await call.run(call.platform.identity.add_member, call.by, call.workspace, body.login, body.role)
    return Reply({"login": body.login, "role": body.role}, position=("identity", position))


async def remove_member(call: Call) -> Reply:
    """Send somebody out."""
    user = call.path["user"]
    position = await call.run(call.platform.identity.remove_member, call.by, call.workspace, user)
    return Reply({"user": user}, position=("identity", position))


async def keys(call: Call) -> Reply:
    """Keys without their secrets."""
    query = call.query
    found = await call.run(
        call.reading.api_keys.page, call.workspace, revoked=query.revoked, cursor=query.cursor, limit=query.limit
    )
    return Reply({"items": found.items, "next_cursor": found.next_cursor})


async def issue_key(call: Call) -> Reply:
    """A new key of the caller's user; nobody can give more than he has."""
    body = call.body
    issued = await call.run(
        call.platform.identity.issue_key,
        call.by,
        call.workspace,
        body.name,
        body.scopes,
        user=call.caller.user,
        days=body.days,
    )
    answer = {"key": issued.text, "key_id": issued.key_id, "expires_at": issued.expires_at, "scopes": body.scopes}
    return Reply(answer, 201, ("identity", issued.position), {"Cache-Control": "no-store"})


async def revoke_key(call: Call) -> Reply:
    """End a key."""
    position = await call.run(call.platform.identity.revoke_key, call.by, call.workspace, call.path["key"])
    return Reply({"key_id": call.path["key"], "revoked": True}, position=("identity", position))
