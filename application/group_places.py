"""Concurrency groups: who holds a place and who waits for one, in a table that changes in the transactions of the events.

A place is taken with AttemptStarted and given up with Finished, whoever appends them. All statements of the table are here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from application.log import Log, SideWrite
from domain.execution import Execution
from domain.queueing import WORKSPACE_GROUP
from domain.values import dataclass

if TYPE_CHECKING:
    import psycopg

OVERTAKING_SECONDS = 600.0
"""By a step of priority one may overtake those that have waited less than this, and nobody else."""
GROUP_FULL_STATE = "TM002"
MOST_CALLED = 500
CALLS = "calls"
"""The row of `tracking` that counts how often everybody was to be called again."""

SCHEMA = f"""
CREATE TABLE IF NOT EXISTS executions.group_places (
    execution uuid NOT NULL,
    workspace text NOT NULL,
    name text NOT NULL,
    most integer NOT NULL,
    when_full text NOT NULL,
    priority integer NOT NULL,
    runs_on text NOT NULL,
    seq bigserial NOT NULL,
    since timestamptz NOT NULL,
    turn timestamptz NOT NULL,
    called boolean NOT NULL DEFAULT false,
    held_since timestamptz,
    PRIMARY KEY (execution, name)
);
CREATE INDEX IF NOT EXISTS group_places_held ON executions.group_places (workspace, name) WHERE held_since IS NOT NULL;
CREATE INDEX IF NOT EXISTS group_places_waiting
    ON executions.group_places (workspace, name, runs_on, turn, seq) WHERE held_since IS NULL;
CREATE INDEX IF NOT EXISTS group_places_uncalled
    ON executions.group_places (workspace, name) WHERE held_since IS NULL AND NOT called;

-- Whether an execution may begin: in none of its groups are there as many holders, and waiting ones of its own kind before it,
-- as it or any of them allows.
CREATE OR REPLACE FUNCTION executions.group_room(wanted uuid) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
DECLARE
    place executions.group_places;
    before record;
BEGIN
    FOR place IN SELECT * FROM executions.group_places WHERE execution = wanted AND held_since IS NULL LOOP
        SELECT count(*) AS n, least(min(o.most), place.most) AS bound INTO before FROM (
            (SELECT h.most FROM executions.group_places h
                WHERE h.workspace = place.workspace AND h.name = place.name AND h.held_since IS NOT NULL LIMIT place.most)
            UNION ALL
            (SELECT w.most FROM executions.group_places w
                WHERE w.workspace = place.workspace AND w.name = place.name AND w.held_since IS NULL
                AND w.runs_on = place.runs_on AND (w.turn, w.seq) < (place.turn, place.seq)
                ORDER BY w.turn, w.seq LIMIT place.most)
        ) o;
        IF before.n >= before.bound THEN
            RETURN false;
        END IF;
    END LOOP;
    RETURN true;
END $$;

-- The places of an execution that begins. The log's lock is held here, so nothing changes between the look and the write.
CREATE OR REPLACE FUNCTION executions.group_enter(wanted uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM executions.group_places WHERE execution = wanted) OR NOT executions.group_room(wanted) THEN
        RAISE EXCEPTION 'a group of execution % is full', wanted USING ERRCODE = '{GROUP_FULL_STATE}';
    END IF;
    UPDATE executions.group_places SET held_since = clock_timestamp() WHERE execution = wanted AND held_since IS NULL;
END $$;

