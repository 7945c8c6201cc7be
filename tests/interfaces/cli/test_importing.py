"""`testmesh import` and `testmesh export`: what they write is valid and runs against a real server, and comes back the same."""

from __future__ import annotations

import asyncio
import json
import shlex
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from application.exporting.curl import word
from tests.interfaces.cli.conftest import Ran
from tests.support.http_server import Answer, HttpServer, Received, http_server, reply, reply_json

Testmesh = Callable[..., Ran]
FIXTURES = Path(__file__).parents[2] / "application" / "importing" / "fixtures"


@contextmanager
def served(answer: Answer) -> Iterator[HttpServer]:
    """A server in a thread of its own, since the program runs in this one."""
    ready, loop = threading.Event(), asyncio.new_event_loop()
    found: list[HttpServer] = []
    ended: list[asyncio.Event] = []

    async def serve() -> None:
        ended.append(asyncio.Event())
        async with http_server(answer) as server:
            found.append(server)
            ready.set()
            await ended[0].wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert ready.wait(10)
        yield found[0]
    finally:
        loop.call_soon_threadsafe(ended[0].set)
        thread.join(10)
        loop.close()


async def shop(received: Received, writer: asyncio.StreamWriter) -> bytes:
    """The shop that the fixtures were recorded from, with other ids and tokens than then."""
    authorised = received.headers.get("authorization") == "Bearer fresh-token-77"
    if received.path in ("/api/login", "/v2/login"):
        return reply_json(
            {"token": "fresh-token-77", "user": {"id": "usr_new", "name": "Ada"}, "roles": ["buyer"], "expires": None}
        )
    if received.path in ("/v2/charges", "/graphql", "/form"):
        return reply_json({"ok": True, "total": 5}, 202 if received.path == "/v2/charges" else 200)
    if received.path == "/logout":
        return reply("", 302, [("Location", "/")])
    if received.path == "/files":
        return reply_json({}, 200 if received.headers.get("x-key") else 401)
    if not authorised:
        return reply_json({"error": "unauthorised"}, 401)
    if received.path == "/api/products":
        page = "after" in received.target
        return reply_json([] if page else {"items": [{"sku": "NEW-9"}], "next": "a/b=="})
    if received.path in ("/api/orders", "/orders"):
        return reply_json({"id": 4711, "number": 123456, "status": "new", "total": 10}, 201)
    return reply_json({"id": 4711, "status": "new"}, 200 if "/orders/4711" in received.path else 404)


def test_an_imported_har_file_is_valid_and_runs_with_fresh_values(testmesh: Testmesh, folder: Path) -> None:
    ran = testmesh("import", "har", str(FIXTURES / "shop.har"), "-o", "shop.yaml")
    assert ran.code == 0, ran.err
    assert "wrote shop.yaml: 7 steps" in ran.err
    assert "not translated: 2 static files" in ran.err
    assert testmesh("validate", "shop.yaml").code == 0
    with served(shop) as server:
        given = {
            "base_url": server.url,
            "pay_example_net_url": server.url,
            "password": "pw",
            "cookie_consent": "y",
            "x_csrf_token": "t",
        }
        ran = testmesh("run", "shop.yaml", *(word for name, value in given.items() for word in ("--var", f"{name}={value}")))
        assert ran.code == 0, ran.out
        paths = [received.target for received in server.requests]
        assert "/api/orders/4711" in paths
        assert "/api/products?q=blue+chair&after=a%2Fb%3D%3D" in paths
        order = next(received for received in server.requests if received.path == "/api/orders")
        assert order.json() == {"user": "usr_new", "lines": [{"sku": "NEW-9", "count": 2}], "note": "${gift} {{wrap}}"}


