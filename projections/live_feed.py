"""The executions' events as watchers get them: an event is here only when the stored state that it made is readable.

Events are kept here for some days. Older ones of an execution or a suite run come from the log, which keeps them all.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
import psycopg

from projections.execution_folding import shown_variables
from projections.rows import Pool, Row, Table, Where, as_uuid, fetch, json_text
from projections.view import Projection, Recorded

TABLE = Table(
    "executions.live_feed",
    ("feed_id",),
    {
        "feed_id": "bigint",
        "workspace": "text",
        "execution": "uuid",
        "topic": "text",
        "version": "integer",
        "at": "timestamptz",
        "event": "jsonb",
    },
)
HIDDEN = ("originator_id", "originator_version", "timestamp", "state", "request_digest", "plan", "shared", "sealed")
"""Fields that a watcher does not get: said elsewhere in the row, or kept for workers alone."""
History = Callable[[Sequence[UUID], int, int, int], Sequence[Recorded]]
"""(ids, after position, up to position, limit) -> events of these aggregates in order."""
PRUNED_AT_ONCE = 10_000
MOST = 1000


class LiveFeedProjection(Projection):
    """One row an event, never ahead of the read models that a watcher would look at next."""

    name = "live_feed"
    log = "executions"
    tables = (TABLE.name,)
    companions = ("executions.live_feed_pruned",)
    follows = ("execution_list", "execution_details", "suite_run_list", "suite_cases")

    def ddl(self) -> str:
        """The feed, read by workspace or by execution; and the mark up to which it was pruned."""
        return """
        CREATE TABLE IF NOT EXISTS executions.live_feed (
            feed_id bigint PRIMARY KEY,
            workspace text NOT NULL,
            execution uuid NOT NULL,
            topic text NOT NULL,
            version integer NOT NULL,
            at timestamptz NOT NULL,
            event jsonb NOT NULL
        );
        CREATE INDEX IF NOT EXISTS live_feed_by_workspace ON executions.live_feed (workspace, feed_id);
        CREATE INDEX IF NOT EXISTS live_feed_by_execution ON executions.live_feed (execution, feed_id);
        CREATE TABLE IF NOT EXISTS executions.live_feed_pruned (
            one boolean PRIMARY KEY DEFAULT true CHECK (one),
            feed_id bigint NOT NULL
        );
        INSERT INTO executions.live_feed_pruned (feed_id) VALUES (0) ON CONFLICT DO NOTHING"""

    def apply(self, connection: psycopg.Connection[Any], batch: Sequence[Recorded]) -> None:
        """Add the events."""
        TABLE.upsert(connection, map(_row, batch))

    def clear(self, connection: psycopg.Connection[Any]) -> None:
        """Everything comes back with a rebuild, so nothing counts as pruned any more."""
        super().clear(connection)
        connection.execute("UPDATE executions.live_feed_pruned SET feed_id = 0")


def _row(recorded: Recorded) -> Row:
    event = recorded.event
    return {
        "feed_id": recorded.position,
        "workspace": event.workspace,
        "execution": event.originator_id,
        "topic": recorded.topic,
        "version": event.originator_version,
        "at": event.timestamp,
        "event": {"topic": recorded.topic, "version": event.originator_version, **_shown(vars(event))},
    }


def _shown(fields: dict[str, Any]) -> Row:
    shown = {name: value for name, value in fields.items() if name not in HIDDEN}
    if "variables" in shown:
        shown["variables"] = shown_variables(shown["variables"])
    return shown


def _as_kept(row: Row) -> Row:
    """A row as a query gives it."""
    event = orjson.loads(json_text(row["event"]))
    return {name: value for name, value in row.items() if name != "workspace"} | {
        "execution": str(row["execution"]),
        "event": event,
    }


class LiveFeed:
    """Queries, and the keeping of the feed."""

    def __init__(self, pool: Pool, history: History | None = None) -> None:
        """`history` reads the log; without it, only what is kept here is found."""
        self._pool = pool
        self._history = history

    def after(
        self, workspace: str, feed_id: int, *, executions: Collection[str | UUID] | None = None, limit: int = 500
    ) -> list[Row]:
        """The events of a workspace, or of some of its executions and suite runs, above a feed id in order: feed_id, topic,
        execution (or suite run), version, at, event. Those of the workspace only as far back as they are kept."""
        limit = max(1, min(limit, MOST))
        if executions is None or self._history is None or feed_id >= (pruned := self._pruned()):
            return self._kept(workspace, feed_id, executions, limit)
        ids = [id for id in map(as_uuid, executions) if id is not None]
        older = self._history(ids, feed_id, pruned, limit)
        found = [_as_kept(row) for row in map(_row, older) if row["workspace"] == workspace]
        return found + (self._kept(workspace, pruned, executions, limit - len(older)) if len(older) < limit else [])

    def _kept(self, workspace: str, feed_id: int, executions: Collection[str | UUID] | None, limit: int) -> list[Row]:
        where = Where()
        where.equal(workspace=workspace)
        where.add("feed_id > %s", feed_id)
        if executions is not None:
            where.add("execution = ANY(%s::uuid[])", [id for id in map(as_uuid, executions) if id is not None])
        sql = f"SELECT feed_id, topic, execution, version, at, event FROM {TABLE.name} WHERE {where} ORDER BY feed_id LIMIT %s"
        return fetch(self._pool, sql, [*where.values, limit])

    def tail(self, feed_id: int, limit: int = 500) -> list[Row]:
        """The events of all workspaces above a feed id in order, with their `workspace` and `size` (bytes of
        the event as JSON): for whoever serves many watchers."""
        sql = (
            "SELECT feed_id, workspace, topic, execution, version, at, event, octet_length(event::text) AS size"
            f" FROM {TABLE.name}"
            " WHERE feed_id > %s ORDER BY feed_id LIMIT %s"
        )
        return fetch(self._pool, sql, [feed_id, max(1, limit)])

    def oldest(self) -> int:
        """The lowest feed id that is kept; 0 in an empty feed."""
        return self._number("SELECT coalesce(min(feed_id), 0) AS n FROM executions.live_feed")

    def head(self) -> int:
        """The highest feed id so far, pruned or not; 0 when there was none."""
        return self._number(
            "SELECT greatest(max(f.feed_id), max(p.feed_id)) AS n"
            " FROM executions.live_feed_pruned p LEFT JOIN"
            " (SELECT feed_id FROM executions.live_feed ORDER BY feed_id DESC LIMIT 1) f ON true"
        )

    def expired(self, feed_id: int) -> bool:
        """Whether events above this feed id were pruned: a watcher cannot resume there and reads the state anew."""
        return feed_id < self._pruned()

    def _pruned(self) -> int:
        return self._number("SELECT feed_id AS n FROM executions.live_feed_pruned")

    def prune(self, days: float = 7, *, now: datetime | None = None) -> int:
        """Delete the oldest events up to the newest one that is older than `days`, and remember how far; how many."""
        total = 0
        while deleted := self._prune_some(days, now):
            total += deleted
        return total

    def _prune_some(self, days: float, now: datetime | None) -> int:
        sql = f"""
        WITH old AS (SELECT feed_id, at FROM executions.live_feed ORDER BY feed_id LIMIT {PRUNED_AT_ONCE}),
        cut AS (
            SELECT max(feed_id) AS feed_id FROM old
            WHERE at < coalesce(%s::timestamptz, clock_timestamp()) - make_interval(secs => %s)
        ),
        mark AS (
            UPDATE executions.live_feed_pruned p SET feed_id = greatest(p.feed_id, cut.feed_id)
            FROM cut WHERE cut.feed_id IS NOT NULL
        )
        DELETE FROM executions.live_feed f USING cut WHERE f.feed_id <= cut.feed_id"""
        with self._pool.connection() as connection:
            return connection.execute(sql.encode(), (now, days * 86_400.0)).rowcount

    def _number(self, sql: str) -> int:
        rows = fetch(self._pool, sql)
        return int(rows[0]["n"] or 0) if rows else 0
