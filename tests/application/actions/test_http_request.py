"""The action http_request against real servers on this machine."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest

from application.actions.http_request import HTTP_REQUEST
from application.engine.action import ActionError
from tests.support.action_context import bench
from tests.support.http_server import Received, always, http_server, reply, reply_json, routes


async def asked(config: dict[str, Any], answer: bytes | None = None) -> tuple[Received, Any]:
    """What a server received for this config, and the result."""
    async with http_server(always(answer or reply_json({"id": 7}))) as server, bench() as steps:
        result = await steps.run(HTTP_REQUEST, {"method": "GET", "url": f"{server.url}/a", **config})
    return server.requests[-1], result


async def failed(config: dict[str, Any], **options: Any) -> ActionError:
    """The error of a request, with its URL given."""
    async with bench(**options) as steps:
        return await steps.error(HTTP_REQUEST, {"method": "GET", **config})


async def test_an_answer_in_json_is_parsed_and_counted() -> None:
    _, result = await asked({})
    assert (result["status"], result["body"], result["text"]) == (200, {"id": 7}, '{"id": 7}')
    assert result["size"] == 9
    assert result["headers"]["Content-Type"] == "application/json"
    assert result["url"].endswith("/a")
    assert result["http_version"] == "HTTP/1.1"
    assert result["time"] >= result["timings"]["first_byte"] > 0
    assert set(result) == set(HTTP_REQUEST.result) - {"saved"}


async def test_only_the_headers_that_are_expected_are_sent() -> None:
    received, _ = await asked({"headers": {"X-Mine": "ä", "Accept": None}})
    assert sorted(received.headers) == ["accept-encoding", "host", "user-agent", "x-mine"]
    assert received.headers["x-mine"].encode("latin-1").decode() == "ä"


async def test_a_url_is_sent_as_it_was_written() -> None:
    received, _ = await asked({"params": {"q": "a b&c", "n": [1, 2], "no": None, "yes": True, "z": "ü"}})
    assert received.target == "/a?q=a%20b%26c&n=1&n=2&yes=true&z=%C3%BC"


@pytest.mark.parametrize(
    ("config", "kind", "sent"),
    [
        ({"body": {"a": [1, "ü"]}}, "application/json", '{"a":[1,"ü"]}'),
        ({"body": "raw text"}, None, "raw text"),
        ({"json": "text"}, "application/json", '"text"'),
        ({"json": None}, "application/json", "null"),
        ({"form": {"a": "1 2", "b": [True, 3]}}, "application/x-www-form-urlencoded", "a=1+2&b=true&b=3"),
        ({"body": {"a": 1}, "headers": {"content-type": "application/vnd.x+json"}}, "application/vnd.x+json", '{"a":1}'),
        (
            {"graphql": {"query": "{ me }", "variables": {"x": 1}, "operation_name": "Q"}},
            "application/json",
            '{"query":"{ me }","variables":{"x":1},"operationName":"Q"}',
        ),
    ],
)
async def test_each_kind_of_body_arrives_with_its_type(config: dict[str, Any], kind: str | None, sent: str) -> None:
    received, _ = await asked({"method": "POST", **config})
    assert received.body.decode() == sent
    assert received.headers.get("content-type") == kind
    assert received.headers["content-length"] == str(len(sent.encode()))


async def test_a_large_body_arrives_whole() -> None:
    received, _ = await asked({"method": "PUT", "body": "x" * 600_000})
    assert (len(received.body), received.headers["content-length"]) == (600_000, "600000")


async def test_multipart_carries_values_and_files() -> None:
    file = {"base64": base64.b64encode(b"\x00\xff").decode(), "filename": 'a".bin', "content_type": "image/png"}
    received, _ = await asked(
        {"method": "POST", "multipart": {"title": "x", "n": [1, 2], "meta": {"value": {"k": 1}}, "f": file}}
    )
    assert received.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert received.body.count(b'name="n"') == 2
    assert b'name="f"; filename="a%22.bin"\r\nContent-Type: image/png\r\n\r\n\x00\xff\r\n' in received.body
    assert b'name="meta"\r\nContent-Type: application/json\r\n\r\n{"k":1}\r\n' in received.body


async def test_multipart_carries_files_of_the_project(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/dot.png").write_bytes(b"\x89PNG\x00")
    config = {"method": "POST", "multipart": {"f": {"file": "data/dot.png"}, "g": {"file": "data/dot.png", "filename": "x"}}}
    async with http_server(always(reply_json({}))) as server, bench(folder=tmp_path) as steps:
        await steps.run(HTTP_REQUEST, {**config, "url": server.url})
        for part in ({"file": "../x"}, {"file": "/etc/passwd"}, {"file": "none"}, {"file": "data/dot.png", "value": "x"}):
            error = await steps.error(HTTP_REQUEST, {"method": "POST", "url": server.url, "multipart": {"f": part}})
            assert (error.kind, "the part f" in error.message) == ("config", True)
    body = server.requests[-1].body
    assert b'name="f"; filename="dot.png"\r\nContent-Type: application/octet-stream\r\n\r\n\x89PNG\x00\r\n' in body
    assert b'name="g"; filename="x"\r\n' in body


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"headers": {"X": "a\r\nInjected: 1"}}, "line break"),
        ({"headers": {"a b": "x"}}, "header name"),
        ({"headers": {"Transfer-Encoding": "chunked"}}, "by the connection"),
        ({"body": "x", "json": {}}, "both a body"),
        ({"url": "ftp://h/"}, "http://"),
        ({"url": "file:///etc/passwd"}, "http://"),
        ({"url": "http://[example.com]/"}, "not a URL"),
        ({"url": "http://a b/"}, "not a host"),
        ({"url": "http://h/" + "a" * 65536}, "longer"),
        ({"method": "GET /x HTTP/1.1\r\nA: b"}, "not a method"),
        ({"auth": {"type": "kerberos"}}, "not a type"),
        ({"auth": {"type": "basic"}}, "needs username"),
        ({"timeout": "soon"}, "timeout"),
        ({"max_redirects": 1000}, "max_redirects"),
        ({"cert": "secret.pem"}, "PEM"),
        ({"cookies": {"a": "1; b=2"}}, "cookie"),
        ({"cookies": {"a\x00": "1"}}, "cookie"),
        ({"auth": {"type": "api_key", "key": "k", "name": "X\r\nInjected"}}, "header name"),
        ({"multipart": "x"}, "multipart"),
        ({"http2": True, "proxy": "http://p/"}, "proxy"),
    ],
)
async def test_what_cannot_be_sent_is_refused_before_any_traffic(config: dict[str, Any], message: str) -> None:
    async with http_server(always(reply())) as server:
        error = await failed({"url": server.url, **config})
    assert (error.kind, message in error.message) == ("config", True), error.message
    assert not server.connections


async def test_credentials_are_sent_and_told_to_the_masker() -> None:
    async with http_server(always(reply())) as server, bench() as steps:
        for auth in (
            {"type": "basic", "username": "ann", "password": "pässword"},
            {"type": "bearer", "token": "tok-123"},
            {"type": "api_key", "key": "key-123", "header": "X-Key"},
            {"type": "api_key", "key": "key-456", "name": "k", "location": "query"},
        ):
            await steps.run(HTTP_REQUEST, {"method": "GET", "url": server.url, "auth": auth})
        await steps.run(HTTP_REQUEST, {"method": "GET", "url": server.url.replace("//", "//bob:p%40ss@")})
    basic, bearer, header, query, userinfo = server.requests
    assert base64.b64decode(basic.headers["authorization"][6:]).decode() == "ann:pässword"
    assert bearer.headers["authorization"] == "Bearer tok-123"
    assert header.headers["x-key"] == "key-123"
    assert query.target == "/?k=key-456"
    assert base64.b64decode(userinfo.headers["authorization"][6:]) == b"bob:p@ss"
    assert {"pässword", "tok-123", "key-123", "key-456", "p@ss"} <= set(steps.secrets)


async def test_a_token_of_oauth2_is_asked_for_once() -> None:
    answer = routes(token=reply_json({"access_token": "granted", "expires_in": 3600}), a=reply())
    async with http_server(answer) as server, bench() as steps:
        auth = {
            "type": "oauth2",
            "token_url": f"{server.url}/token",
            "client_id": "me",
            "client_secret": "s3cret",
            "scope": "x",
        }
        for _ in range(2):
            await steps.run(HTTP_REQUEST, {"method": "GET", "url": f"{server.url}/a", "auth": auth})
    assert [request.path for request in server.requests] == ["/token", "/a", "/a"]
    assert server.requests[0].body == b"grant_type=client_credentials&scope=x"
    assert server.requests[2].headers["authorization"] == "Bearer granted"
    assert {"granted", "s3cret"} <= set(steps.secrets)


async def test_a_token_that_is_refused_is_an_error() -> None:
    async with http_server(always(reply_json({"error": "invalid_client"}, 401))) as server:
        auth = {"type": "oauth2", "token_url": server.url, "client_id": "me", "client_secret": "s3cret"}
        error = await failed({"url": server.url, "auth": auth})
    assert (error.kind, error.message) == ("auth", "no token: the token server answered 401 invalid_client")


async def test_a_digest_challenge_is_answered() -> None:
    challenge = reply(status=401, headers=[("WWW-Authenticate", 'Digest realm="r", nonce="n", qop="auth", algorithm=SHA-256')])

    async def answer(received: Received, writer: asyncio.StreamWriter) -> bytes:
        return reply("in") if 'username="ann"' in received.headers.get("authorization", "") else challenge

    async with http_server(answer) as server, bench() as steps:
        auth = {"type": "digest", "username": "ann", "password": "pass-1"}
        result = await steps.run(HTTP_REQUEST, {"method": "POST", "url": server.url, "body": "x", "auth": auth})
    assert (result["status"], result["body"], len(server.requests)) == (200, "in", 2)
    assert [request.body for request in server.requests] == [b"x", b"x"]


async def test_cookies_stay_with_the_execution() -> None:
    answer = routes(login=reply(headers=[("Set-Cookie", "sid=1; Path=/"), ("Set-Cookie", "lang=en")]), a=reply())
    async with http_server(answer) as server, bench() as steps:
        first = await steps.run(HTTP_REQUEST, {"method": "GET", "url": f"{server.url}/login"})
        await steps.run(HTTP_REQUEST, {"method": "GET", "url": f"{server.url}/a", "cookies": {"lang": "de", "b": 2}})
    assert first["cookies"] == {"sid": "1", "lang": "en"}
    assert first["headers"]["Set-Cookie"] == ["sid=1; Path=/", "lang=en"]
    assert server.requests[1].headers["cookie"] == "sid=1; lang=de; b=2"
    assert server.connections == 1


@pytest.mark.parametrize(
    ("kind", "content", "body"),
    [
        ("application/problem+json; charset=utf-8", b'{"a":12345678901234567890123}', {"a": 12345678901234567890123}),
        ("application/json", b"[" * 100 + b"]" * 100, "[" * 100 + "]" * 100),
        ("application/json", b"{broken", "{broken"),
        ("application/json", b"", ""),
        ("text/plain; charset=iso-8859-1", b"\xe4", "ä"),
        ("text/plain; charset=punycode", b"a", "a"),
    ],
)
async def test_a_body_is_read_by_its_type(kind: str, content: bytes, body: Any) -> None:
    _, result = await asked({}, reply(content, headers=[("Content-Type", kind)]))
    assert result["body"] == body


async def test_the_exchange_is_shown_without_credentials() -> None:
    async with http_server(always(reply("x" * 5000, headers=[("Set-Cookie", "a=1")]))) as server, bench() as steps:
        config = {"method": "POST", "url": f"{server.url}/p", "body": {"a": 1}, "auth": {"type": "bearer", "token": "tok-123"}}
        await steps.run(HTTP_REQUEST, config)
    request, response = steps.exchange["request"], steps.exchange["response"]
    assert (request["method"], request["url"], request["body"]) == ("POST", f"{server.url}/p", '{"a":1}')
    assert request["headers"]["Authorization"] == response["headers"]["Set-Cookie"] == "[masked]"
    assert (response["status"], len(response["body"]) < 4200) == (200, True)


async def test_a_failed_connection_shows_what_was_to_be_sent(closed_port: int) -> None:
    async with bench() as steps:
        error = await steps.error(HTTP_REQUEST, {"method": "GET", "url": f"http://127.0.0.1:{closed_port}/x"})
    assert error.kind == "connection_refused"
    assert steps.exchange["request"]["url"] == f"http://127.0.0.1:{closed_port}/x"


async def test_the_head_of_an_answer_is_enough() -> None:
    _, result = await asked({"method": "HEAD"}, reply(length=1000))
    assert (result["status"], result["text"]) == (200, "")


async def test_steps_run_side_by_side() -> None:
    async with http_server(always(reply_json({"id": 7}))) as server, bench() as steps:
        config = {"method": "GET", "url": server.url}
        results = await asyncio.gather(*(steps.run(HTTP_REQUEST, config) for _ in range(50)))
    assert [result["body"]["id"] for result in results] == [7] * 50


@pytest.fixture
async def closed_port() -> int:
    """A port where nothing listens."""
    async with http_server(always(reply())) as server:
        return server.port