def test_an_imported_collection_is_valid_and_runs(testmesh: Testmesh, folder: Path) -> None:
    ran = testmesh("import", "postman", str(FIXTURES / "shop.postman_collection.json"), "-o", "out", "--one-file")
    assert ran.code == 0, ran.err
    assert "kept as comments" in ran.err
    assert testmesh("validate", "out").code == 0
    with served(shop) as server:
        given = {"baseUrl": server.url, "password": "pw", "count": "3", "api_key": "k1"}
        ran = testmesh("run", "out", *(word for name, value in given.items() for word in ("--var", f"{name}={value}")))
        assert ran.code == 0, ran.out
        order = next(received for received in server.requests if received.path == "/orders")
        assert order.json() == {"user": "usr_new", "count": 3, "note": "${literal}"}
        assert any(received.target == "/orders/4711/lines/1" for received in server.requests)
        login = server.requests[0]
        assert isinstance(login.json()["at"], str)
        assert len(login.headers["x-request-id"]) == 36


BOOK = "0f8fad5b-d9cb-469f-a165-70867728950e"


async def library(received: Received, writer: asyncio.StreamWriter) -> bytes:
    """The library of the description."""
    book = {"id": BOOK, "title": "T", "isbn": "9780547773742"}
    if received.method == "POST":
        return reply_json(book, 201)
    if received.method == "DELETE":
        return reply("", 204)
    return reply_json([book] if received.path == "/books" else book)


def test_an_imported_description_is_valid_and_runs(testmesh: Testmesh, folder: Path) -> None:
    ran = testmesh("import", "openapi", str(FIXTURES / "library.yaml"), "-o", "flows")
    assert ran.code == 0, ran.err
    assert sorted(path.name for path in folder.glob("flows/*")) == ["books.yaml", "members.yaml"]
    with served(library) as server:
        ran = testmesh("run", "flows", "--var", f"base_url={server.url}", "--var", "token=t0ken", "--var", "api_key=k3y1")
        assert ran.code == 0, ran.out
        assert [received.target for received in server.requests if received.method == "DELETE"] == [f"/books/{BOOK}"]


async def echo(received: Received, writer: asyncio.StreamWriter) -> bytes:
    """Fine, whatever it is."""
    return reply_json({})


