"""PostgreSQL connections: one pool a process and database, with the time-outs that the append path relies on."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    import psycopg
    from psycopg_pool import ConnectionPool

RESTED_SECONDS = 1.0
"""A pooled connection that nobody has used for so long is checked before it is given out."""
RECONNECT_SECONDS = 2.0
"""For so long a pool tries again by itself, with growing pauses; afterwards whoever wants a connection lets it try at once. The
pauses would grow up to minutes, in which a database that is there again is not asked."""
_OPTIONS = {
    "connect_timeout": "5",
    "keepalives": "1",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    # A process frozen inside an append must not hold the log's lock for long (milliseconds).
    "options": "-c idle_in_transaction_session_timeout=1000 -c lock_timeout=3000",
    "application_name": "testmesh",
}


class Database:
    """One database by URL: a pool for reads and dedicated connections for those that keep one."""

    def __init__(self, url: str, *, size: int = 5, role: str | None = None, patience: float = 5.0) -> None:
        """`role` is what the connections act as (the account must be a member of it); `patience` is how long one of the pool
        is waited for, in seconds."""
        self.url = url
        self._options = {**_OPTIONS, "options": f"{_OPTIONS['options']} -c role={role}"} if role else dict(_OPTIONS)
        self._size = size
        self._patience = patience
        self._pool: ConnectionPool[psycopg.Connection[Any]] | None = None
        self._opening = threading.Lock()
        self._taken: WeakKeyDictionary[psycopg.Connection[Any], float] = WeakKeyDictionary()

    def connect(self) -> psycopg.Connection[Any]:
        """A connection of one's own, in autocommit mode."""
        import psycopg  # local runs need none

        options: dict[str, Any] = dict(self._options)
        return psycopg.connect(self.url, autocommit=True, **options)

    @property
    def pool(self) -> ConnectionPool[psycopg.Connection[Any]]:
        """The shared pool, opened when first used (after any fork)."""
        from psycopg_pool import ConnectionPool

        with self._opening:
            if self._pool is None:
                options: dict[str, Any] = {**self._options, "autocommit": True}
                pool: ConnectionPool[psycopg.Connection[Any]] = ConnectionPool(
                    self.url,
                    kwargs=options,
                    min_size=1,
                    max_size=self._size,
                    timeout=self._patience,
                    reconnect_timeout=RECONNECT_SECONDS,
                    check=self._checked,
                    open=False,
                    name="testmesh",
                )
                pool.open()
                self._pool = pool
            return self._pool

    def _checked(self, connection: psycopg.Connection[Any]) -> None:
        """Ask a connection that has rested whether it still works; one that answered a moment ago costs no round trip."""
        now = time.monotonic()
        if now - self._taken.get(connection, 0.0) > RESTED_SECONDS:
            connection.execute("SELECT 1")
        self._taken[connection] = now

    def close(self) -> None:
        """Close the pool."""
        with self._opening:
            if self._pool is not None:
                self._pool.close()
                self._pool = None
