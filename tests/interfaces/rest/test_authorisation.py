"""The matrix: every route against every kind of caller, each expected answer in one table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from domain.api_key import SCOPES, ApiKey, KeyText
from domain.user import User
from domain.workspace import ROLES
from interfaces.rest.route import Route
from interfaces.rest.routes import ROUTES
from tests.interfaces.websocket.watcher import address, subscribe
from tests.support.events import BY
from tests.support.served import FLOW, Room, Server

SCOPES_TABLE = """
route                     nobody flows:read flows:write runs:read runs:write admin operator theirs
operations_health          200      200         200        200       200      200    200      -
operations_ready           200      200         200        200       200      200    200      -
routes_openapi             200      200         200        200       200      200    200      -
routes_docs                200      200         200        200       200      200    200      -
identity_whoami            401      200         200        200       200      200    200      -
identity_workspace         401      200         200        200       200      200    200      -
identity_members           401      403         403        403       403      200    403      -
identity_put_member        401      403         403        403       403      200    403      -
identity_remove_member     401      403         403        403       403      200    403     404
identity_keys              401      403         403        403       403      200    403      -
identity_issue_key         401      403         403        403       403      201    403      -
identity_revoke_key        401      403         403        403       403      200    403     404
flows_page                 401      200         403        403       403      200    403      -
flows_push                 401      403         200        403       403      200    403      -
flows_one                  401      200         403        403       403      200    403     404
flows_revisions            401      200         403        403       403      200    403     404
flows_source               401      200         403        403       403      200    403     404
flows_tag                  401      403         200        403       403      200    403     404
flows_archive              401      403         200        403       403      200    403     404
flows_restore              401      403         200        403       403      200    403     404
executions_page            401      403         403        200       403      200    403      -
executions_request         401      403         403        403       202      202    403      -
executions_one             401      403         403        200       403      200    403     404
executions_source          401      403         403        200       403      200    403     404
executions_events          401      403         403        200       403      200    403     404
executions_cancel          401      403         403        403       202      202    403     404
executions_feed            401      403         403        200       403      200    403      -
queue_groups               401      403         403        200       403      200    403      -
queue_workers              401      403         403        403       403      403    403      -
suite_runs_page            401      403         403        200       403      200    403      -
suite_runs_request         401      403         403        403       202      202    403      -
suite_runs_one             401      403         403        200       403      200    403     404
suite_runs_cases           401      403         403        200       403      200    403     404
suite_runs_events          401      403         403        200       403      200    403     404
suite_runs_rerun           401      403         403        403       202      202    403     404
suite_runs_cancel          401      403         403        403       202      202    403     404
schedules_page             401      403         403        200       403      200    403      -
schedules_create           401      403         403        403       201      201    403      -
schedules_one              401      403         403        200       403      200    403     404
schedules_change           401      403         403        403       200      200    403     404
schedules_delete           401      403         403        403       200      200    403     404
schedules_pause            401      403         403        403       200      200    403     404
schedules_resume           401      403         403        403       200      200    403     404
schedules_firings          401      403         403        200       403      200    403     404
schedules_decisions        401      403         403        200       403      200    403     404
operations_dead_letters    401      403         403        403       403      403    403      -
operations_dead_letter     401      403         403        403       403      403    403      -
operations_requeue         401      403         403        403       403      403    403      -
operations_discard         401      403         403        403       403      403    403      -
operations_projections     401      403         403        403       403      200    403      -
websocket                  401      403         403        101       403      101    403     404
"""
"""What a key of the owner with one scope is answered; `theirs` asks with all scopes for a thing of another workspace."""
ROLES_TABLE = """
route                     viewer editor administrator owner guest stranger home
operations_health          200    200        200       200   200    200    200
operations_ready           200    200        200       200   200    200    200
routes_openapi             200    200        200       200   200    200    200
routes_docs                200    200        200       200   200    200    200
identity_whoami            200    200        200       200   200    200    200
identity_workspace         200    200        200       200   200    404    404
identity_members           403    403        200       200   403    404    404
identity_put_member        403    403        200       200   403    404    404
identity_remove_member     403    403        200       200   403    404    404
identity_keys              403    403        200       200   403    404    404
identity_issue_key         403    403        201       201   403    404    404
identity_revoke_key        403    403        200       200   403    404    404
flows_page                 200    200        200       200   200    404    404
flows_push                 403    200        200       200   403    404    404
flows_one                  200    200        200       200   200    404    404
flows_revisions            200    200        200       200   200    404    404
flows_source               200    200        200       200   200    404    404
flows_tag                  403    200        200       200   403    404    404
flows_archive              403    200        200       200   403    404    404
flows_restore              403    200        200       200   403    404    404
executions_page            200    200        200       200   200    404    404
executions_request         403    202        202       202   403    404    404
executions_one             200    200        200       200   200    404    404
executions_source          200    200        200       200   200    404    404
executions_events          200    200        200       200   200    404    404
executions_cancel          403    202        202       202   403    404    404
executions_feed            200    200        200       200   200    404    404
queue_groups               200    200        200       200   200    404    404
queue_workers              403    403        403       403   403    403    200
suite_runs_page            200    200        200       200   200    404    404
suite_runs_request         403    202        202       202   403    404    404
suite_runs_one             200    200        200       200   200    404    404
suite_runs_cases           200    200        200       200   200    404    404
suite_runs_events          200    200        200       200   200    404    404
suite_runs_rerun           403    202        202       202   403    404    404
suite_runs_cancel          403    202        202       202   403    404    404
schedules_page             200    200        200       200   200    404    404
schedules_create           403    201        201       201   403    404    404
schedules_one              200    200        200       200   200    404    404
schedules_change           403    200        200       200   403    404    404
schedules_delete           403    200        200       200   403    404    404
schedules_pause            403    200        200       200   403    404    404
schedules_resume           403    200        200       200   403    404    404
schedules_firings          200    200        200       200   200    404    404
schedules_decisions        200    200        200       200   200    404    404
operations_dead_letters    403    403        403       403   403    403    200
operations_dead_letter     403    403        403       403   403    403    200
operations_requeue         403    403        403       403   403    403    200
operations_discard         403    403        403       403   403    403    200
operations_projections     403    403        200       200   403    404    404
websocket                  101    101        101       101   101    404    404
"""
"""What a key with all scopes is answered by its user's role. A guest is a viewer here and an owner elsewhere, a stranger
is an owner elsewhere alone, and home is an owner of the workspace that came with the installation."""
WEBSOCKET = "websocket"
"""The row of /ws, which is no route of the table: the status of the handshake, or the refusal of what is then asked for."""


def read(table: str) -> dict[str, dict[str, str]]:
    """The expected statuses of each row by column."""
    columns, *rows = [line.split() for line in table.strip().splitlines()]
    return {row[0]: dict(zip(columns[1:], row[1:], strict=True)) for row in rows}


BY_ROLE = read(ROLES_TABLE)
EXPECTED = {name: row | BY_ROLE[name] for name, row in read(SCOPES_TABLE).items()}
NOBODIES = ("none", "malformed", "wrong checksum", "unknown", "wrong secret", "revoked", "expired", "removed", "disabled")
BODIES: dict[str, Any] = {
    "identity_put_member": {"login": "someone", "role": "viewer"},
    "identity_issue_key": {"name": "another", "scopes": ["runs:read"]},
    "flows_push": {"documents": [{"path": "greet.yaml", "text": FLOW}]},
    "flows_tag": {"tags": ["smoke"]},
    "executions_request": {"document": FLOW},
    "executions_cancel": {"reason": "not needed"},
    "suite_runs_request": {"members": [{"document": "greet.yaml"}], "documents": [{"path": "greet.yaml", "text": FLOW}]},
    "suite_runs_rerun": {},
    "suite_runs_cancel": {"reason": "not needed"},
    "schedules_change": {"name": "renamed"},
    "schedules_pause": {"reason": "a release"},
}


@dataclass(frozen=True, slots=True)
class World:
    """Two workspaces, and the keys of everybody who might ask the first for something."""

    mine: Room
    theirs: Room
    keys: dict[str, str | None]
    flow: str
    """A flow of the first."""


@pytest.fixture(scope="module")
def world(server: Server) -> Iterator[World]:
    """One for all rows."""
    with ExitStack() as opened:
        mine, theirs = (opened.enter_context(server.room()) for _ in range(2))
        home = opened.enter_context(server.home())
        keys: dict[str, str | None] = {scope: mine.issue(scope) for scope in SCOPES}
        roles = {("administrator" if role == "admin" else role): role for role in ROLES[:-1]}
        more = {name: mine.issue(*SCOPES, user=mine.member(f"{role}-{uuid4()}", role)) for name, role in roles.items()}
        guest = f"guest-{uuid4()}"
        theirs.member(guest, "owner")
        more |= {"guest": mine.issue(*SCOPES, user=mine.member(guest, "viewer")), "owner": mine.key}
        more |= {"stranger": theirs.key, "home": home.key, "theirs": mine.key}
        yield World(mine, theirs, {**keys, **more, **nobodies(mine)}, mine.push())
        mine.opened.close()
        theirs.opened.close()


def nobodies(room: Room) -> dict[str, str | None]:
    """Keys that open nothing."""
    known = KeyText.parse(room.key)
    assert known is not None
    gone, out = (room.member(f"{name}-{uuid4()}", "editor") for name in ("gone", "out"))
    keys: dict[str, str | None] = {"none": None, "malformed": "tmk_nonsense", "wrong checksum": altered(room.key)}
    keys["unknown"] = KeyText.generate().text
    keys["wrong secret"] = KeyText(known.key_id, "0" * 43).text
    keys["expired"] = expired(room)
    keys["revoked"], keys["removed"], keys["disabled"] = room.issue(), room.issue(user=gone), room.issue(user=out)
    identity = room.server.platform.identity
    identity.revoke_key(BY, room.id, str(keys["revoked"])[4:16])
    identity.remove_member(BY, room.id, gone)
    user = identity.log.load(User, UUID(out))
    user.disable(BY)
    room.server.wait("identity", identity.log.put(user))
    return keys


def altered(key: str) -> str:
    """The key with one character of its secret changed."""
    return key[:30] + ("a" if key[30] != "a" else "b") + key[31:]


def expired(room: Room) -> str:
    """A key whose time is over."""
    key = KeyText.generate()
    end = datetime.now(UTC) - timedelta(seconds=1)
    issued = ApiKey.issue(BY, key, workspace=room.id, name="old", user=room.owner, scopes=SCOPES, expires_at=end)
    room.server.wait("identity", room.server.platform.logs["identity"].put(issued))
    return key.text


def call(world: World, route: Route, key: str | None, things: dict[str, str]) -> httpx.Response:
    """Ask for a route of the first workspace, with the ids of these things."""
    path = route.path
    for name, value in {"workspace": world.mine.id, **things}.items():
        path = path.replace(f"<{name}>", value)
    headers = {"Authorization": f"Bearer {key}"} if key is not None else {}
    body = BODIES.get(route.name)
    if route.name == "schedules_create":
        body = {"name": "nightly", "flow": world.flow, "cron": "@daily"}
    with world.mine.server.client(None) as client:
        return client.request(route.method, path, headers=headers, json=body)


def things_of(room: Room, route: Route) -> dict[str, str]:
    """New things of a workspace that a route can do something with."""
    made = {}
    if "<flow>" in route.path:
        made["flow"] = room.push(path=f"{uuid4()}.yaml")
        if route.name == "flows_restore":
            assert room.http.post(room.path(f"/flows/{made['flow']}/archive")).status_code == 200
    if "<execution>" in route.path:
        made["execution"] = str(room.request())
    if "<suite_run>" in route.path:
        made["suite_run"] = room.suite_run(finish="rerun" in route.path)
    if "<schedule>" in route.path:
        made["schedule"] = room.schedule()
        if route.name == "schedules_resume":
            assert room.http.post(room.path(f"/schedules/{made['schedule']}/pause"), json={}).status_code == 200
    if "<user>" in route.path:
        made["user"] = room.member(f"member-{uuid4()}", "viewer")
    if "<letter>" in route.path:
        made["letter"] = room.park()
    if "<key>" in route.path:
        made["key"] = room.issue()[4:16]
    return made


@pytest.mark.row("R17")
def test_every_route_has_a_row_and_every_row_a_route() -> None:
    assert set(EXPECTED) - {WEBSOCKET} == {route.name for route in ROUTES}
    assert {"administrator" if role == "admin" else role for role in ROLES} < set(BY_ROLE[WEBSOCKET])
    assert len({route.name for route in ROUTES}) == len(ROUTES)


@pytest.mark.row("R17")
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_a_route_answers_each_caller_as_the_table_says(world: World, route: Route) -> None:
    expected = EXPECTED[route.name]
    things = things_of(world.mine, route)
    wanted, got = {}, {}
    for caller, key in world.keys.items():
        status = expected["nobody" if caller in NOBODIES else caller]
        if status == "-":
            continue
        wanted[caller] = int(status)
        used = things_of(world.theirs, route) if caller == "theirs" else things
        got[caller] = call(world, route, key, used).status_code
        if got[caller] in (200, 201, 202) and route.method != "GET":
            things = things_of(world.mine, route)
    assert got == wanted


@pytest.mark.row("R17")
async def test_the_watcher_answers_each_caller_as_the_table_says(world: World) -> None:
    mine, theirs = (f"execution:{room.request()}" for room in (world.mine, world.theirs))
    got = {name: await watched(world, key, theirs if name == "theirs" else mine) for name, key in world.keys.items()}
    assert got == {name: int(EXPECTED[WEBSOCKET]["nobody" if name in NOBODIES else name]) for name in world.keys}


async def watched(world: World, key: str | None, topic: str) -> int:
    """The status of a handshake with the key, or, when it was let in, of a refused subscription to the topic."""
    headers = {"Authorization": f"Bearer {key}"} if key is not None else {}
    try:
        async with connect(address(world.mine), additional_headers=headers, proxy=None) as socket:
            answer = await subscribe(socket, topic, begin="start")
            return 101 if answer["type"] == "subscribed" else int(answer["problem"]["status"])
    except InvalidStatus as refused:
        return refused.response.status_code


@pytest.mark.row("R17")
def test_what_is_not_there_and_what_is_not_mine_look_alike(world: World) -> None:
    theirs, nowhere = world.theirs.push(path=f"{uuid4()}.yaml"), str(uuid4())

    def told(id: str) -> dict[str, Any]:
        answer = world.mine.http.get(world.mine.path(f"/flows/{id}")).json()
        return {**answer, "title": answer["title"].replace(id, "?"), "request_id": ""}

    assert told(theirs) == told(nowhere)


def test_a_flow_of_another_workspace_cannot_be_scheduled(world: World) -> None:
    body = {"name": "x", "flow": world.theirs.push(path=f"{uuid4()}.yaml"), "cron": "@daily"}
    answer = world.mine.http.post(world.mine.path("/schedules"), json=body)
    assert answer.status_code == 404
    id = world.mine.schedule()
    assert world.mine.http.patch(world.mine.path(f"/schedules/{id}"), json={"flow": body["flow"]}).status_code == 404


def test_every_refused_key_gets_the_same_words(world: World) -> None:
    route = next(route for route in ROUTES if route.name == "identity_whoami")
    titles = {call(world, route, world.keys[name], {}).json()["title"] for name in NOBODIES if name != "none"}
    assert titles == {"the key is not valid"}


def test_a_key_in_a_url_is_refused_even_when_it_is_right(world: World) -> None:
    answer = world.mine.http.get("/api/v1/whoami", params={"api_key": world.mine.key})
    assert (answer.status_code, answer.json()["code"]) == (422, "key_in_url")


HEADERS = ["Basic {}", "Digest {}", "{}", "Bearer", "Bearer:{}", "Bearer\t{}", "Bearer {} x", "Bearer {}\xff"]


@pytest.mark.parametrize("header", HEADERS)
def test_only_a_bearer_header_is_read_even_for_a_key_seen_a_moment_ago(world: World, header: str) -> None:
    assert world.mine.http.get("/api/v1/whoami").status_code == 200
    given = header.format(world.mine.key).encode("latin-1")
    with world.mine.server.client(None) as client:
        assert client.get("/api/v1/whoami", headers={b"Authorization": given}).status_code == 401


def test_a_key_with_a_wrong_checksum_asks_the_database_nothing(impatient: Server, world: World) -> None:
    pool = impatient.platform.database("identity").pool

    def asked(key: str) -> int:
        before = pool.get_stats().get("requests_num", 0)
        with impatient.client(key) as client:
            assert client.get("/api/v1/whoami").status_code == 401
        return pool.get_stats().get("requests_num", 0) - before

    assert asked(KeyText.generate().text) == 1
    assert asked(altered(world.mine.key)) == 0
    assert asked("nonsense") == 0


def test_a_revoked_key_stops_working_within_two_seconds(world: World) -> None:
    key = world.mine.issue()
    with world.mine.server.client(key) as client:
        assert client.get("/api/v1/whoami").status_code == 200
        world.mine.http.delete(world.mine.path(f"/keys/{key[4:16]}"))
        end = datetime.now(UTC) + timedelta(seconds=2)
        while client.get("/api/v1/whoami").status_code == 200:
            assert datetime.now(UTC) < end