-- A row for each group of an execution that was requested just now. `skip` asks whether all places are taken or waited for.
CREATE OR REPLACE FUNCTION executions.group_join(
    wanted uuid, room text, names text[], bounds integer[], policies text[], rank integer, labels text
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    n integer;
    at timestamptz := clock_timestamp();
BEGIN
    FOR n IN 1 .. array_length(names, 1) LOOP
        IF policies[n] = 'skip' AND (
            SELECT count(*) >= least(min(o.most), bounds[n]) FROM executions.group_places o
            WHERE o.workspace = room AND o.name = names[n] AND o.execution <> wanted
        ) THEN
            RAISE EXCEPTION 'the group % is full', names[n] USING ERRCODE = '{GROUP_FULL_STATE}';
        END IF;
        INSERT INTO executions.group_places (execution, workspace, name, most, when_full, priority, runs_on, since, turn)
        VALUES (wanted, room, names[n], bounds[n], policies[n], rank, labels, at,
            at - make_interval(secs => rank * {OVERTAKING_SECONDS}))
        ON CONFLICT (execution, name) DO NOTHING;
    END LOOP;
END $$;
"""


@dataclass(frozen=True, slots=True)
class Place:
    """A holder of a place in a group (`held_since`), or one that waits for it (None); `since` is when it was requested.

    `ahead` counts those that come before a waiting one, holders apart.
    """

    workspace: str
    name: str
    execution: UUID
    max: int
    priority: int
    runs_on: tuple[str, ...]
    since: datetime
    held_since: datetime | None
    ahead: int


def side_writes(execution: Execution) -> list[SideWrite]:
    """What the pending events of an execution mean for its places."""
    if not execution.request.groups:
        return []
    writes = []
    for event in execution.pending_events:
        if isinstance(event, Execution.Requested):
            writes.append(_join(execution))
        elif isinstance(event, Execution.AttemptStarted):
            writes.append(SideWrite("SELECT executions.group_enter(%s)", (execution.id,)))
        elif isinstance(event, Execution.Finished):
            writes = [SideWrite("DELETE FROM executions.group_places WHERE execution = %s", (execution.id,))]
    return writes


def _join(execution: Execution, *, anyway: bool = False) -> SideWrite:
    groups = execution.request.groups
    names, bounds, policies = ([group[key] for group in groups] for key in ("name", "max", "when_full"))
    columns = (names, bounds, ["queue"] * len(names) if anyway else policies)
    values = (execution.id, execution.workspace, *columns, execution.request.priority, labels_text(execution.request.runs_on))
    return SideWrite("SELECT executions.group_join(%s, %s, %b::text[], %b::integer[], %b::text[], %s, %s)", values)


def labels_text(labels: Iterable[str]) -> str:
    """Labels as one word."""
    return ",".join(sorted(labels))


def full(
    connection: psycopg.Connection[Any], execution: Execution, besides: Mapping[str, Sequence[int]] | None = None
) -> str | None:
    """The group that leaves an execution, which is not requested yet, to be skipped; None when there is none. `besides` are the
    bounds of others that are to be requested with it, by group."""
    groups = [group for group in execution.request.groups if group["when_full"] == "skip"]
    if not groups:
        return None
    rows = connection.execute(
        "SELECT name, count(*), min(most) FROM executions.group_places WHERE workspace = %s AND name = ANY(%s) GROUP BY name",
        (execution.workspace, [group["name"] for group in groups]),
    ).fetchall()
    taken = {name: (count, most) for name, count, most in rows}
    for group in groups:
        count, most = taken.get(group["name"], (0, group["max"]))
        others = (besides or {}).get(group["name"], ())
        if count + len(others) >= min(most, group["max"], *others):
            return str(group["name"])
    return None


def uncall(connection: psycopg.Connection[Any], execution: UUID) -> bool:
    """Its groups were full when a worker came: it is to be called again. Whether there is room by now."""
    uncalled = connection.execute(
        "UPDATE executions.group_places SET called = false WHERE execution = %s AND held_since IS NULL", (execution,)
    )
    row = connection.execute("SELECT executions.group_room(%s)", (execution,)).fetchone()
    return bool(uncalled.rowcount and row and row[0])


_CALLABLE = f"""
WITH groups AS (
    SELECT workspace, name, max(most) AS most FROM executions.group_places
    WHERE held_since IS NULL AND NOT called GROUP BY workspace, name
), room AS (
    SELECT g.*, least(g.most - (SELECT count(*) FROM executions.group_places h
        WHERE h.workspace = g.workspace AND h.name = g.name AND h.held_since IS NOT NULL), {MOST_CALLED}) AS free
    FROM groups g
), kinds AS (
    SELECT DISTINCT r.workspace, r.name, r.free, p.runs_on FROM room r JOIN executions.group_places p
    ON p.workspace = r.workspace AND p.name = r.name AND p.held_since IS NULL WHERE r.free > 0
)
SELECT DISTINCT f.execution, f.priority, f.runs_on, f.turn FROM kinds k CROSS JOIN LATERAL (
    SELECT * FROM executions.group_places p
    WHERE p.workspace = k.workspace AND p.name = k.name AND p.runs_on = k.runs_on AND p.held_since IS NULL
    ORDER BY p.turn, p.seq LIMIT k.free
) f WHERE NOT f.called AND executions.group_room(f.execution) ORDER BY f.turn
"""


def callable_now(connection: psycopg.Connection[Any]) -> list[tuple[UUID, int, tuple[str, ...]]]:
    """Waiting executions whose turn it is and whom nobody has called yet, in any workspace: (id, priority, runs_on)."""
    rows = connection.execute(_CALLABLE).fetchall()
    return [(row[0], row[1], _labels(row[2])) for row in rows]


def round_of_calls(connection: psycopg.Connection[Any]) -> int:
    """The number of the present round, to be asked before anything is sent: another one begins when the queue has lost its
    data."""
    row = connection.execute(
        "INSERT INTO executions.tracking AS t (name, position) VALUES (%s, 0)"
        " ON CONFLICT (name) DO UPDATE SET position = t.position RETURNING t.position",
        (CALLS,),
    ).fetchone()
    return int(row[0]) if row else 0


def mark_called(connection: psycopg.Connection[Any], executions: Sequence[UUID], round: int) -> None:
    """The queue has got them, unless another round has begun since `round`: it may have lost them then. Those that begin or end
    at this moment are left out, as waiting for some with others in hand could be a deadlock with an append."""
    connection.execute(
        "WITH now AS MATERIALIZED (SELECT position FROM executions.tracking WHERE name = %s FOR SHARE),"
        " free AS MATERIALIZED (SELECT p.execution, p.name FROM executions.group_places p, now"
        " WHERE p.execution = ANY(%s) AND p.held_since IS NULL AND now.position = %s FOR UPDATE OF p SKIP LOCKED)"
        " UPDATE executions.group_places p SET called = true FROM free"
        " WHERE p.execution = free.execution AND p.name = free.name",
        (CALLS, list(executions), round),
    )


def uncall_all(connection: psycopg.Connection[Any]) -> None:
    """The queue has lost its data: whoever was called and waits is to be called again. A new round begins first, so that
    whoever has called somebody and not noted it yet does not note it any more. Nobody appends meanwhile."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(hashtext('testmesh'), hashtext('executions'))")
        connection.execute(
            "INSERT INTO executions.tracking AS t (name, position) VALUES (%s, 1)"
            " ON CONFLICT (name) DO UPDATE SET position = t.position + 1",
            (CALLS,),
        )
        connection.execute("UPDATE executions.group_places SET called = false WHERE held_since IS NULL AND called")


