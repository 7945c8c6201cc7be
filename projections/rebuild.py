"""Makes a read model anew while the old one serves: shadow tables, catch up, verify, switch, and the way back."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
from psycopg import errors

from domain.errors import Conflict, NotFound, Unavailable
from projections.beside import PATIENT, Beside, Connection, Filled, digest_of, keep_position, moving
from projections.positions import CHANNEL, head_of
from projections.rows import Pool
from projections.view import Projection, ReadEvents

CHECK_BATCH = 127
"""Events a batch of the second replay: cut elsewhere than the first."""
SWITCH_TRIES, SWITCH_PAUSE_SECONDS = 60, 0.5
READERS_WAIT = "400ms"
"""How long a switch waits for readers, and holds up those that come meanwhile, before it steps back and tries again. Below
PostgreSQL's deadlock_timeout, so that a reader is never the victim."""


def rebuild(pool: Pool, projection: Projection, read_events: ReadEvents, *, verify: bool = True, keep: bool = True) -> int:
    """Fill new tables from the first event beside the serving ones, then exchange them in one transaction; events applied.

    Readers and the projector go on with the old tables until then, and no reader ever sees a part of the new ones. With
    `verify` the new rows are compared with those of a second replay up to the same position. The old tables stay for
    `rollback` if `keep` says so. `pool` acts as the account that owns the tables. Killed at any moment, the old tables
    serve, and another rebuild begins anew. An event that cannot be taken is raised. Conflict when another rebuild of the
    projection is under way, or when the replays differ.
    """
    with _alone(pool, projection) as connection:
        shadow = Beside(projection, "shadow")
        try:
            shadow.make(connection)
            filled = shadow.fill(connection, read_events, Filled(), upto=_bound(connection, projection))
            if verify:
                _verify(connection, projection, read_events, filled)
            filled = _switch(connection, shadow, read_events, filled)
        except BaseException:
            _drop_quietly(connection, shadow)
            raise
        if not keep:
            _drop_old(connection, projection)
    return filled.applied


def rollback(pool: Pool, projection: Projection, read_events: ReadEvents) -> int:
    """Bring the tables that the last rebuild replaced up to date and let them serve again; the events that they had missed.

    What they replace is kept, so that a second call goes back. NotFound when nothing was kept.
    """
    with _alone(pool, projection) as connection:
        old = Beside(projection, "old")
        if not old.exist(connection):
            raise NotFound(f"there are no old rows of {projection.name}", remedy="a rebuild without --drop keeps them")
        begun = Filled(_position(connection, projection.log, _mark(projection)))
        return _switch(connection, old, read_events, begun).applied


def drop_old(pool: Pool, projection: Projection) -> None:
    """Forget the tables that the last rebuild replaced."""
    with _alone(pool, projection) as connection:
        _drop_old(connection, projection)


def checksum(pool: Pool, projection: Projection) -> str:
    """SHA-256 over every row of the projection's tables in a stable order, hexadecimal."""
    digest = hashlib.sha256()
    with pool.connection() as connection, connection.transaction():
        for table in projection.tables:
            digest.update(f"{table} {digest_of(connection, table)}\n".encode())
    return digest.hexdigest()


@contextmanager
def _alone(pool: Pool, projection: Projection) -> Iterator[Connection]:
    """A connection that holds the lock of the projection's rebuilds; it goes with the process."""
    key = f"{projection.log}.{projection.name}"
    with pool.connection() as connection:
        taken = connection.execute("SELECT pg_try_advisory_lock(hashtext('testmesh_rebuild'), hashtext(%s))", (key,)).fetchone()
        if taken is None or not taken[0]:
            raise Conflict(f"projection {projection.name} is being rebuilt by another process", code="rebuild_under_way")
        try:
            yield connection
        except errors.InsufficientPrivilege as error:
            raise Conflict(
                f"this account may not exchange tables of projection {projection.name}: {error.diag.message_primary}",
                code="not_owner",
                remedy="use the account that ran `testmesh admin migrate`",
            ) from error
        finally:
            with suppress(psycopg.Error):
                connection.execute("SELECT pg_advisory_unlock(hashtext('testmesh_rebuild'), hashtext(%s))", (key,))


def _mark(projection: Projection) -> str:
    """The row of `tracking` that keeps the position of the old tables."""
    return f"{projection.name}.old"


def _position(connection: Connection, log: str, name: str) -> int:
    row = connection.execute(f"SELECT position FROM {log}.tracking WHERE name = %s".encode(), (name,)).fetchone()
    return int(row[0]) if row else 0


