"""The event store: one log a domain, over the library's Application with our recorder and our one write path."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate
from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    InfrastructureFactory,
    IntegrityError,
    Notification,
    ProcessRecorder,
    StoredEvent,
    Subscription,
    TrackingRecorder,
    Transcoder,
)
from eventsourcing.utils import Environment

from application import group_places
from application.database import Database
from application.group_commit import Append, GroupCommitter
from application.log import SNAPSHOT_EVERY, A, GroupFull, Log, Recorded, SideWrite, VersionConflict, rebuilt
from application.transcoding import EventMapper, OrjsonTranscoder
from domain.errors import NotFound
from domain.execution import Execution

logger = logging.getLogger("testmesh.log")
REMEMBERED = 10_000
"""Aggregates whose last own event is remembered for the fence."""


class PostgresRecorder(ApplicationRecorder):
    """Reads and appends one event table. Appending here is for the library's own calls; Log.put is the write path."""

    def __init__(self, database: Database, schema: str, table: str = "events") -> None:
        self._database = database
        self._schema = schema
        self._table = f"{schema}.{table}"

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:
        """Refused for events (see Log.put); snapshots replace one another."""
        if self._table.endswith(".events"):
            raise IntegrityError("append through Log.put, the only write path")
        sql = (
            f"INSERT INTO {self._table} (originator_id, originator_version, topic, state) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT (originator_id, originator_version) DO UPDATE SET state = excluded.state"
        )
        with self._database.pool.connection() as connection:
            for stored in stored_events:
                values = (stored.originator_id, stored.originator_version, stored.topic, stored.state)
                connection.execute(sql, values)
        return None

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """Events of one aggregate in order."""
        sql = (
            f"SELECT originator_id, originator_version, topic, state FROM {self._table}"
            " WHERE originator_id = %s AND originator_version > %s AND originator_version <= %s"
            f" ORDER BY originator_version {'DESC' if desc else 'ASC'} LIMIT %s"
        )
        with self._database.pool.connection() as connection:
            rows = connection.execute(sql, (originator_id, gt or 0, lte or 2**31 - 1, limit)).fetchall()
        return [StoredEvent(*row) for row in rows]

    def select_aggregate(self, originator_id: UUID | str) -> Sequence[StoredEvent]:
        """What an aggregate is rebuilt from, in one round trip: its newest snapshot, if any, and the events after it."""
        sql = (
            "WITH newest AS (SELECT originator_id, originator_version, topic, state"
            f" FROM {self._schema}.snapshots WHERE originator_id = %s ORDER BY originator_version DESC LIMIT 1)"
            " SELECT *, 0 AS part FROM newest UNION ALL"
            f" SELECT originator_id, originator_version, topic, state, 1 FROM {self._table} WHERE originator_id = %s"
            " AND originator_version > coalesce((SELECT originator_version FROM newest), 0)"
            " ORDER BY part, originator_version"
        )
        with self._database.pool.connection() as connection:
            rows = connection.execute(sql, (originator_id, originator_id)).fetchall()
        return [StoredEvent(*row[:4]) for row in rows]

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """Events of the whole log by position."""
        first = (start or 0) if inclusive_of_start else (start or 0) + 1
        sql = (
            f"SELECT originator_id, originator_version, topic, state, notification_id FROM {self._table}"
            " WHERE notification_id >= %s AND notification_id <= %s AND (%s OR topic = ANY(%s))"
            " ORDER BY notification_id LIMIT %s"
        )
        values = (first, stop or 2**63 - 1, not topics, list(topics), limit)
        with self._database.pool.connection() as connection:
            rows = connection.execute(sql, values).fetchall()
        return [Notification(originator_id=i, originator_version=v, topic=t, state=s, id=n) for i, v, t, s, n in rows]

    def select_of(self, ids: Sequence[UUID], topic: str) -> Sequence[StoredEvent]:
        """The events of one kind of some aggregates."""
        sql = (
            f"SELECT originator_id, originator_version, topic, state FROM {self._table}"
            " WHERE originator_id = ANY(%s) AND topic = %s"
        )
        with self._database.pool.connection() as connection:
            return [StoredEvent(*row) for row in connection.execute(sql, (list(ids), topic)).fetchall()]

    def select_history(self, ids: Sequence[UUID], after: int, upto: int, limit: int) -> Sequence[Notification]:
        """The events of some aggregates above one position and up to another, by position."""
        sql = (
            f"SELECT originator_id, originator_version, topic, state, notification_id FROM {self._table}"
            " WHERE originator_id = ANY(%s) AND notification_id > %s AND notification_id <= %s"
            " ORDER BY notification_id LIMIT %s"
        )
        with self._database.pool.connection() as connection:
            rows = connection.execute(sql, (list(ids), after, upto, limit)).fetchall()
        return [Notification(originator_id=i, originator_version=v, topic=t, state=s, id=n) for i, v, t, s, n in rows]

    def max_notification_id(self) -> int | None:
        """The head of the log."""
        with self._database.pool.connection() as connection:
            row = connection.execute(f"SELECT max(notification_id) FROM {self._table}").fetchone()
        return row[0] if row else None

    def position_of(self, id: UUID, version: int) -> int | None:
        """Where one event stands."""
        sql = f"SELECT notification_id FROM {self._table} WHERE originator_id = %s AND originator_version = %s"
        with self._database.pool.connection() as connection:
            row = connection.execute(sql, (id, version)).fetchone()
        return row[0] if row else None

    def has(self, id: UUID, topic: str) -> bool:
        """Whether an aggregate has an event of this kind."""
        sql = f"SELECT EXISTS (SELECT 1 FROM {self._table} WHERE originator_id = %s AND topic = %s)"
        with self._database.pool.connection() as connection:
            row = connection.execute(sql, (id, topic)).fetchone()
        return bool(row and row[0])

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> Subscription[Any]:
        """Refused: the library's subscription can sleep through an event; followers poll (projections.follower)."""
        raise NotImplementedError("follow the log with its own pull loop")


