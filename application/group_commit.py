"""Group commit: appends that arrive while a commit is in flight share the next one; one connection a log."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import field
from typing import TYPE_CHECKING, Any

from application.log import GroupFull, LostTail, SideWrite, VersionConflict
from domain.errors import Unavailable
from domain.values import dataclass

if TYPE_CHECKING:
    import psycopg
    from eventsourcing.persistence import StoredEvent

MAX_BATCH = 256
_CHANGES = ("INSERT ", "UPDATE ", "DELETE ")


@dataclass(slots=True)
class Append:
    """Events of one save. `previous` is the stored event before the first, when this process wrote it."""

    events: Sequence[StoredEvent]
    side: Sequence[SideWrite] = ()
    previous: StoredEvent | None = None
    patience: float = 3.0
    """Seconds to keep trying while the database is away."""
    done: Future[int] = field(default_factory=Future)


def is_connection_error(error: BaseException) -> bool:
    """Whether the outcome of the statement is unknown or the server was away."""
    import psycopg
    from psycopg import errors

    if isinstance(error, errors.IdleInTransactionSessionTimeout):
        return True
    return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)


class GroupCommitter:
    """Commits appends of one log in the order they come, over one connection. Whoever holds `_leading` commits what waits: a
    thread that waits for its own append when nobody else does, which saves it two changes of thread, or a thread kept for
    that. `connect` opens an autocommit connection."""

    def __init__(self, schema: str, connect: Callable[[], psycopg.Connection[Any]]) -> None:
        self._schema = schema
        self._connect = connect
        self._waiting: deque[Append] = deque()
        self._leading = threading.Lock()
        self._wake: queue.SimpleQueue[bool] = queue.SimpleQueue()
        """True: something waits; False: this was all."""
        self._connection: psycopg.Connection[Any] | None = None
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._closed = False

    def submit(self, append: Append) -> Future[int]:
        """Hand in an append; the future gives the position of its last event, or the refusal."""
        self._hand_in(append)
        self._wake.put(True)
        return append.done

    def commit(self, append: Append) -> int:
        """As `submit`, and wait for it."""
        self._hand_in(append)
        led = False
        while not append.done.done() and self._leading.acquire(blocking=False):
            led = True
            try:
                self._commit(self._next_batch())
            finally:
                self._leading.release()
        if led and self._waiting:  # whoever came meanwhile found the lock taken, and waits for its holder to look
            self._wake.put(True)
        return append.done.result()

    def close(self) -> None:
        """Commit what was handed in, then stop."""
        with self._starting:
            self._closed = True
            thread = self._thread
        if thread is not None:
            self._wake.put(False)
            thread.join()

    def _hand_in(self, append: Append) -> None:
        with self._starting:
            if self._closed:
                raise Unavailable("the event store is closed")
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=f"append-{self._schema}", daemon=True)
                self._thread.start()
            self._waiting.append(append)

    def _run(self) -> None:
        more = True
        while more:
            more = self._wake.get()
            while self._waiting:
                with self._leading:
                    if batch := self._next_batch():
                        self._commit(batch)
        with self._leading:
            self._disconnect()

    def _next_batch(self) -> list[Append]:
        """What waits; the holder of the lock alone takes it."""
        return [self._waiting.popleft() for _ in range(min(len(self._waiting), MAX_BATCH))]

    def _commit(self, batch: list[Append]) -> None:
        """All in one transaction; when that fails, one by one, so that only the guilty save fails."""
        try:
            self._commit_together(batch)
        except BaseException as interrupt:  # of this thread, which must not leave others waiting for ever
            self._disconnect()
            for append in batch:
                if not append.done.done():
                    append.done.set_exception(Unavailable("the commit was interrupted"))
            if not isinstance(interrupt, Exception):
                raise

    def _commit_together(self, batch: list[Append]) -> None:
        if len(batch) > 1:
            try:
                positions = self._write(batch)
            except Exception as error:
                if is_connection_error(error):
                    self._disconnect()
                    for append in batch:
                        self._commit_alone(append, ambiguous=True)
                    return
            else:
                for append, position in zip(batch, positions, strict=True):
                    append.done.set_result(position)
                return
        for append in batch:
            self._commit_alone(append, ambiguous=False)

    def _commit_alone(self, append: Append, *, ambiguous: bool) -> None:
        try:
            append.done.set_result(self._persist(append, ambiguous=ambiguous))
        except BaseException as error:
            append.done.set_exception(error)

    def _persist(self, append: Append, *, ambiguous: bool) -> int:
        """Append once, whatever the connection does: after a broken commit look first, then send the same bytes again."""
        from psycopg import errors

        deadline = time.monotonic() + append.patience
        pause = 0.05
        while True:
            try:
                if ambiguous:
                    self._check_tail(append)
                    position = self._already_there(append)
                    if position is not None:
                        return position
                return self._write([append])[0]
            except errors.UniqueViolation as error:
                raise VersionConflict("this version is already recorded") from error
            except Exception as error:
                if getattr(error, "sqlstate", None) == "TM002":
                    raise GroupFull(str(error).splitlines()[0]) from error
                if getattr(error, "sqlstate", None) == "TM001":
                    raise LostTail("the log does not hold the event before this one") from error
                if not is_connection_error(error):
                    raise
                ambiguous = True
                self._disconnect()
                if time.monotonic() + pause > deadline:
                    raise Unavailable(f"PostgreSQL does not answer: {error}".strip()) from error
                time.sleep(pause)
                pause = min(pause * 2, 1.0)

    def _write(self, batch: list[Append]) -> list[int]:
        connection = self._connected()
        events = [event for append in batch for event in append.events]
        statement = f"SELECT {self._schema}.append(%b::uuid[], %b::int4[], %b::text[], %b::bytea[])"
        params = (
            [event.originator_id for event in events],
            [event.originator_version for event in events],
            [event.topic for event in events],
            [event.state for event in events],
        )
        side = [write for append in batch for write in append.side]
        if not side:
            row = connection.execute(statement, params).fetchone()
        elif len(side) == 1 and side[0].sql.startswith(_CHANGES):
            # One statement is one round trip, and a transaction by itself; the change is made after the append.
            both = f"WITH beside AS ({side[0].sql}) {statement}"
            row = connection.execute(both, (*side[0].params, *params)).fetchone()
        else:
            # No pipeline: who is frozen in the middle of one is not `idle in transaction` for the server, which would then
            # hold the lock of the log for it without any time limit.
            with connection.transaction():
                row = connection.execute(statement, params).fetchone()
                for write in side:
                    connection.execute(write.sql, write.params)
        positions: list[int] = row[0] if row else []
        ends, last = [], -1
        for append in batch:
            last += len(append.events)
            ends.append(positions[last])
        return ends

    def _already_there(self, append: Append) -> int | None:
        """The position when exactly these bytes are recorded, None when none are; another's events are a conflict."""
        found = self._stored(append.events)
        if not found:
            return None
        same = [
            row is not None and (row[0], bytes(row[1])) == (event.topic, event.state)
            for event, row in ((event, found.get((event.originator_id, event.originator_version))) for event in append.events)
        ]
        if not all(same):
            raise VersionConflict("this version is already recorded")
        return max(int(row[2]) for row in found.values())

    def _check_tail(self, append: Append) -> None:
        """The event that this process wrote last must still be there (closes the trap of a lossy failover)."""
        previous = append.previous
        if previous is None:
            return
        row = self._stored([previous]).get((previous.originator_id, previous.originator_version))
        if row is None or bytes(row[1]) != previous.state:
            raise LostTail("the log does not hold the event that this process appended last")

    def _stored(self, events: Sequence[StoredEvent]) -> dict[tuple[Any, int], tuple[str, bytes, int]]:
        statement = (
            f"SELECT e.originator_id, e.originator_version, e.topic, e.state, e.notification_id FROM {self._schema}.events e"
            " JOIN unnest(%b::uuid[], %b::int4[]) AS k(i, v) ON e.originator_id = k.i AND e.originator_version = k.v"
        )
        params = ([event.originator_id for event in events], [event.originator_version for event in events])
        rows = self._connected().execute(statement, params).fetchall()
        return {(row[0], row[1]): (row[2], row[3], row[4]) for row in rows}

    def _connected(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = self._connect()
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
