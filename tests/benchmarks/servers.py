"""Servers of a benchmark's own, below a folder that goes with them; PostgreSQL writes through to the disk."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from application import schema
from interfaces.adapters.embedded_postgres import EmbeddedPostgres
from interfaces.adapters.embedded_valkey import EmbeddedValkey
from projections.registry import statements
from tests.benchmarks.report import release


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder with a path short enough for sockets."""
    folder = Path(tempfile.mkdtemp(prefix="tm"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def durable_postgres() -> Iterator[str]:
    """The URL of a database with every table of the logs and read models; fsync is on."""
    with short_folder() as folder:
        server = EmbeddedPostgres(folder)
        server.start()
        try:
            with psycopg.connect(server.url, autocommit=True) as connection:
                for statement in [*schema.statements(), *statements()]:
                    connection.execute(statement.encode())
            yield server.url
        finally:
            server.stop()


@contextmanager
def valkey() -> Iterator[str]:
    """The URL of a Valkey with an append-only file."""
    with short_folder() as folder:
        server = EmbeddedValkey(folder)
        server.start()
        try:
            yield server.url
        finally:
            server.stop()


def postgres_release() -> str:
    """The version of PostgreSQL that benchmarks run on."""
    with durable_postgres() as url, psycopg.connect(url) as connection:
        row = connection.execute("SHOW server_version").fetchone()
    return release(str(row[0])) if row else "unknown"