def test_an_imported_command_runs_from_an_argument_from_words_and_from_standard_input(
    testmesh: Testmesh, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(echo) as server:
        command = f"curl {server.url}/a?b=1 -H 'X-A: b c' -d 'x=1&y=a b'"
        (folder / "commands.txt").write_text(command)
        for words in ([command], ["--", *shlex.split(command)], ["commands.txt"]):
            ran = testmesh("import", "curl", *words)
            assert ran.code == 0, ran.err
            (folder / "f.yaml").write_text(ran.out)
            assert testmesh("run", "f.yaml").code == 0
            received = server.requests.pop()
            assert (received.method, received.target, received.headers["x-a"]) == ("POST", "/a?b=1", "b c")
            assert received.body == b"x=1&y=a+b"


def test_nothing_is_overwritten_and_nothing_leaves_the_folder(testmesh: Testmesh, folder: Path) -> None:
    hostile = {"info": {"name": "../../etc"}, "item": [{"name": "../x", "item": [{"name": "..", "request": "http://x"}]}]}
    (folder / "c.json").write_text(json.dumps(hostile))
    assert testmesh("import", "postman", "c.json", "-o", "out").code == 0
    assert [str(path.relative_to(folder)) for path in folder.rglob("*.yaml")] == ["out/etc/x.yaml"]
    ran = testmesh("import", "postman", "c.json", "-o", "out")
    assert ran.code == 2
    assert "exists already" in ran.err
    assert testmesh("import", "postman", "c.json", "-o", "out", "--force").code == 0
    (folder / "out" / "etc" / "x.yaml").unlink()
    (folder / "out" / "etc").rmdir()
    (folder / "elsewhere").mkdir()
    (folder / "out" / "etc").symlink_to(folder / "elsewhere")
    assert "leads out of" in testmesh("import", "postman", "c.json", "-o", "out").err
    assert list((folder / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("kind", ["har", "openapi", "postman"])
def test_a_file_that_is_not_there_or_not_readable_is_told(testmesh: Testmesh, folder: Path, kind: str) -> None:
    ran = testmesh("import", kind, "missing.json")
    assert ran.code == 2
    assert '"missing.json" cannot be read' in ran.err
    (folder / "broken.json").write_text('{"log": ')
    ran = testmesh("import", kind, "broken.json")
    assert ran.code == 2
    assert "line 1, column 9" in ran.err


COMMAND = (
    "curl 'http://x.example/a?b=c' -X PUT -H 'X-A: it'\\''s' -H 'Content-Type: text/plain' -b 'c=d1234' -u 'ada:p w' "
    "--data-raw 'line 1\nline $2' -k -m 5"
)


@pytest.mark.parametrize(
    "command",
    [
        COMMAND,
        "curl http://x.example/ -L",
        'curl http://x.example/ --json \'{"a":[1,"é",null]}\'',
        "curl http://x.example/ -d 'a=1&a=2&b=c d%26'",
        "curl http://x.example/ -F 'a=1;type=text/csv;filename=b.csv' --form-string 'c=@d;e'",
        "curl http://x.example/ -H 'Authorization: Bearer abc' --head",
        "curl http://x.example/ -H 'Content-Type:' -d raw",
        "curl http://x.example/ --digest -u a:b -x http://proxy:1 --http2",
    ],
)
def test_curl_to_flow_to_curl_says_the_same(testmesh: Testmesh, folder: Path, command: str) -> None:
    first = testmesh("import", "curl", command, "--keep-secrets")
    (folder / "f.yaml").write_text(first.out)
    exported = testmesh("export", "curl", "f.yaml")
    assert exported.code == 0, exported.err
    assert testmesh("import", "curl", exported.out, "--keep-secrets").out == first.out


def test_variables_without_a_value_become_those_of_the_shell(testmesh: Testmesh, folder: Path) -> None:
    (folder / "f.yaml").write_text(
        "flow:\n  name: x\n  env: {path: a b, deep: '${path}/c'}\n  steps:\n"
        "    - {id: one, action: http, config: {method: GET, url: 'http://${host}/${deep}', params: {q: '${query}'}}}\n"
        "    - {id: two, action: log, config: {message: x}}\n"
        "    - id: three\n      action: http_request\n"
        "      config: {method: POST, url: 'http://${host}/', json: {id: '${one.body.id}', price: '5$', n: '${number + 1}'}}\n"
    )
    ran = testmesh("export", "curl", "f.yaml", "--var", "number=4")
    assert 'curl "http://${host}/a b/c?q=${query}" -L' in ran.out
    assert '--data-raw "{\\"id\\":\\"${one_body_id}\\",\\"price\\":\\"5\\$\\",' in ran.out
    assert "1 step that is no HTTP request" in ran.err
    assert (
        testmesh("export", "curl", "f.yaml:5", "--var", "host=h", "--var", "query=1").out
        == "# one\ncurl 'http://h/a b/c?q=1' -L\n"
    )
    assert testmesh("export", "curl", "f.yaml:6").code == 4


def test_other_names_of_keys_are_exported_like_the_first(testmesh: Testmesh, folder: Path) -> None:
    auth = "auth: {type: api_key, key: k-1, name: k, location: query}"
    step = f"{{action: http_request, config: {{method: GET, url: 'http://h/', query: {{a: 1}}, {auth}}}}}"
    (folder / "f.yaml").write_text(f"flow: {{name: f, steps: [{step}]}}")
    assert "'http://h/?a=1&k=k-1'" in testmesh("export", "curl", "f.yaml").out


def _essence(collection: dict[str, Any]) -> list[Any]:
    """Method, URL, headers and body of each request."""
    found: list[Any] = []
    for item in collection["item"]:
        if "item" in item:
            found += _essence(item)
            continue
        request = item["request"]
        body = dict(request.get("body") or {})
        body.pop("options", None)
        if body.get("mode") == "raw":
            with suppress(ValueError):
                body["raw"] = json.loads(body["raw"])
        if body.get("mode") == "graphql":
            body["graphql"]["variables"] = json.loads(body["graphql"]["variables"])
        headers = [(one["key"], one["value"]) for one in request.get("header", [])]
        url = request["url"]
        found.append(
            (item["name"], request["method"], url if isinstance(url, str) else url["raw"], headers, body, request.get("auth"))
        )
    return found


def test_postman_to_flow_to_postman_keeps_the_requests_and_the_tests(testmesh: Testmesh, folder: Path) -> None:
    source = {
        "info": {"name": "C"},
        "variable": [{"key": "base", "value": "http://x"}],
        "item": [
            {
                "name": "one",
                "request": {
                    "method": "POST",
                    "url": {"raw": "{{base}}/a/{{id}}?q=1&r={{id}}"},
                    "header": [{"key": "X-A", "value": "v {{id}} ${x}"}],
                    "body": {"mode": "raw", "raw": '{"a": "{{id}}", "b": [1, null]}', "options": {"raw": {"language": "json"}}},
                    "auth": {"type": "bearer", "bearer": [{"key": "token", "value": "{{token}}", "type": "string"}]},
                },
                "event": [{"listen": "test", "script": {"type": "text/javascript", "exec": [
                    'pm.test("status == 200", function () {', "    pm.response.to.have.status(200);", "});",
                    'pm.test("named", function () {', '    pm.expect(pm.response.json().a.b).to.eql("c");', "});",
                    'pm.test("known", function () {', '    pm.expect(pm.response.json()).to.have.property("a");', "});",
                    'pm.test("new", function () {', '    pm.expect(pm.response.json()).to.not.have.property("z");', "});",
                    'pm.test("exact", function () {',
                    '    pm.expect(pm.response.json().a).to.have.all.keys(["b", "c"]);', "});",
                    'pm.test("any order", function () {',
                    '    pm.expect(pm.response.json().list).to.have.members(["x", "y"]);', "});",
                    'pm.collectionVariables.set("made", pm.response.json().made);',
                ]}}],
            },
            {"name": "two", "request": {"method": "PUT", "url": {"raw": "{{base}}/b"}, "header": [],
                "body": {"mode": "urlencoded", "urlencoded": [{"key": "a", "value": "{{made}}"}]}}},
            {"name": "three", "request": {"method": "POST", "url": {"raw": "{{base}}/c"}, "header": [],
                "body": {"mode": "graphql", "graphql": {"query": "query { a }", "variables": '{"n": 1}'}}}},
            {"name": "four", "request": {"method": "PATCH", "url": {"raw": "http://x/d"}, "header": [],
                "body": {"mode": "raw", "raw": "plain {{made}} {{$guid}}"}}},
        ],
    }  # fmt: skip
    (folder / "c.json").write_text(json.dumps(source))
    assert testmesh("import", "postman", "c.json", "-o", "f.yaml").code == 0
    ran = testmesh("export", "postman", "f.yaml")
    assert ran.code == 0, ran.err
    back = json.loads(ran.out)
    assert _essence(back) == _essence(source)
    assert back["item"][0]["event"] == source["item"][0]["event"]  # type: ignore[index]
    assert back["variable"] == source["variable"]


def test_what_postman_cannot_say_stays_as_a_comment_and_is_counted(testmesh: Testmesh, folder: Path) -> None:
    (folder / "f.yaml").write_text(
        "flow:\n  name: x\n  steps:\n    - id: one\n      when: 1 == 1\n      action: http_request\n"
        "      config: {method: GET, url: 'http://x'}\n      assert: ['all(body.items, .price > 1)',"
        " 'body is array || body.a == 1', body is array]\n"
    )
    ran = testmesh("export", "postman", "f.yaml", "-o", "c.json")
    assert ran.code == 0
    assert "3 statements, kept as comments" in ran.err
    script = json.loads((folder / "c.json").read_text())["item"][0]["event"][0]["script"]["exec"]
    assert "// Not translated: all(body.items, .price > 1)" in script
    assert '    pm.expect(pm.response.json()).to.be.a("array");' in script
    assert testmesh("export", "postman", "f.yaml", "-o", "c.json").code == 2


@pytest.mark.parametrize(
    "text", ["a b", "it's", '$x `y` "z" \\', "\x1b[0m", "é漢", "a\nb", "!x", "-d", "", 'before \ue000V\ue001/$y"\\`']
)
def test_a_shell_reads_back_every_word_that_is_exported(text: str) -> None:
    read = subprocess.run(["bash", "-c", f"V=value; printf %s {word(text)}"], capture_output=True, text=True, check=True).stdout
    assert read == text.replace("\ue000V\ue001", "value")
