"""How HTTP requests fail and travel: error kinds, time-outs, TLS, client certificates, proxies and HTTP/2."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from application.actions.http_request import HTTP_REQUEST
from application.engine.egress import WorkerPolicy
from tests.support.action_context import bench
from tests.support.http_server import Identity, Received, always, http2_server, http_server, listening, new_identity, reply


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    """A new identity."""
    return new_identity(tmp_path_factory.mktemp("tls"))


async def kind_of(config: dict[str, Any], **options: Any) -> str:
    """The kind of error that a request ends with."""
    async with bench(**options) as steps:
        return (await steps.error(HTTP_REQUEST, {"method": "GET", **config})).kind


async def silence(received: Received, writer: asyncio.StreamWriter) -> None:
    """No answer."""
    await asyncio.sleep(60)


@pytest.mark.parametrize("http2", [False, True])
async def test_each_way_to_fail_has_its_own_kind(identity: Identity, http2: bool) -> None:
    async with http_server(always(reply())) as gone:
        pass
    async with http_server(silence) as quiet, http_server(always(reply()), tls=identity.server("h2", "http/1.1")) as signed:
        kinds = {
            "refused": await kind_of({"url": gone.url, "http2": http2}),
            "dns": await kind_of({"url": "http://no-such-name.invalid/", "http2": http2}),
            "tls": await kind_of({"url": signed.url, "http2": http2}),
            "timeout": await kind_of({"url": quiet.url, "timeout": "100ms", "http2": http2}),
            "egress": await kind_of({"url": quiet.url, "http2": http2}, egress=WorkerPolicy()),
        }
    assert kinds == {"refused": "connection_refused", "dns": "dns", "tls": "tls", "timeout": "timeout", "egress": "egress"}


async def test_the_answer_of_a_refusal_does_not_tell_whether_the_port_is_open() -> None:
    texts = []
    async with http_server(always(reply())) as server:
        ports = (server.port, 1)
        for port in ports:
            async with bench(egress=WorkerPolicy()) as steps:
                error = await steps.error(HTTP_REQUEST, {"method": "GET", "url": f"http://127.0.0.1:{port}/"})
            texts.append(error.message.replace(f":{port} ", " "))
    assert texts[0] == texts[1]
    assert not server.connections


async def test_a_body_of_a_byte_now_and_then_runs_out_of_time() -> None:
    async def drip(received: Received, writer: asyncio.StreamWriter) -> None:
        writer.write(reply("x", length=1000))
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.03)

    async with http_server(drip) as server:
        begun = time.monotonic()
        assert await kind_of({"url": server.url, "timeout": "200ms"}) == "timeout"
        assert time.monotonic() - begun < 1


async def test_no_tls_where_there_is_none_is_a_tls_error() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        await reader.read()

    async with listening(greet) as port:
        assert await kind_of({"url": f"https://127.0.0.1:{port}/", "timeout": 5}) == "tls"


async def test_tls_is_verified_unless_told_otherwise(identity: Identity) -> None:
    async with http_server(always(reply("in")), tls=identity.server()) as server, bench() as steps:
        config = {"method": "GET", "url": server.url}
        error = await steps.error(HTTP_REQUEST, config)
        assert (error.kind, "self-signed" in error.message) == ("tls", True)
        for more in ({"verify_ssl": False}, {"cert": {"ca": identity.certificate}}):
            result = await steps.run(HTTP_REQUEST, {**config, **more})
            assert result["text"] == "in"
            assert result["timings"]["tls"] > 0
        again = await steps.run(HTTP_REQUEST, {**config, "verify_ssl": False})
    assert (again["timings"]["connect"], again["timings"]["tls"]) == (0, 0)


async def test_a_client_shows_its_certificate(identity: Identity) -> None:
    tls = identity.server(client=identity.certificate)
    async with http_server(always(reply("in")), tls=tls) as server, bench() as steps:
        config = {"method": "GET", "url": server.url}
        own = {"certificate": identity.certificate, "key": identity.key, "ca": identity.certificate}
        assert (await steps.run(HTTP_REQUEST, {**config, "cert": own}))["text"] == "in"
        error = await steps.error(HTTP_REQUEST, {**config, "cert": {"ca": identity.certificate}})
        wrong = await steps.error(HTTP_REQUEST, {**config, "cert": {"certificate": identity.certificate}})
    assert error.kind in ("tls", "connection_error")
    assert wrong.kind == "config"
    assert identity.key in steps.secrets


async def test_a_client_certificate_is_text_or_a_file_of_the_project(identity: Identity, tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text(identity.key)
    tls = identity.server(client=identity.certificate)
    async with http_server(always(reply("in")), tls=tls) as server, bench(folder=tmp_path) as steps:
        config = {"method": "GET", "url": server.url, "verify_ssl": False, "client_cert": identity.certificate}
        assert (await steps.run(HTTP_REQUEST, {**config, "client_key": "key.pem"}))["text"] == "in"
        assert identity.key in steps.secrets
        for more, message in (
            ({"client_key": "other.pem"}, "client_key: there is no file"),
            ({"client_key": "../key.pem"}, "below the project's folder"),
            ({"client_key": identity.key, "cert": identity.certificate}, "mean the same"),
            ({"client_key": identity.key, "client_cert": None}, "needs client_cert"),
        ):
            assert message in (await steps.error(HTTP_REQUEST, {**config, **more})).message
        steps.folder = None
        assert "needs a folder of files" in (await steps.error(HTTP_REQUEST, {**config, "client_key": "key.pem"})).message


async def test_a_proxy_is_asked_for_the_whole_url() -> None:
    async with http_server(always(reply("through"))) as proxy, bench() as steps:
        url = proxy.url.replace("//", "//ann:pass-1@")
        result = await steps.run(HTTP_REQUEST, {"method": "GET", "url": "http://shop.invalid/a?b=1", "proxy": url})
    assert result["text"] == "through"
    assert proxy.requests[0].target == "http://shop.invalid/a?b=1"
    assert proxy.requests[0].headers["proxy-authorization"].startswith("Basic ")
    assert "pass-1" in steps.secrets


async def test_a_tunnel_is_made_for_tls(identity: Identity) -> None:
    asked: list[bytes] = []

    async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer))

    async with http_server(always(reply("in")), tls=identity.server()) as server, listening(tunnel) as port, bench() as steps:
        config = {"method": "GET", "url": server.url, "cert": {"ca": identity.certificate}}
        result = await steps.run(HTTP_REQUEST, {**config, "proxy": f"http://ann:pass-1@127.0.0.1:{port}"})
        assert result["text"] == "in"
    assert asked[0].startswith(f"CONNECT 127.0.0.1:{server.port} HTTP/1.1\r\n".encode())
    assert b"Proxy-Authorization: Basic " in asked[0]
    assert "proxy-authorization" not in server.requests[0].headers


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    writer.close()


async def test_a_proxy_that_refuses_is_a_connection_error(identity: Identity) -> None:
    async with http_server(always(reply("no", 403))) as proxy:
        assert await kind_of({"url": "https://127.0.0.1:1/", "proxy": proxy.url}) == "connection_error"


async def test_a_proxy_and_what_it_is_asked_for_are_both_judged() -> None:
    async with http_server(always(reply())) as proxy:
        allowed = WorkerPolicy([f"127.0.0.1:{proxy.port}"])
        assert await kind_of({"url": "http://93.184.216.34/", "proxy": proxy.url}, egress=WorkerPolicy()) == "egress"
        assert await kind_of({"url": "http://10.0.0.1/", "proxy": proxy.url}, egress=allowed) == "egress"
    assert not proxy.connections


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with http_server(always(reply())) as server, http_server(always(reply())) as proxy, bench() as steps:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        await steps.run(HTTP_REQUEST, {"method": "GET", "url": server.url})
    assert (server.connections, proxy.connections) == (1, 0)


@pytest.mark.parametrize("secure", [True, False], ids=["tls", "prior knowledge"])
async def test_http2_is_spoken(identity: Identity, secure: bool) -> None:
    async with http2_server(tls=identity.server("h2") if secure else None) as server, bench() as steps:
        config = {"method": "POST", "url": f"{server.url}/a?b=1", "http2": True, "cert": {"ca": identity.certificate}}
        sending = {"body": "x" * 40_000, "headers": {"X-Own": "1", "Connection": "close"}}
        results = await asyncio.gather(*(steps.run(HTTP_REQUEST, {**config, **sending}) for _ in range(5)))
    assert [(result["status"], result["text"], result["http_version"]) for result in results] == [(200, "40000", "HTTP/2")] * 5
    assert (server.requests[0].method, server.requests[0].target) == ("POST", "/a?b=1")
    assert server.requests[0].headers["x-own"] == "1"
    assert results[0]["timings"]["connect"] > 0


async def test_a_server_without_http2_is_spoken_to_in_http1(identity: Identity) -> None:
    async with http_server(always(reply("in")), tls=identity.server()) as server, bench() as steps:
        result = await steps.run(HTTP_REQUEST, {"method": "GET", "url": server.url, "http2": True, "verify_ssl": False})
    assert (result["text"], result["http_version"]) == ("in", "HTTP/1.1")


@pytest.mark.parametrize(("answer", "kind"), [(b"\0\0\0\0\0\0\0\0\x01", "protocol"), (b"", "connection_error")])
async def test_http2_that_is_none_is_an_error_and_not_tried_again(answer: bytes, kind: str) -> None:
    connections: list[bytes] = []

    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(await reader.read(65536))
        writer.write(answer)

    async with listening(nonsense) as port:
        assert await kind_of({"url": f"http://127.0.0.1:{port}/", "http2": True, "timeout": 5}) == kind
    assert len(connections) == 1


def test_without_its_package_http2_names_the_extra() -> None:
    program = """
