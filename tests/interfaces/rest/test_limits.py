"""Hostile requests: each is answered with a problem of its own, none with a bug, and none tells what is inside."""

from __future__ import annotations

import gzip
import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import orjson
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from domain.limits import LIMITS
from interfaces.rest.routes import ROUTES
from tests.support.served import FLOW, Room, Server

JSON = {"Content-Type": "application/json"}
ROOT = re.escape(str(Path(__file__).parents[3]))
INSIDE = re.compile(rf'Traceback|File "|\.py\b|psycopg|SELECT |INSERT |UPDATE |{ROOT}|/tmp/|site-packages|orjson|line \d+, in ')
START = b'{"document": ' + orjson.dumps(FLOW) + b", "
BROKEN_JSON = {
    "nothing": b"",
    "blanks": b"   ",
    "half": b'{"documents": [',
    "not a number": START + b'"variables": {"a": NaN}}',
    "infinity": START + b'"variables": {"a": -Infinity}}',
    "a float too big": START + b'"variables": {"a": 1e999}}',
    "a lone surrogate": b'{"document": "\\ud800"}',
    "not utf-8": b'{"document": "\xff"}',
    "a nul": b'{"document": "a\\u0000b"}',
    "a nul in a key": START + b'"variables": {"a\\u0000": 1}}',
    "65 deep": START + b'"variables": {"a": ' + b"[" * 65 + b"]" * 65 + b"}}",
    "5,000 deep": b"[" * 5000 + b"]" * 5000,
    "5,000 digits": START + b'"variables": {"a": ' + b"9" * 5000 + b"}}",
    "a list": b"[]",
    "a text": b'"flow"',
    "null": b"null",
}
WRONG_FIELDS: dict[str, object] = {
    "unknown": {"document": FLOW, "workspace": "other"},
    "a role smuggled in": {"document": FLOW, "status": "passed"},
    "number for text": {"document": 7},
    "text for a number": {"flow": "x", "revision": "1"},
    "true for a number": {"flow": "x", "revision": True},
    "number too big": {"flow": "x", "revision": 2**31},
    "number too small": {"flow": "x", "revision": 0},
    "list for an object": {"document": FLOW, "variables": []},
    "text for a list": {"document": FLOW, "tags": "smoke"},
    "numbers in a list": {"document": FLOW, "tags": [1]},
    "empty text": {"document": FLOW, "seed": ""},
    "both": {"document": FLOW, "flow": "x"},
    "neither": {},
    "revision of a document": {"document": FLOW, "revision": 1},
}
QUERIES = ["limit=201", "limit=0", "limit=-1", "limit=--5", "limit=²", "limit=1e3", f"limit={'9' * 5000}", "cursor=x",
    "cursor=W10", "cursor=%00", "cursor=%ff", f"cursor={'A' * 2001}", "nonsense=1", "archived=maybe", "archived=TRUE",
    "min_position=x", "min_position=flows:²", "min_position=flows:-1", f"min_position=flows:{'9' * 19}", "min_position=flows",
    "text=%00", f"text={'x' * 256}", f"tag={'x' * 256}"]  # fmt: skip
HOSTILE = ["%00", "a%00b", "..%2f..%2fetc", "%2e%2e", "ü", "%F0%9F%92%A9", "%ff%fe", "x" * 5000, "'; DROP TABLE flows--",
    "{00000000-0000-0000-0000-000000000000}", "None", "%0d%0aX-Evil:%201", "-1", "0" * 32, "١" * 32]  # fmt: skip


def check(answer: httpx.Response, *statuses: int) -> None:
    """The answer is a problem with one of the statuses that tells nothing of the inside."""
    assert answer.status_code in statuses, (answer.status_code, answer.text[:300])
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert (body["status"], body["request_id"]) == (answer.status_code, answer.headers["x-request-id"])
    assert not INSIDE.search(answer.text), answer.text


