"""A database whose clock is ours, for the model's worlds one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from application import schema
from application.database import Database
from projections.registry import statements
from tests.model.world import prepare


@pytest.fixture(scope="session")
def model_database(fresh_database: Callable[[], str]) -> Iterator[Database]:
    """One database for all worlds."""
    url = fresh_database()
    prepare(url, [*schema.statements(), *statements()])
    database = Database(url)
    database.pool.wait()
    yield database
    database.close()
