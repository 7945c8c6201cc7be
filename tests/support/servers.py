"""Real servers for tests: one PostgreSQL and one Valkey a test session, a fresh database a test that asks for one."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from application.schema import statements
from interfaces.adapters.embedded_postgres import EmbeddedPostgres
from interfaces.adapters.embedded_valkey import EmbeddedValkey


@pytest.fixture(scope="session")
def servers_root() -> Iterator[Path]:
    """A short folder that the servers' account can enter."""
    root = Path(tempfile.mkdtemp(prefix="tm"))
    yield root
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server(servers_root: Path) -> Iterator[EmbeddedPostgres]:
    """The session's PostgreSQL, without fsync: processes are killed here, not machines."""
    server = EmbeddedPostgres(servers_root, fsync=False)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def valkey_server(servers_root: Path) -> Iterator[EmbeddedValkey]:
    """The session's Valkey."""
    server = EmbeddedValkey(servers_root)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgres_url(postgres_server: EmbeddedPostgres) -> str:
    """A database that actions may use."""
    return postgres_server.url


@pytest.fixture(scope="session")
def valkey_url(valkey_server: EmbeddedValkey) -> str:
    """A Valkey that actions may use."""
    return valkey_server.url


@pytest.fixture(scope="session")
def fresh_database(postgres_server: EmbeddedPostgres) -> Callable[[], str]:
    """Makes a new empty database a call; its URL."""
    numbers = itertools.count()

    def make() -> str:
        name = f"test_{next(numbers)}"
        with psycopg.connect(postgres_server.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")  # type: ignore[call-overload]
        return postgres_server.url_of(name)

    return make


@pytest.fixture
def database_url(fresh_database: Callable[[], str]) -> str:
    """A new database with the tables of the logs."""
    url = fresh_database()
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements():
            connection.execute(statement)  # type: ignore[call-overload]
    return url
