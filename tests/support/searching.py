"""Everywhere in a running system that a text may stand: tables, payloads, the queue, files, answers and frames."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import orjson
import psycopg
import redis
from psycopg import sql
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from application.database import Database
from application.payloads import SealedPayloads
from application.recorder import SEALED
from interfaces.bootstrap import read_key
from tests.support.program import Program

Place = tuple[str, bytes]
"""Where it is, and what stands there."""


def rows(url: str) -> Iterator[Place]:
    """Every row of every table as text; bytes of a column as they are, too."""
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        assert len(tables) > 10
        for schema, table in tables:
            query = sql.SQL("SELECT * FROM {}.{}").format(sql.Identifier(schema), sql.Identifier(table))
            for row in connection.execute(query).fetchall():
                yield f"{schema}.{table}", b" ".join(map(_written, row))


def _written(part: Any) -> bytes:
    if isinstance(part, bytes):
        return bytes(part)
    return (json.dumps(part, ensure_ascii=False) if isinstance(part, dict | list) else str(part)).encode()


def dump(url: str) -> Iterator[Place]:
    """What a copy of each table writes."""
    with psycopg.connect(url) as connection:
        for (table,) in connection.execute("SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND oid >= 16384"):
            with connection.cursor() as cursor, cursor.copy(f"COPY {table} TO STDOUT".encode()) as copy:
                yield f"dump of {table}", b"".join(map(bytes, copy))


def payloads(program: Program) -> Iterator[Place]:
    """Every payload as it was before it was sealed, but for what teardown needs as it is: that is sealed for this reason."""
    database = Database(program.database_url(), size=1)
    sealed = SealedPayloads(database, "executions", read_key(program.folder / "data" / "key"))
    with database.pool.connection() as connection:
        found = connection.execute("SELECT workspace, id FROM executions.payloads").fetchall()
        events = b"".join(bytes(state) for (state,) in connection.execute("SELECT state FROM executions.events"))
    kept = set(re.findall(rb'"%s":\{"id":"(\w+)"' % re.escape(SEALED).encode(), events))
    assert kept
    for workspace, id in found:
        if id.encode() not in kept:
            yield "payload", sealed.open(workspace, {"id": id})
    database.close()


def values(url: str) -> Iterator[Place]:
    """Every entry of every key of the queue."""
    with redis.Redis.from_url(url) as client:
        readers: dict[bytes, Any] = {
            b"stream": client.xrange,
            b"hash": client.hgetall,
            b"set": client.smembers,
            b"string": client.get,
            b"zset": lambda key: client.zrange(key, 0, -1),
            b"list": lambda key: client.lrange(key, 0, -1),
        }
        for key in client.scan_iter():
            yield f"key {key!r}", repr(readers[client.type(key)](key)).encode()


def files(program: Program) -> Iterator[Place]:
    """Every file of the system, those in which the database keeps its pages and its log included."""
    for path in program.folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            yield str(path.relative_to(program.folder)), path.read_bytes()


def answers(program: Program, execution: str) -> Iterator[Place]:
    """What REST tells of an execution, as bytes."""
    saved = program.key()
    with httpx.Client(base_url=saved["url"], headers={"Authorization": f"Bearer {saved['key']}"}, timeout=20) as client:
        home = f"/api/v1/workspaces/{client.get('/api/v1/whoami').json()['workspace']}"
        one = f"{home}/executions/{execution}"
        for path in (f"{home}/executions", one, f"{one}/source"):
            yield f"GET {path}", client.get(path).raise_for_status().content
        for path in (f"{home}/events", f"{one}/events"):
            after: str | None = None
            while True:
                answer = client.get(path, params={"after": after} if after else {}).raise_for_status()
                yield f"GET {path}", answer.content
                if not answer.json()["items"]:
                    break
                after = answer.json()["next"]


def frames(program: Program, *topics: str) -> Iterator[Place]:
    """Every frame that a watcher of these topics gets, from the first event to the last."""
    saved: Mapping[str, str] = program.key()
    url, headers = saved["url"].replace("http", "ws", 1) + "/ws", {"Authorization": f"Bearer {saved['key']}"}
    for topic in topics:
        with connect(url, additional_headers=headers, proxy=None, max_size=None) as socket:
            socket.send(orjson.dumps({"type": "subscribe", "id": "s", "topic": topic, "from": "start"}).decode())
            try:
                while True:
                    frame = socket.recv(timeout=3, decode=False)
                    yield f"frame of {topic.partition(':')[0]}", bytes(frame)
            except (TimeoutError, ConnectionClosed):
                pass
