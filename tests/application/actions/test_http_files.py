"""Bodies that come from files of the project, and answers that are kept in them."""

from __future__ import annotations

import gzip
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from application.actions.http_request import HTTP_REQUEST
from domain.errors import InvalidFlow
from domain.limits import LIMITS
from tests.support.action_context import bench
from tests.support.http_server import always, http_server, reply, reply_json, routes
from tests.support.local import flow

BINARY = bytes(range(256)) * 40


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with files, and one outside of it."""
    home = tmp_path / "project"
    (home / "data").mkdir(parents=True)
    (home / "data/order.json").write_text('{"who": "${nobody}"}')
    (home / "data/blob").write_bytes(BINARY)
    (tmp_path / "outside.txt").write_text("secret of the machine")
    (home / "data/link.txt").symlink_to(tmp_path / "outside.txt")
    return home


@pytest.mark.parametrize(
    ("file", "headers", "kind"),
    [
        ("data/order.json", {}, "application/json"),
        ("data/blob", {}, "application/octet-stream"),
        ("data/blob", {"content-type": "image/png"}, "image/png"),
        ("data/blob", {"Content-Type": None}, None),
    ],
)
async def test_a_file_is_sent_as_it_is(folder: Path, file: str, headers: Mapping[str, Any], kind: str | None) -> None:
    config = {"method": "PUT", "body_file": file, "headers": headers}
    async with http_server(always(reply_json({}))) as server, bench(folder=folder) as steps:
        await steps.run(HTTP_REQUEST, {**config, "url": server.url})
    (received,) = server.requests
    assert received.body == (folder / file).read_bytes()
    assert received.headers.get("content-type") == kind


OUTSIDE = ("../outside.txt", "/etc/passwd", "data/link.txt", "data", "~/x", "data/../../outside.txt", "", "a\0b", 7)


@pytest.mark.parametrize(
    ("key", "file"), [*((key, file) for key in ("body_file", "save_to") for file in OUTSIDE), ("body_file", "none")]
)
async def test_nothing_outside_of_the_project_is_sent_or_written(folder: Path, key: str, file: Any) -> None:
    async with http_server(always(reply())) as server, bench(folder=folder) as steps:
        error = await steps.error(HTTP_REQUEST, {"method": "POST", "url": server.url, key: file})
    assert (error.kind, key in error.message) == ("config", True)
    assert not server.requests
    assert (folder.parent / "outside.txt").read_text() == "secret of the machine"


async def test_an_answer_is_kept_whole_however_little_of_it_is_kept_in_memory(folder: Path) -> None:
    whole = BINARY * 20
    packed = reply(gzip.compress(whole), headers=[("Content-Encoding", "gzip")])
    limits = replace(LIMITS, response_kept_bytes=1000, decompression_ratio=10_000)
    async with http_server(always(packed)) as server, bench(folder=folder, limits=limits) as steps:
        result = await steps.run(HTTP_REQUEST, {"method": "GET", "url": server.url, "save_to": "new/down/load.bin"})
    assert (folder / "new/down/load.bin").read_bytes() == whole
    assert (result["saved"], result["size"], result["truncated"]) == ("new/down/load.bin", len(whole), True)
    assert len(result["text"]) <= 1000


async def test_of_redirects_the_last_answer_alone_is_kept(folder: Path) -> None:
    moved = reply(b"this is a long text that says that it moved", 302, headers=[("Location", "/end")])
    async with http_server(routes(a=moved, end=reply(b"end"))) as server, bench(folder=folder) as steps:
        await steps.run(HTTP_REQUEST, {"method": "GET", "url": f"{server.url.rstrip('/')}/../a", "save_to": "out.txt"})
    assert (folder / "out.txt").read_bytes() == b"end"


async def test_an_exchange_that_breaks_off_leaves_what_was_there(folder: Path) -> None:
    (folder / "out.txt").write_text("of yesterday")
    short = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this"
    async with http_server(always(short)) as server, bench(folder=folder) as steps:
        config = {"method": "GET", "url": server.url, "save_to": "out.txt", "timeout": "300ms"}
        error = await steps.error(HTTP_REQUEST, config)
    assert error.kind in ("timeout", "protocol", "connection_error")
    assert (folder / "out.txt").read_text() == "of yesterday"
    assert not [name for name in os.listdir(folder) if name.startswith(".")]


async def test_on_a_worker_a_flow_writes_only_so_much(folder: Path) -> None:
    limits = replace(LIMITS, written_bytes=100)
    async with http_server(always(reply(b"x" * 60))) as server, bench(folder=folder, limits=limits, bundled=True) as steps:
        config = {"method": "GET", "url": server.url}
        await steps.run(HTTP_REQUEST, {**config, "save_to": "one.txt"})
        error = await steps.error(HTTP_REQUEST, {**config, "save_to": "two.txt"})
    assert error.kind == "limit"
    assert not (folder / "two.txt").exists()


def test_two_bodies_are_told_before_the_run() -> None:
    from application.actions.registry import ACTIONS
    from application.flow_documents import read_flow

    step = "- {action: http, config: {method: POST, url: 'http://h/', body_file: a.json, json: {}}}"
    with pytest.raises(InvalidFlow, match="body_file and json are both a body"):
        read_flow(flow(step), actions=ACTIONS)