def in_use(connection: psycopg.Connection[Any]) -> bool:
    """Whether anybody holds a place or waits for one."""
    row = connection.execute("SELECT EXISTS (SELECT 1 FROM executions.group_places)").fetchone()
    return bool(row and row[0])


def without_room(connection: psycopg.Connection[Any], executions: Sequence[UUID]) -> set[UUID]:
    """Which of these have to wait for a place."""
    rows = connection.execute(
        "SELECT execution FROM (SELECT DISTINCT execution FROM executions.group_places"
        " WHERE execution = ANY(%s) AND held_since IS NULL) w WHERE NOT executions.group_room(execution)",
        (list(executions),),
    ).fetchall()
    return {row[0] for row in rows}


def older(connection: psycopg.Connection[Any], execution: UUID, name: str) -> list[UUID]:
    """Those that were requested for the group before this one and leave no place for it, oldest first. The newest stay, as far
    as the smallest bound among them and this one allows."""
    rows = connection.execute(
        "SELECT o.execution, o.most, mine.most FROM executions.group_places o JOIN executions.group_places mine"
        " ON o.workspace = mine.workspace AND o.name = mine.name AND o.seq < mine.seq"
        " WHERE mine.execution = %s AND mine.name = %s ORDER BY o.seq DESC",
        (execution, name),
    ).fetchall()
    staying, bound, found = 0, rows[0][2] if rows else 0, []
    for other, most, _ in rows:
        if staying + 1 < min(bound, most):
            staying, bound = staying + 1, min(bound, most)
        else:
            found.append(other)
    return found[::-1]


_PLACES = """
SELECT workspace, name, execution, most, priority, runs_on, since, held_since,
    CASE WHEN held_since IS NULL THEN
        row_number() OVER (PARTITION BY workspace, name, held_since IS NULL ORDER BY turn, seq) - 1 ELSE 0 END AS ahead
FROM executions.group_places WHERE workspace = %s
"""


def places(connection: psycopg.Connection[Any], workspace: str, name: str | None = None, *, limit: int = 1000) -> list[Place]:
    """Holders and waiting executions of a workspace, by group; holders first, then in their order."""
    condition, values = (" AND name = %s", (workspace, name)) if name is not None else ("", (workspace,))
    sql = f"{_PLACES}{condition} ORDER BY name, held_since IS NULL, turn, seq LIMIT %s"
    rows = connection.execute(sql.encode(), (*values, limit)).fetchall()
    return [Place(row[0], row[1], row[2], row[3], row[4], _labels(row[5]), *row[6:]) for row in rows]


