"""A database with the tables of logs and read models."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from application.database import Database
from projections.registry import statements
from projections.rows import Pool


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A new database with every table."""
    database = Database(database_url)
    with database.pool.connection() as connection:
        for statement in statements() * 2:
            connection.execute(statement.encode())
    yield database
    database.close()


@pytest.fixture
def pool(database: Database) -> Pool:
    """Its connections."""
    return database.pool