class Factory(InfrastructureFactory[TrackingRecorder]):
    """The library's door to our recorder. The database is handed over in `Factory.databases` by schema."""

    databases: dict[str, Database] = {}

    def aggregate_recorder(self, purpose: str = "events") -> AggregateRecorder:
        """Snapshots."""
        return PostgresRecorder(self.databases[self.env.name], self.env.name, purpose)

    def application_recorder(self) -> ApplicationRecorder:
        """Events."""
        return PostgresRecorder(self.databases[self.env.name], self.env.name)

    def tracking_recorder(self, tracking_recorder_class: type[TrackingRecorder] | None = None) -> TrackingRecorder:
        """Not used: projections keep their own positions."""
        raise NotImplementedError("projections keep their positions beside their rows")

    def process_recorder(self) -> ProcessRecorder:
        """Not used."""
        raise NotImplementedError("process managers keep their positions themselves")


class _Application(Application[UUID]):
    """The library's application without its environment variables."""

    def construct_env(self, name: str, env: Any = None) -> Environment:
        return Environment(name, dict(env or {}))

    def construct_transcoder(self) -> Transcoder:
        return OrjsonTranscoder()

    def construct_mapper(self) -> EventMapper:
        return EventMapper(transcoder=self.construct_transcoder())


class PostgresLog(Log):
    """One domain's log in PostgreSQL."""

    database: Database

    def __init__(self, name: str, database: Database) -> None:
        self.name = name
        self.database = database
        Factory.databases[name] = database
        env = {"PERSISTENCE_MODULE": "application.event_store:Factory", "IS_SNAPSHOTTING_ENABLED": "y"}
        application = type(name, (_Application,), {"name": name})
        self.application: Application[UUID] = application(env)
        self._recorder = PostgresRecorder(database, name)
        self._committer = GroupCommitter(name, database.connect)
        self._last: OrderedDict[UUID | str, tuple[StoredEvent, Future[int]]] = OrderedDict()

    def load(self, kind: type[A], id: UUID) -> A:
        """The aggregate as it is now; NotFound when there is none."""
        events = map(self.application.mapper.to_domain_event, self._recorder.select_aggregate(id))
        found: A | None = rebuilt(events)
        if not isinstance(found, kind):
            raise NotFound(f"there is no {kind.__name__.lower()} {id}")
        return found

    def submit(self, *aggregates: Aggregate, side: Sequence[SideWrite] = (), patience: float = 3.0) -> Future[int]:
        """To the group commit, with the event before the first, which the fence checks."""
        append = self._gathered(aggregates, side, patience)
        if append.events:
            return self._committer.submit(append)
        append.done.set_result(self.head())
        return append.done

    def _append(self, aggregates: Sequence[Aggregate], side: Sequence[SideWrite], patience: float) -> int:
        append = self._gathered(aggregates, side, patience)
        return self._committer.commit(append) if append.events else self.head()

    def _gathered(self, aggregates: Sequence[Aggregate], side: Sequence[SideWrite], patience: float) -> Append:
        stored, previous, done = [], None, Future[int]()
        for aggregate in aggregates:
            if isinstance(aggregate, Execution) and aggregate.request.groups:
                side = [*side, *group_places.side_writes(aggregate)]
            events = [self.application.mapper.to_stored_event(event) for event in aggregate.collect_events()]
            if events:
                if len(aggregates) == 1:
                    previous = self._fence(events[0])
                self._remember(events[-1], done)
                stored.extend(events)
        return Append(stored, side, previous, patience, done)

    def read(self, after: int, limit: int, topics: Sequence[str] = ()) -> list[Recorded]:
        """Decoded events with a position above `after`, in order."""
        found = self._recorder.select_notifications(after, limit, topics=topics, inclusive_of_start=False)
        return self._decoded(found)

    def history(self, ids: Sequence[UUID], after: int, upto: int, limit: int) -> list[Recorded]:
        """Decoded events of some aggregates with positions above `after` and up to `upto`, in order."""
        return self._decoded(self._recorder.select_history(ids, after, upto, limit))

    def _decoded(self, found: Sequence[Notification]) -> list[Recorded]:
        return [Recorded(n.id, self.application.mapper.to_domain_event(n), n.topic) for n in found]

    def position_of(self, id: UUID, version: int = 1) -> int:
        """Where an event of an aggregate stands; NotFound when there is none."""
        found = self._recorder.position_of(id, version)
        if found is None:
            raise NotFound(f"there is no event {version} of {id}")
        return found

    def has(self, id: UUID, topic: str) -> bool:
        """Whether an event of this kind is recorded of an aggregate; without rebuilding it."""
        return self._recorder.has(id, topic)

    def of(self, ids: Sequence[UUID], topic: str) -> list[Any]:
        """The events of this kind of these aggregates, in no order; without rebuilding them."""
        return [self.application.mapper.to_domain_event(stored) for stored in self._recorder.select_of(ids, topic)]

    def now(self) -> datetime:
        """The database's time."""
        with self.database.pool.connection() as connection:
            row = connection.execute("SELECT clock_timestamp()").fetchone()
        moment: datetime = row[0] if row else datetime.now(UTC)
        return moment.astimezone(UTC)

    def head(self) -> int:
        """The position of the newest event; 0 in an empty log."""
        return self._recorder.max_notification_id() or 0

    def close(self) -> None:
        """Commit what was handed in; the database stays open for others."""
        self._committer.close()
        self.application.close()

    def _fence(self, first: StoredEvent) -> StoredEvent | None:
        """The event before the first, when this process appended it. One that was refused is nothing that the log lost."""
        last, done = self._last.get(first.originator_id, (None, None))
        if last is None or done is None or last.originator_version != first.originator_version - 1:
            return None
        return None if done.done() and isinstance(done.exception(), VersionConflict | GroupFull) else last

    def _remember(self, event: StoredEvent, done: Future[int]) -> None:
        self._last[event.originator_id] = (event, done)
        self._last.move_to_end(event.originator_id)
        if len(self._last) > REMEMBERED:
            self._last.popitem(last=False)

    def snapshot_when_long(self, aggregate: Aggregate, before: int) -> None:
        """Keep a snapshot when the aggregate has passed a multiple of SNAPSHOT_EVERY since version `before`."""
        if aggregate.version // SNAPSHOT_EVERY <= before // SNAPSHOT_EVERY:
            return
        try:
            self.application.take_snapshot(aggregate.id)
        except Exception as error:
            # The events are recorded: whoever appended them must not take this for a refusal.
            logger.warning("no snapshot of %s, which costs time alone: %s", aggregate.id, error)