@dataclass(frozen=True, slots=True)
class Wait:
    """Why one waits for a place: `max` is the smallest bound among it, those that hold places (`held`, the first ten of them
    `holders`) and those of its kind before it (`ahead`)."""

    name: str
    max: int
    held: int
    holders: tuple[UUID, ...]
    ahead: int


def waits_of(connection: psycopg.Connection[Any], execution: UUID) -> list[Wait]:
    """The groups in which an execution finds no place, by name."""
    rows = connection.execute(
        "SELECT p.name, least(p.most, h.most, w.most), h.n, h.ids, w.n FROM executions.group_places p,"
        " LATERAL (SELECT min(o.most) AS most, count(*) AS n, (array_agg(o.execution ORDER BY o.held_since))[:10] AS ids"
        " FROM executions.group_places o WHERE o.workspace = p.workspace AND o.name = p.name AND o.held_since IS NOT NULL) h,"
        " LATERAL (SELECT min(o.most) AS most, count(*) AS n FROM executions.group_places o WHERE o.workspace = p.workspace"
        " AND o.name = p.name AND o.held_since IS NULL AND o.runs_on = p.runs_on AND (o.turn, o.seq) < (p.turn, p.seq)) w"
        " WHERE p.execution = %s AND p.held_since IS NULL ORDER BY p.name",
        (execution,),
    ).fetchall()
    found = [Wait(name, most, held, tuple(holders or ()), ahead) for name, most, held, holders, ahead in rows]
    return [wait for wait in found if wait.held + wait.ahead >= wait.max]


def totals(connection: psycopg.Connection[Any]) -> tuple[int, int, float]:
    """Places held, executions that wait for one, and how long the first of these has waited (seconds), in all workspaces."""
    row = connection.execute(
        "SELECT count(*) FILTER (WHERE held_since IS NOT NULL), count(DISTINCT execution) FILTER (WHERE held_since IS NULL),"
        " coalesce(extract(epoch FROM clock_timestamp() - min(since) FILTER (WHERE held_since IS NULL)), 0)"
        " FROM executions.group_places"
    ).fetchone()
    return (row[0], row[1], float(row[2])) if row else (0, 0, 0.0)


def waited_for(connection: psycopg.Connection[Any], executions: Sequence[UUID]) -> set[UUID]:
    """Which of these have others behind them, whose turn has not come yet, in a group that has a name: the sooner these run,
    the sooner those do. A quota of the workspace does not count, as others than its own would be overtaken for it."""
    rows = connection.execute(
        "SELECT DISTINCT p.execution FROM executions.group_places p WHERE p.execution = ANY(%s) AND p.name <> %s AND EXISTS"
        " (SELECT 1 FROM executions.group_places w WHERE w.workspace = p.workspace AND w.name = p.name"
        " AND w.held_since IS NULL AND NOT w.called AND w.execution <> ALL(%s))",
        (list(executions), WORKSPACE_GROUP, list(executions)),
    ).fetchall()
    return {row[0] for row in rows}


def missing(connection: psycopg.Connection[Any], executions: Sequence[UUID]) -> list[UUID]:
    """Which of these have no row, as after a restored backup."""
    rows = connection.execute(
        "SELECT id FROM unnest(%s::uuid[]) WITH ORDINALITY AS u(id, n) WHERE NOT EXISTS"
        " (SELECT 1 FROM executions.group_places p WHERE p.execution = id) ORDER BY n",
        (list(executions),),
    ).fetchall()
    return [row[0] for row in rows]


def restore(connection: psycopg.Connection[Any], log: Log, executions: Sequence[UUID]) -> int:
    """Make the rows of these executions again, in this order, from what the log says under its lock; how many."""
    made = 0
    for id in executions:
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(hashtext('testmesh'), hashtext('executions'))")
            execution = log.find(Execution, id)
            if execution is None or execution.status == "finished" or not missing(connection, [id]):
                continue
            join = _join(execution, anyway=True)
            connection.execute(join.sql, join.params)
            if execution.started:
                connection.execute(
                    "UPDATE executions.group_places SET held_since = clock_timestamp() WHERE execution = %s", (id,)
                )
            made += 1
    return made


def _labels(text: str) -> tuple[str, ...]:
    return tuple(text.split(",")) if text else ()
