"""A projection that refuses what it is told to refuse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from domain.execution import Execution
from projections.view import Projection, Recorded


class Picky(Projection):
    """Keeps positions in a table; refuses those that it is told to refuse, after it has written."""

    name = "picky"
    log = "executions"
    topics = (Execution.Requested.TOPIC,)
    tables = ("executions.picky",)
    refused: frozenset[int] = frozenset()

    def ddl(self) -> str:
        return "CREATE TABLE IF NOT EXISTS executions.picky (position bigint PRIMARY KEY)"

    def apply(self, connection: psycopg.Connection[Any], batch: Sequence[Recorded]) -> None:
        for recorded in batch:
            connection.execute("INSERT INTO executions.picky VALUES (%s)", (recorded.position,))
            if recorded.position in self.refused:
                raise ValueError(f"I do not like {recorded.position}")