def post(room: Room, content: bytes | Iterator[bytes], path: str = "/executions", **headers: str) -> httpx.Response:
    """Send a body as it is."""
    return room.http.post(room.path(path), content=content, headers={**JSON, **headers})


def raw(server: Server, request: bytes) -> bytes:
    """The first of what the server answers to these bytes."""
    with socket.create_connection(("127.0.0.1", server.served.port), timeout=3) as connection:
        connection.sendall(request)
        return connection.recv(65536)


@pytest.mark.parametrize("body", BROKEN_JSON.values(), ids=BROKEN_JSON.keys())
def test_what_is_not_plain_json_is_refused(room: Room, body: bytes) -> None:
    answer = post(room, body)
    check(answer, 400)
    assert answer.json()["code"] == "invalid_body"


@pytest.mark.parametrize("body", WRONG_FIELDS.values(), ids=WRONG_FIELDS.keys())
def test_a_body_with_a_wrong_field_is_refused(room: Room, body: object) -> None:
    check(room.http.post(room.path("/executions"), json=body), 400, 422)


def test_json_64_deep_is_taken_and_65_deep_is_not(room: Room) -> None:
    def deep(lists: int) -> httpx.Response:
        return post(room, START + b'"variables": {"a": ' + b"[" * lists + b"1" + b"]" * lists + b"}}")

    assert deep(62).status_code == 202
    check(deep(63), 400)


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query[:30])
def test_a_wrong_query_is_refused(room: Room, query: str) -> None:
    answer = room.http.get(room.path("/flows") + "?" + query)
    check(answer, 422)


def test_a_page_of_200_is_the_largest(room: Room) -> None:
    assert room.http.get(room.path("/executions"), params={"limit": 200}).status_code == 200
    check(room.http.get(room.path("/executions"), params={"limit": 201}), 422)


@pytest.mark.parametrize("chunked", [False, True], ids=["with its length", "chunked"])
def test_a_body_over_the_limit_is_refused_and_one_at_the_limit_read(room: Room, chunked: bool) -> None:
    def body(size: int) -> bytes | Iterator[bytes]:
        content = b'{"reason": "' + b" " * (size - 14) + b'"}'
        return (content[i : i + 65536] for i in range(0, size, 65536)) if chunked else content

    id = room.request()
    codes = []
    for size in (LIMITS.request_body_bytes, LIMITS.request_body_bytes + 1):
        answer = post(room, body(size), f"/executions/{id}/cancel")
        check(answer, 413)
        codes.append(answer.json()["code"])
    assert codes == ["limit", "body_too_large"]


def test_nobody_can_make_the_server_read_a_large_body(room: Room) -> None:
    with room.server.client(None) as client:
        check(client.post(room.path("/flows"), content=b"x" * 3_000_000, headers=JSON), 401)
        check(client.post("/api/v1/nowhere", content=b"x" * 9_000_000, headers=JSON), 404, 413)


def test_a_body_that_does_not_arrive_is_not_waited_for(impatient: Server) -> None:
    with impatient.room() as room:
        head = f"POST {room.path('/executions')} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {room.key}\r\n"
        begun = time.monotonic()
        with socket.create_connection(("127.0.0.1", impatient.served.port), timeout=5) as connection:
            connection.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{".encode())
            assert connection.recv(65536).startswith(b"HTTP/1.1 408")
        assert time.monotonic() - begun < 3


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip"])
def test_a_compressed_body_is_refused(room: Room, encoding: str) -> None:
    check(post(room, gzip.compress(b" " * 1_000_000), **{"Content-Encoding": encoding}), 415)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""])
def test_another_content_type_is_refused(room: Room, kind: str) -> None:
    check(post(room, b'{"document": "x"}', **{"Content-Type": kind}), 415)


