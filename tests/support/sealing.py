"""A log with events, sealed; and somebody who owns its database."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from application.audit import Audited, audit
from application.database import Database
from application.sealer import Sealer
from application.seals import SignedSeal, newest, signing_key

KEY = bytes(range(32))
LOG = "executions"
STREAM = 10
"""Events a stream."""
_ADD = "SELECT executions.append(%b::uuid[], %b::int4[], %b::text[], %b::bytea[])"


class SealedLog:
    """The log of executions in a database of its own."""

    def __init__(self, url: str, seed: int = 1) -> None:
        self.database = Database(url)
        self.rng = random.Random(seed)
        self._count = 0

    def sealer(self, file: Path | None = None, key: bytes = KEY) -> Sealer:
        return Sealer({LOG: self.database}, signing_key(key), file)

    def append(self, count: int, holes: bool = True) -> None:
        """Events that differ in every column, by 500 a transaction, with holes in their ids as aborted appends leave them."""
        with self.database.connect() as connection:
            for begin in range(self._count, self._count + count, 500):
                numbers = range(begin, min(begin + 500, self._count + count))
                connection.execute(_ADD.encode(), self._columns(numbers))
                for _ in range(3 if holes else 0):
                    connection.execute("SELECT nextval('executions.events_notification_id_seq')")
        self._count += count

    def _columns(self, numbers: Sequence[int]) -> tuple[list[UUID], list[int], list[str], list[bytes]]:
        ids = [UUID(int=number // STREAM + 1) for number in numbers]
        states = [b'{"n":%d,"r":"%s"}' % (number, self.rng.randbytes(20).hex().encode()) for number in numbers]
        return ids, [n % STREAM + 1 for n in numbers], [f"execution.kind_{n % 7}" for n in numbers], states

    def audit(self, since: Sequence[SignedSeal] = (), key: bytes = KEY) -> Audited:
        with self.database.connect() as connection:
            return audit(connection, LOG, signing_key(key).public_key(), since)

    def checkpoint(self) -> SignedSeal:
        with self.database.connect() as connection:
            found = newest(connection, LOG)
        assert found is not None
        return found

    def ids(self) -> list[int]:
        return [row[0] for row in self.execute("SELECT notification_id FROM executions.events ORDER BY 1")]

    def execute(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        """As the owner of the database, past every trigger."""
        with self.database.connect() as connection:
            connection.execute("SET session_replication_role = replica")
            cursor = connection.execute(sql.encode(), values)
            return cursor.fetchall() if cursor.description else []


@contextmanager
def sealed_log(make: Callable[[], str], statements: Sequence[str], seed: int = 1) -> Iterator[SealedLog]:
    """A new log with the tables of all."""
    log = SealedLog(make(), seed)
    with log.database.connect() as connection:
        for statement in statements:
            connection.execute(statement.encode())
    yield log
    log.database.close()