import asyncio, sys
sys.modules["h2"] = None
from application.actions.http_request import HTTP_REQUEST
from tests.support.action_context import Bench
async def main():
    steps = Bench()
    error = await steps.error(HTTP_REQUEST, {"method": "GET", "url": "http://127.0.0.1:1/", "http2": True})
    print(error.kind, error.hint)
    await steps.close()
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("config install the extra: pip install 'testmesh[http2]'"), done.stderr


def test_a_request_in_http1_loads_no_httpx() -> None:
    program = """
import asyncio, sys
from application.actions.http_request import HTTP_REQUEST
from tests.support.action_context import Bench
from tests.support.http_server import always, http_server, reply
async def main():
    steps = Bench()
    async with http_server(always(reply("in", headers=[("Set-Cookie", "a=1")]))) as server:
        config = {"method": "POST", "url": server.url, "json": {}, "auth": {"type": "basic", "username": "a"}}
        for _ in range(2):
            print((await steps.run(HTTP_REQUEST, config))["text"], server.requests[-1].headers.get("cookie"))
        await steps.close()
    print(*{"httpx", "httpcore", "rich"} & set(sys.modules))
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == "in None\nin a=1\n\n", done.stderr


def test_no_client_library_is_loaded_to_know_the_action() -> None:
    program = "import sys; import application.actions.http_request, application.actions.wait_for; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert not {"aiohttp", "httpx", "httpcore", "yarl", "orjson"} & set(loaded)