def test_json_with_a_charset_is_read(room: Room) -> None:
    answer = post(room, b'{"document": 7}', **{"Content-Type": "Application/JSON; charset=utf-8"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_field")


def test_broken_requests_get_400(room: Room) -> None:
    head = b"POST /api/v1/whoami HTTP/1.1\r\nHost: x\r\n"
    for broken in (
        head + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        head + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        head + b"Content-Length: -1\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"nonsense\r\n\r\n",
    ):
        assert raw(room.server, broken).startswith(b"HTTP/1.1 400"), broken


def test_headers_over_8_kib_get_413(room: Room) -> None:
    assert raw(room.server, b"GET /health HTTP/1.1\r\nX-Long: " + b"x" * 9000 + b"\r\n\r\n").startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize("part", HOSTILE, ids=lambda part: part[:20])
def test_hostile_ids_are_found_nowhere(server: Server, part: str) -> None:
    spelled = part if "%" in part else quote(part)
    with server.home() as room:
        for route in ROUTES:
            if "<" not in route.path:
                continue
            path = re.sub(r"<workspace>", room.id, route.path)
            if "<" in path:
                body = {} if route.body else None
                check(room.http.request(route.method, re.sub(r"<\w+>", spelled, path), json=body), 404, 422)
            else:
                check(room.http.request(route.method, re.sub(r"<\w+>", spelled, route.path)), 404, 422)


@pytest.mark.parametrize(
    ("rest", "allowed"), [("", "GET"), ("/schedules", "GET, POST"), ("/schedules/", "GET, POST"), ("/keys/x", "DELETE")]
)
def test_another_method_is_refused_with_those_that_there_are(room: Room, rest: str, allowed: str) -> None:
    answer = room.http.request("TRACE", room.path(rest))
    check(answer, 405)
    assert answer.headers["allow"] == allowed


def test_other_methods_and_addresses_get_a_problem(room: Room) -> None:
    check(room.http.patch(room.path()), 405)
    check(room.http.get("/api/v1/" + "x" * 4000), 404)
    check(room.http.get("/api/v1/workspaces/%00/flows"), 404)


def test_a_foreign_request_id_is_kept_only_when_harmless(room: Room) -> None:
    def answered(id: str) -> str:
        return room.http.get("/health", headers={"X-Request-ID": id}).headers["x-request-id"]

    assert answered("build-7.3_a") == "build-7.3_a"
    assert answered("a b") != "a b"
    assert answered("x" * 65) != "x" * 65


def test_every_answer_carries_the_headers_that_browsers_obey(room: Room) -> None:
    for answer in (room.http.get("/health"), room.http.get("/nowhere"), room.http.get("/api/v1/docs"), post(room, b"{")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in answer.headers


TEXTS = st.text(max_size=30) | st.sampled_from(["\x00", "{}", "9" * 30, "%s", "'", "../..", "flows:1", "execution:1"])
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
REQUESTS = int(os.environ.get("TESTMESH_TEST_REQUESTS", "120"))
PLAIN = st.recursive(st.none() | st.booleans() | NUMBERS | TEXTS, lambda inner: st.lists(inner, max_size=3), max_leaves=6)


@pytest.mark.row("R19")
@given(st.data())
@examples(max_examples=REQUESTS, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_request_finds_a_bug(room: Room, data: st.DataObject) -> None:
    route = data.draw(st.sampled_from(ROUTES))
    path = route.path.replace("<workspace>", room.id)
    path = re.sub(r"<\w+>", lambda _: quote(data.draw(TEXTS).encode("utf-8", "replace") or b"-", safe=""), path)
    names = st.sampled_from([*route.query.__dataclass_fields__, "other"])
    query = data.draw(st.dictionaries(names, TEXTS, max_size=2).filter(lambda q: "min_position" not in q))
    names = st.sampled_from([*(route.body.__dataclass_fields__ if route.body else ()), "other"])
    body = data.draw(st.dictionaries(names, PLAIN, max_size=3))
    answer = room.http.request(route.method, path, params=query, json=body if route.body else None)
    assert answer.status_code < 500, (route.name, path, query, body, answer.text)
    assert not INSIDE.search(answer.text) or answer.is_success, answer.text
