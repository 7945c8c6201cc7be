"""Workspaces, members and keys over REST."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from domain.api_key import SCOPES
from domain.user import user_uuid
from interfaces.settings import Settings
from tests.support.served import Room


def issue(room: Room, **body: Any) -> dict[str, Any]:
    """Make a key over REST; the answer, once the key works."""
    answer = room.http.post(room.path("/keys"), json={"name": "ci", "scopes": ["runs:read"], **body})
    assert answer.status_code == 201, answer.text
    room.server.settled("identity")
    found: dict[str, Any] = answer.json()
    return found


def test_a_key_knows_who_it_is(room: Room) -> None:
    told = room.http.get("/api/v1/whoami").json()
    assert (told["workspace"], told["user"], told["scopes"]) == (room.id, room.owner, sorted({*SCOPES} - {"operator"}))
    assert told["key_id"] == room.key[4:16]


def test_a_key_is_shown_once_and_its_secret_never_again(room: Room, settings: Settings) -> None:
    made = issue(room)
    secret = made["key"][17:60]
    with room.server.client(made["key"]) as client:
        assert client.get("/api/v1/whoami").json()["scopes"] == ["runs:read"]
    pages = [room.http.get(room.path(path)).text for path in ("/keys", "/events", "/members", "")]
    assert made["key_id"] in pages[0]
    assert not [page for page in pages if secret in page]
    assert not stored(settings, secret)
    assert not stored(settings, base64.b64encode(secret.encode()).decode().rstrip("=")[:-2])
    assert stored(settings, made["key_id"])


def stored(settings: Settings, text: str) -> list[str]:
    """The tables in which a text stands, as text or as bytes."""
    found = []
    with psycopg.connect(settings.database_url) as connection:
        tables = connection.execute(
            "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables"
            " WHERE schemaname IN ('identity', 'flows', 'executions')"
        ).fetchall()
        for (table,) in tables:
            sql = f"SELECT EXISTS (SELECT 1 FROM {table} t WHERE position(%s IN t::text) > 0 OR position(%s IN t::text) > 0)"
            row = connection.execute(sql.encode(), (text, text.encode().hex())).fetchone()
            found += [table] if row and row[0] else []
    return found


def test_a_key_lives_90_days_unless_told_otherwise_and_366_at_most(room: Room) -> None:
    for days, given in ((90, {}), (1, {"days": 1}), (366, {"days": 366})):
        left = datetime.fromisoformat(issue(room, **given)["expires_at"]) - datetime.now(UTC)
        assert days - 1 < left.total_seconds() / 86_400 <= days
    refused = room.http.post(room.path("/keys"), json={"name": "ci", "scopes": ["runs:read"], "days": 367})
    assert refused.status_code == 422


@pytest.mark.parametrize("scopes", [[], ["everything"], ["runs:read"] * 7, "admin", None])
def test_a_key_without_proper_scopes_is_refused(room: Room, scopes: Any) -> None:
    assert room.http.post(room.path("/keys"), json={"name": "ci", "scopes": scopes}).status_code in (413, 422)


@pytest.mark.parametrize("field", ["user", "workspace", "key_id", "expires_at", "role"])
def test_nothing_can_be_smuggled_into_a_key(room: Room, field: str) -> None:
    answer = room.http.post(room.path("/keys"), json={"name": "ci", "scopes": ["admin"], field: "x"})
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_field")


def test_a_key_that_is_named_by_its_text_is_not_repeated_in_the_answer(room: Room) -> None:
    text = room.issue("runs:read")
    answer = room.http.delete(room.path(f"/keys/{text}"))
    assert (answer.status_code, answer.json()["remedy"]) == (404, f"its id is {text.split('_')[1]}")
    assert text not in answer.text


def test_keys_of_one_workspace_are_listed_and_revoked_there_alone(room: Room, foreign: Room) -> None:
    mine, theirs = issue(room)["key_id"], issue(foreign)["key_id"]
    listed = [row["key_id"] for row in room.http.get(room.path("/keys")).json()["items"]]
    assert mine in listed
    assert theirs not in listed
    assert room.http.delete(room.path(f"/keys/{theirs}")).status_code == 404
    assert [room.http.delete(room.path(f"/keys/{mine}")).status_code for _ in range(2)] == [200, 200]
    room.server.settled("identity")
    gone = room.http.get(room.path("/keys"), params={"revoked": "true"}).json()["items"]
    assert [row["key_id"] for row in gone] == [mine]


def test_a_member_comes_in_a_role_changes_it_and_goes(room: Room) -> None:
    login = f"eva-{uuid4()}"
    user = str(user_uuid(login))

    def roles() -> dict[str, str]:
        room.server.settled("identity")
        return {row["user"]: row["role"] for row in room.http.get(room.path("/members")).json()["items"]}

    for role in ("viewer", "editor"):
        answer = room.http.put(room.path("/members"), json={"login": login, "role": role})
        assert (answer.status_code, answer.json()) == (200, {"login": login, "role": role})
        assert roles()[user] == role
    assert room.http.delete(room.path(f"/members/{user}")).status_code == 200
    assert user not in roles()
    assert room.http.delete(room.path(f"/members/{user}")).status_code == 404


def test_the_last_owner_cannot_be_removed(room: Room) -> None:
    answer = room.http.delete(room.path(f"/members/{room.owner}"))
    assert (answer.status_code, answer.json()["code"]) == (409, "last_owner")


@pytest.mark.parametrize(
    "body", [{"login": "", "role": "viewer"}, {"login": "a\nb", "role": "viewer"}, {"login": "a", "role": "king"}]
)
def test_a_strange_login_or_role_is_refused(room: Room, body: dict[str, str]) -> None:
    assert room.http.put(room.path("/members"), json=body).status_code == 422


def test_a_member_who_is_sent_out_can_do_nothing_within_two_seconds(room: Room) -> None:
    user = room.member(f"eva-{uuid4()}", "editor")
    with room.server.client(room.issue("flows:read", user=user)) as client:
        assert client.get(room.path("/flows")).status_code == 200
        room.http.delete(room.path(f"/members/{user}"))
        end = datetime.now(UTC).timestamp() + 2
        while client.get(room.path("/flows")).status_code == 200:
            assert datetime.now(UTC).timestamp() < end


def test_the_workspace_has_a_name(room: Room) -> None:
    assert room.http.get(room.path()).json()["name"].startswith("room-")


def test_readiness_and_lag_are_told(room: Room) -> None:
    assert room.http.get("/ready").json() == {"status": "ready"}
    room.server.settled("identity")
    rows = room.http.get(room.path("/projections")).json()["items"]
    assert {row["log"] for row in rows} == {"identity", "flows", "executions", "schedules"}
    assert [row["behind"] for row in rows if row["log"] == "identity"] == [0, 0]


def test_only_an_owner_makes_owners_and_the_last_one_stays(room: Room) -> None:
    admin = room.client(room.issue(user=room.member("an-admin", "admin")))
    answer = admin.put(room.path("/members"), json={"login": "an-admin", "role": "owner"})
    assert (answer.status_code, answer.json()["code"]) == (403, "owner_only")
    assert admin.put(room.path("/members"), json={"login": "somebody", "role": "editor"}).status_code == 200
    assert room.http.put(room.path("/members"), json={"login": "second", "role": "owner"}).status_code == 200
    assert room.http.put(room.path("/members"), json={"login": "second", "role": "viewer"}).status_code == 200
