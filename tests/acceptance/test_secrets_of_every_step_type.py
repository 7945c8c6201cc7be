"""R18: two secrets go through every action of the table in every encoding, and stand nowhere afterwards: not in a table or a
dump of it, a payload, the queue, a log, a file of the database, an answer of REST, a frame of a watcher, or a report."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from application.actions.registry import TABLE
from interfaces.cli.reports.writers import KINDS
from tests.docs.conftest import in_a_thread
from tests.support.encodings import ENCODINGS, bare, forms, told
from tests.support.figures import Figure
from tests.support.grpc_server import grpc_server
from tests.support.http_server import Received, http_server, reply_json
from tests.support.mariadb import mariadb_program
from tests.support.program import Program
from tests.support.searching import answers, dump, files, frames, payloads, rows, values
from tests.support.websocket_server import websocket_server

pytestmark = [pytest.mark.system, pytest.mark.row("R18")]
FLOWS = Path(__file__).parent / "secrets"
TOKEN = """k3y&"<é>'=one/two\\+7f3a9c55d1 e0"""
WORD = "pass-w0rd/=+&?4711zz"
KNOWN = "everybody may know 4711"
BOTH = {name: f"{shape} {told(WORD)[name]}" for name, shape in told(TOKEN).items() if not name.startswith("base64")}
SEARCHED = {
    *("executions.events", "executions.live_feed", "executions.execution_steps", "executions.execution_logs"),
    *("dump of executions.events", "payload", "frame of workspace", "frame of execution", "stdout"),
    *(f"GET /api/v1/workspaces/*/{path}" for path in ("events", "executions/*", "executions/*/events")),
}
"""Where a text that is no secret must be found, for the search to prove anything."""
EACH = {**told(TOKEN), **BOTH}


async def _echo(received: Received, writer: Any) -> bytes:
    """The secrets, everything made of them, and what came, in JSON."""
    if received.path == "/login":
        return reply_json({"token": TOKEN, "word": WORD})
    if received.path.startswith("/told"):
        given = {
            "each": EACH,
            "all": " | ".join([*EACH.values(), *told(WORD).values()]),
            "words": " ".join(told(WORD).values()),
        }
        return reply_json(given, headers=[("X-Word", told(WORD)["html"]), ("Set-Cookie", f"sid={told(WORD)['base64_1']}")])
    body = received.body.decode(errors="replace")
    try:
        parsed = json.loads(body)
    except ValueError:
        parsed = None
    return reply_json({"target": received.target, "headers": received.headers, "body": body, "json": parsed})


@pytest.fixture
def targets(postgres_url: str, valkey_url: str, kafka_port: int, request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """Real servers of every kind, which are none of the system's own."""
    maria = (
        request.getfixturevalue("mariadb").make_database("secrets") if mariadb_program() else "mysql://ann:xyz9@127.0.0.1:1/a"
    )
    with (
        in_a_thread(lambda: http_server(_echo)) as echo,
        in_a_thread(lambda: grpc_server("v1")) as orders,
        in_a_thread(websocket_server) as socket,
    ):
        yield {
            "echo_url": echo.url,
            "grpc_address": f"127.0.0.1:{orders.port}",
            "websocket_url": socket.url,
            "kafka_brokers": f"127.0.0.1:{kafka_port}",
            "postgres_url": postgres_url,
            "redis_url": valkey_url,
            "mysql_url": maria,
        }


def steps_of(value: Any) -> Iterator[tuple[str, str]]:
    """Id and action of all steps below."""
    if isinstance(value, dict):
        if "id" in value and "action" in value:
            yield value["id"], value["action"]
        for item in value.values():
            yield from steps_of(item)
    if isinstance(value, list):
        for item in value:
            yield from steps_of(item)


def everything(program: Program, execution: str) -> Iterator[tuple[str, bytes]]:
    """All that the system has."""
    yield from rows(program.database_url())
    yield from dump(program.database_url())
    yield from payloads(program)
    yield from values(program.valkey_url())
    yield from answers(program, execution)
    yield from frames(program, "workspace", f"execution:{execution}")
    yield from files(program)


def found(places: list[tuple[str, bytes]], secret: str) -> set[tuple[str, str, bytes]]:
    """Where a secret stands, in which form, and what stands around it; texts inside of texts at any depth included."""
    shapes = [(name, shape.encode(), bare(shape).encode()) for name, shape in forms(secret).items()]
    told = set()
    for place, text in places:
        legible = bare(text.decode(errors="surrogateescape")).encode(errors="surrogateescape")
        for name, shape, plain in shapes:
            for sought, where in ((shape, text), (plain, legible)):
                if (at := where.find(sought)) >= 0:
                    told.add((place, name, where[max(0, at - 100) : at + 60]))
    return told


def unmet(url: str) -> set[str]:
    """The actions of which no step has recorded that it met a secret."""
    of = dict(steps_of(yaml.safe_load((FLOWS / "everywhere.yaml").read_text())))
    with psycopg.connect(url) as connection:
        steps = connection.execute("SELECT step.path, step::text FROM executions.execution_steps AS step").fetchall()
    return set(TABLE) - {of.get(path.rpartition("/")[2], "") for path, told in steps if "[secret:" in told}


def test_the_flow_has_every_action_of_the_table() -> None:
    assert {action for _, action in steps_of(yaml.safe_load((FLOWS / "everywhere.yaml").read_text()))} == set(TABLE)


@pytest.mark.parametrize("secret", [TOKEN, WORD])
def test_what_is_told_in_any_encoding_is_found(secret: str) -> None:
    assert len(ENCODINGS) >= 15
    for name, text in told(secret).items():
        assert name in {form for _, form, _ in found([("here", text.encode())], secret)}


@pytest.mark.long
def test_two_secrets_go_through_every_step_type_and_stand_nowhere(
    program: Program, targets: dict[str, str], figure: Figure
) -> None:
    shutil.copytree(FLOWS, program.folder, dirs_exist_ok=True)
    reports = [f"--report={kind}=report.{kind}" for kind in KINDS]
    variables = [f"--var={name}={value}" for name, value in targets.items()]
    done = program.run(
        "run",
        "--remote",
        "everywhere.yaml",
        *variables,
        *reports,
        "-v",
        "--curl",
        "--show-response",
        "always",
        GITHUB_ACTIONS="true",
    )
    (program.folder / "stdout").write_text(done.stdout + done.stderr)
    assert done.returncode in (1, 3), done.stdout + done.stderr
    execution = program.json("runs", "ls", "--limit", "1")[0]["id"]
    places = list(everything(program, execution))

    known = {re.sub(r"[0-9a-f-]{36}", "*", place) for place, _, _ in found(places, KNOWN)}
    assert known >= SEARCHED | {f"report.{kind}" for kind in ("html", "json", "jsonl", "junit")}
    assert unmet(program.database_url()) <= ({"mysql.query"} if not mariadb_program() else set())
    figure(
        f"2 secrets through {len(TABLE)} actions in {len(ENCODINGS)} encodings: none in {len(places):,} places,"
        f" {sum(len(text) for _, text in places):,} bytes; a text that is no secret in {len(known)} kinds of places"
    )
    assert found(places, TOKEN) | found(places, WORD) == set()
