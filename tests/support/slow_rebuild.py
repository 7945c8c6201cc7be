"""A rebuild that stops behind its first batch until it is killed: `python -m tests.support.slow_rebuild DATABASE_URL NAME`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from application.database import Database
from application.event_store import PostgresLog
from projections.rebuild import rebuild
from projections.registry import PROJECTIONS
from projections.view import Recorded


def main() -> None:
    """Rebuild, and say `begun` in the middle."""
    database = Database(sys.argv[1])
    projection = next(projection for projection in PROJECTIONS if projection.name == sys.argv[2])
    log = PostgresLog(projection.log, database)

    def read(after: int, limit: int, topics: Sequence[str]) -> Sequence[Recorded]:
        if after:
            print("begun", flush=True)
            sys.stdin.read()
        return log.read(after, 10, topics)

    rebuild(database.pool, projection, read)


if __name__ == "__main__":
    main()
