"""Makes a read model anew from the first event, beside a running projector; and compares read models row by row."""

from __future__ import annotations

import hashlib

from projections.health import BATCH
from projections.positions import CHANNEL, head_of
from projections.rows import Pool
from projections.view import Projection, ReadEvents


def rebuild(pool: Pool, projection: Projection, read_events: ReadEvents) -> int:
    """Clear the projection's tables and fill them from the log in one transaction; the events applied.

    Readers see the old rows until it commits. It holds the projection's row in `tracking`, so projectors leave this one
    projection alone meanwhile. An event that cannot be taken is raised, and everything stays as it was.
    """
    log, name, applied, position = projection.log, projection.name, 0, 0
    with pool.connection() as connection, connection.transaction():
        connection.execute("SET LOCAL idle_in_transaction_session_timeout = '60s'; SET LOCAL lock_timeout = '60s'")
        begin = f"INSERT INTO {log}.tracking (name, position) VALUES (%s, 0) ON CONFLICT DO NOTHING"
        connection.execute(begin.encode(), (name,))
        connection.execute(f"SELECT 1 FROM {log}.tracking WHERE name = %s FOR UPDATE".encode(), (name,))
        head = head_of(connection, log)
        projection.clear(connection)
        while batch := read_events(position, BATCH, projection.topics):
            projection.apply(connection, batch)
            applied, position = applied + len(batch), batch[-1].position
        position = max(position, head)
        connection.execute(f"UPDATE {log}.tracking SET position = %s WHERE name = %s".encode(), (position, name))
        connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, f"{log} {position}"))
    return applied


def checksum(pool: Pool, projection: Projection) -> str:
    """SHA-256 over every row of the projection's tables in a stable order, hexadecimal."""
    digest = hashlib.sha256()
    with pool.connection() as connection, connection.transaction():
        connection.execute("SET LOCAL TimeZone = 'UTC'; SET LOCAL idle_in_transaction_session_timeout = '60s'")
        for table in projection.tables:
            digest.update(f"{table}\n".encode())
            with connection.cursor(name="rows") as cursor:
                cursor.execute(f'SELECT t::text FROM {table} AS t ORDER BY t::text COLLATE "C"'.encode())
                for row in cursor:
                    digest.update(f"{row[0]}\n".encode())
    return digest.hexdigest()