def _bound(connection: Connection, projection: Projection) -> int | None:
    """How far it may go: no farther than those that it follows; None when it follows none."""
    return min((_position(connection, projection.log, name) for name in projection.follows), default=None)


def _verify(connection: Connection, projection: Projection, read_events: ReadEvents, filled: Filled) -> None:
    """Replay the log to the same position once more, in other batches, and compare counts and checksums of every table."""
    shadow, check = Beside(projection, "shadow"), Beside(projection, "check")
    try:
        check.make(connection)
        again = check.fill(connection, read_events, Filled(), upto=filled.position, size=CHECK_BATCH)
        with connection.transaction():
            for table, one, other in zip(moving(projection), shadow.tables(), check.tables(), strict=True):
                _compare(table, digest_of(connection, one), digest_of(connection, other))
        if again.applied != filled.applied:
            raise Conflict(f"the log gave {filled.applied} events, then {again.applied}", code="not_verified")
    finally:
        _drop_quietly(connection, check)


def _compare(table: str, one: tuple[int, str], other: tuple[int, str]) -> None:
    if one != other:
        raise Conflict(
            f"two replays of the log disagree about {table}: {one[0]} and {other[0]} rows, SHA-256 {one[1][:12]} and"
            f" {other[1][:12]}; the old rows go on serving",
            code="not_verified",
            remedy="this is a bug of the projection; report it",
        )


def _switch(connection: Connection, place: Beside, read_events: ReadEvents, filled: Filled) -> Filled:
    """Take the events since then and exchange the tables, once no reader is in the way."""
    for number in range(SWITCH_TRIES):
        if number:
            time.sleep(SWITCH_PAUSE_SECONDS)
        filled = place.fill(connection, read_events, filled, upto=_bound(connection, place.projection))
        try:
            with connection.transaction():
                return _switched(connection, place, read_events, filled)
        except (errors.LockNotAvailable, errors.DeadlockDetected):
            continue
    raise Unavailable(
        f"projection {place.projection.name}: readers are never done with the old tables, which go on serving",
        remedy="look for a session that holds them: SELECT * FROM pg_stat_activity WHERE state LIKE 'idle in%'",
    )


def _switched(connection: Connection, place: Beside, read_events: ReadEvents, filled: Filled) -> Filled:
    """The exchange itself. The row in `tracking` keeps projectors away from this one projection meanwhile."""
    projection = place.projection
    log, name = projection.log, projection.name
    connection.execute(PATIENT)
    connection.execute(f"INSERT INTO {log}.tracking (name, position) VALUES (%s, 0) ON CONFLICT DO NOTHING".encode(), (name,))
    connection.execute(f"SELECT 1 FROM {log}.tracking WHERE name = %s FOR UPDATE".encode(), (name,))
    before, bound, head = _position(connection, log, name), _bound(connection, projection), head_of(connection, log)
    # No farther than this head: writers that never pause must not keep the projector away for long.
    filled = place.fill(connection, read_events, filled, upto=head if bound is None else min(bound, head))
    connection.execute(f"SET LOCAL lock_timeout = '{READERS_WAIT}'")
    connection.execute(f"LOCK TABLE {', '.join(moving(projection))} IN ACCESS EXCLUSIVE MODE".encode())
    _exchange(connection, place)
    reached = max(before, filled.position, head if bound is None else bound)
    keep_position(connection, log, name, reached)
    keep_position(connection, log, _mark(projection), before)
    connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, f"{log} {reached}"))
    return filled


def _exchange(connection: Connection, place: Beside) -> None:
    """The serving tables become the old ones, those of the place serve."""
    leaving, old = Beside(place.projection, "leaving"), Beside(place.projection, "old")
    leaving.make_schema(connection)
    old.make_schema(connection)
    leaving.drop(connection)
    for serving in moving(place.projection):
        _move(connection, serving, leaving.schema)
    for table in place.tables():
        _move(connection, table, place.projection.log)
    old.drop(connection)
    for table in leaving.tables():
        _move(connection, table, old.schema)


def _move(connection: Connection, table: str, schema: str) -> None:
    connection.execute(f"ALTER TABLE {table} SET SCHEMA {schema}".encode())


def _drop_old(connection: Connection, projection: Projection) -> None:
    with connection.transaction():
        Beside(projection, "old").drop(connection)
        connection.execute(f"DELETE FROM {projection.log}.tracking WHERE name = %s".encode(), (_mark(projection),))


def _drop_quietly(connection: Connection, place: Beside) -> None:
    """What is left over is dropped by the next rebuild in any case."""
    with suppress(psycopg.Error), connection.transaction():
        place.drop(connection)
