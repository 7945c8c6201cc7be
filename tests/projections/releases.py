"""What each release made of its recorded log: `python -m tests.projections.releases NAME` writes the set of a new release.

A folder of `releases` has a log as it was stored (`events.jsonl`) and every table of the read models as that release projected
it, a file each. It is never written again. The code of today projects the same log; a table that is meant to come out otherwise
is named, with the reason, in `releases/changed.toml` under the release. Projections read no payloads: the log has the
references alone, and no key is needed to read it.
"""

from __future__ import annotations

import json
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import psycopg

from application import schema
from application.database import Database
from application.event_store import PostgresLog
from interfaces.adapters.embedded_postgres import EmbeddedPostgres
from projections.projector import Projector
from projections.registry import LOGS, PROJECTIONS, for_log, statements

FOLDER = Path(__file__).parent / "releases"


def releases() -> list[str]:
    """The names of all sets."""
    return sorted(path.name for path in FOLDER.iterdir() if path.is_dir())


def kept(release: str) -> dict[str, str]:
    """The rows of each table (with schema) as the release projected them."""
    return {path.stem: path.read_text() for path in sorted((FOLDER / release).glob("*.json"))}


def changed(release: str) -> dict[str, str]:
    """The tables that are meant to come out otherwise today, and why."""
    found: Mapping[str, dict[str, str]] = tomllib.loads((FOLDER / "changed.toml").read_text())
    return found.get(release, {})


def load(database: Database, lines: Iterator[bytes] | list[bytes]) -> None:
    """Put a recorded log into the empty tables of logs, each event at its position."""
    columns = "originator_id, originator_version, topic, state, notification_id"
    with database.pool.connection() as connection, connection.transaction():
        for line in lines:
            event = orjson.loads(line)
            values = (event["originator_id"], event["originator_version"], event["topic"], orjson.dumps(event["state"]))
            sql = f"INSERT INTO {event['log']}.events ({columns}) VALUES (%s, %s, %s, %s, %s)"
            connection.execute(sql.encode(), (*values, event["position"]))


def projected(database: Database) -> dict[str, str]:
    """The rows of each table as the code of today makes them from the logs."""
    for name in LOGS:
        log = PostgresLog(name, database)
        projector = Projector(database.pool, database.connect, name, for_log(name), log.read)
        projector.catch_up()
        log.close()
        assert not projector.stopped, projector.stopped
    with database.pool.connection() as connection, connection.transaction():
        connection.execute("SET LOCAL TimeZone = 'UTC'")
        return {table: _rows(connection, table) for projection in PROJECTIONS for table in projection.tables}


def _rows(connection: psycopg.Connection[Any], table: str) -> str:
    """Rows as JSON in a stable order, a column a line, so that a difference is seen as one."""
    found = connection.execute(f"SELECT to_jsonb(t) FROM {table} AS t".encode()).fetchall()
    rows = sorted((row for (row,) in found), key=lambda row: json.dumps(row, sort_keys=True))
    return json.dumps(rows, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def different(release: str, today: Mapping[str, str]) -> set[str]:
    """The tables of a release that come out otherwise today, or not at all. New ones are none of its."""
    return {table for table, rows in kept(release).items() if today.get(table) != rows}


def write(name: str) -> None:
    """Record a log and what this code makes of it. FileExistsError when there is such a set."""
    from tests.projections.recording import recorded

    folder = FOLDER / name
    if folder.exists():
        raise FileExistsError(f"{folder} is there: the set of a release is never written again")
    lines = [orjson.dumps(event, option=orjson.OPT_SORT_KEYS) for event in recorded()]
    with tempfile.TemporaryDirectory(prefix="tmr") as root:
        Path(root).chmod(0o711)
        server = EmbeddedPostgres(Path(root))
        try:
            today = _projected_in(server.start(), lines)
        finally:
            server.stop()
    folder.mkdir(parents=True)
    (folder / "events.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    for table, rows in today.items():
        (folder / f"{table}.json").write_text(rows)
    print(f"{folder}: {len(lines)} events, {len(today)} tables")


def _projected_in(url: str, lines: list[bytes]) -> dict[str, str]:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in [*schema.statements(), *statements()]:
            connection.execute(statement.encode())
    database = Database(url)
    try:
        load(database, lines)
        return projected(database)
    finally:
        database.close()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tests.projections.releases NAME-OF-THE-RELEASE")
    try:
        write(sys.argv[1])
    except FileExistsError as error:
        sys.exit(str(error))
