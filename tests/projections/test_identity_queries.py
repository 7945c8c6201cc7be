"""What the index of API keys and the lists of members answer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from eventsourcing.domain import Aggregate

from domain.user import User
from domain.workspace import Workspace
from projections.api_key_index import ApiKeyIndex
from projections.rebuild import rebuild
from projections.registry import for_log
from projections.rows import Pool
from projections.workspace_members import WorkspaceMembers
from tests.support.events import BY, MemoryLog, key

pytestmark = pytest.mark.servers


def given(pool: Pool, *aggregates: Aggregate) -> MemoryLog:
    """These happened, and the read models know."""
    log = MemoryLog()
    log.put(*aggregates)
    with pool.connection() as connection:
        for projection in for_log("identity"):
            projection.apply(connection, projection.wanted(log.events))
    return log


def test_a_key_is_found_with_all_that_authentication_needs(pool: Pool):
    issued = key("k" * 12)
    log = given(pool, issued)
    found = ApiKeyIndex(pool).find("k" * 12)
    assert found is not None
    wanted: dict[str, Any] = {"key_id": "k" * 12, "workspace": "w", "name": "ci", "user": "u", "scopes": ["runs:read"]}
    assert {name: found[name] for name in wanted} == wanted
    assert found["expires_at"] == datetime(2030, 1, 1, tzinfo=UTC)
    assert (found["revoked"], found["last_used_at"], found["position"]) == (False, None, log.head())
    assert len(found["digest"]) == 64
    assert ApiKeyIndex(pool).find("x" * 12) is None


def test_a_revoked_key_is_found_as_revoked(pool: Pool):
    issued = key()
    issued.revoke(BY)
    given(pool, issued)
    found = ApiKeyIndex(pool).find("k" * 12)
    assert found is not None
    assert found["revoked"]
    assert found["revoked_at"] >= found["created_at"]


def test_keys_are_listed_by_workspace_without_digests_newest_first(pool: Pool):
    keys = [key(f"{number:012}") for number in range(5)]
    keys[2].revoke(BY)
    given(pool, *keys)
    index = ApiKeyIndex(pool)
    first = index.page("w", limit=3)
    second = index.page("w", limit=3, cursor=first.next_cursor)
    assert [row["key_id"] for row in first.items + second.items] == [f"{number:012}" for number in (4, 3, 2, 1, 0)]
    assert second.next_cursor is None
    assert "digest" not in first.items[0]
    assert [row["key_id"] for row in index.page("w", revoked=True).items] == [f"{2:012}"]
    assert index.page("v").items == []


def test_the_use_of_a_key_is_noted_once_a_minute_and_survives_a_rebuild(pool: Pool):
    log = given(pool, key())
    index, elsewhere = ApiKeyIndex(pool), ApiKeyIndex(pool)
    assert index.used("k" * 12, "10.0.0.1")
    assert not index.used("k" * 12, "10.0.0.2")
    assert not elsewhere.used("k" * 12, "10.0.0.3")
    with pool.connection() as connection:
        connection.execute("UPDATE identity.api_key_usage SET last_used_at = last_used_at - interval '61 s'")
    assert ApiKeyIndex(pool).used("k" * 12, "10.0.0.4")
    rebuild(pool, for_log("identity")[0], log.read)
    found = index.find("k" * 12)
    assert found is not None
    assert found["last_address"] == "10.0.0.4"
    assert found["last_used_at"].tzinfo is not None


def test_members_come_change_and_go(pool: Pool):
    room = Workspace.open(BY, "shop")
    for user, role in (("a", "owner"), ("b", "viewer"), ("c", "viewer"), ("b", "editor")):
        room.add_member(BY, user, role)
    room.remove_member(BY, "c")
    given(pool, room)
    members = WorkspaceMembers(pool)
    assert [(row["user"], row["role"], row["disabled"]) for row in members.members(str(room.id))] == [
        *[("a", "owner", False), ("b", "editor", False)]
    ]
    assert [members.role(str(room.id), user) for user in "abc"] == ["owner", "editor", None]
    assert members.role("elsewhere", "a") is None


def test_a_disabled_user_has_no_role_until_enabled(pool: Pool):
    room, user = Workspace.open(BY, "shop"), User.register(BY, "eva", "w")
    room.add_member(BY, str(user.id), "admin")
    user.disable(BY)
    given(pool, room, user)
    members = WorkspaceMembers(pool)
    assert members.role(str(room.id), str(user.id)) is None
    assert members.members(str(room.id))[0]["disabled"]
    user.enable(BY)
    given(pool, user)
    assert members.role(str(room.id), str(user.id)) == "admin"


def test_workspaces_are_known_by_id_and_listed_by_name(pool: Pool):
    rooms = [Workspace.open(BY, name) for name in ("shop", "bank")]
    given(pool, *rooms)
    members = WorkspaceMembers(pool)
    found = members.workspace(str(rooms[0].id))
    assert found is not None
    assert found["name"] == "shop"
    assert [row["name"] for row in members.workspaces()] == ["bank", "shop"]
    assert members.workspace("no id") is None
