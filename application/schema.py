"""The tables that every domain's log has, and the one function that appends to it."""

from __future__ import annotations

from application import group_places

LOGS = ("flows", "executions", "schedules", "identity")
"""One PostgreSQL schema, one event table and one order of positions a domain."""

_LOG = """
CREATE SCHEMA IF NOT EXISTS {schema};
CREATE TABLE IF NOT EXISTS {schema}.events (
    originator_id uuid NOT NULL,
    originator_version integer NOT NULL CHECK (originator_version > 0),
    topic text NOT NULL,
    state bytea NOT NULL,
    notification_id bigserial NOT NULL,
    PRIMARY KEY (originator_id, originator_version)
);
CREATE UNIQUE INDEX IF NOT EXISTS events_notification_id ON {schema}.events (notification_id);
CREATE TABLE IF NOT EXISTS {schema}.snapshots (
    originator_id uuid NOT NULL,
    originator_version integer NOT NULL,
    topic text NOT NULL,
    state bytea NOT NULL,
    PRIMARY KEY (originator_id, originator_version)
);
CREATE TABLE IF NOT EXISTS {schema}.payloads (
    workspace text NOT NULL,
    id text NOT NULL,
    size integer NOT NULL,
    body bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (workspace, id)
);
CREATE TABLE IF NOT EXISTS {schema}.workspace_keys (
    workspace text PRIMARY KEY,
    wrapped bytea NOT NULL
);
CREATE TABLE IF NOT EXISTS {schema}.tracking (
    name text PRIMARY KEY,
    position bigint NOT NULL
);
CREATE TABLE IF NOT EXISTS {schema}.seals (
    number bigint PRIMARY KEY,
    statement text NOT NULL,
    signature bytea NOT NULL,
    entries bytea NOT NULL
);

-- A version must follow its predecessor: the primary key alone would accept one after a hole.
CREATE OR REPLACE FUNCTION {schema}.refuse_holes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT 1 FROM added a
        WHERE a.originator_version > 1 AND NOT EXISTS (
            SELECT 1 FROM {schema}.events e
            WHERE e.originator_id = a.originator_id AND e.originator_version = a.originator_version - 1)
    ) THEN
        RAISE EXCEPTION 'an event does not follow its predecessor' USING ERRCODE = 'TM001';
    END IF;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER refuse_holes AFTER INSERT ON {schema}.events
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse_holes();

-- The only way in. The lock makes positions rise in the order of commits, so a reader of the tail misses nothing.
CREATE OR REPLACE FUNCTION {schema}.append(ids uuid[], versions integer[], topics text[], states bytea[])
RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    positions bigint[];
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('testmesh'), hashtext('{schema}'));
    WITH added AS (
        INSERT INTO {schema}.events (originator_id, originator_version, topic, state)
        SELECT i, v, t, s FROM unnest(ids, versions, topics, states) WITH ORDINALITY AS u(i, v, t, s, n) ORDER BY n
        RETURNING notification_id
    )
    SELECT array_agg(notification_id ORDER BY notification_id) INTO positions FROM added;
    PERFORM pg_notify('testmesh_{schema}', positions[array_upper(positions, 1)]::text);
    RETURN positions;
END $$;
"""

_LEASES = """
CREATE TABLE IF NOT EXISTS executions.leases (
    execution uuid PRIMARY KEY,
    attempt integer NOT NULL,
    kind text NOT NULL,
    worker text NOT NULL,
    beat timestamptz NOT NULL,
    deadline timestamptz NOT NULL,
    cancel_requested boolean NOT NULL DEFAULT false,
    missed integer NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS leases_beat ON executions.leases (beat);
CREATE TABLE IF NOT EXISTS executions.resent (
    execution uuid PRIMARY KEY,
    at timestamptz NOT NULL
);
-- Since when the sweeper has seen the execution wait, and for what.
ALTER TABLE executions.resent ADD COLUMN IF NOT EXISTS wish text NOT NULL DEFAULT '';
ALTER TABLE executions.resent ADD COLUMN IF NOT EXISTS first timestamptz NOT NULL DEFAULT clock_timestamp();
CREATE TABLE IF NOT EXISTS executions.workers (
    incarnation text PRIMARY KEY,
    host text NOT NULL,
    labels text[] NOT NULL,
    concurrency integer NOT NULL,
    running integer NOT NULL,
    started_at timestamptz NOT NULL,
    beat timestamptz NOT NULL
);
"""

_DEAD_LETTERS = """
CREATE TABLE IF NOT EXISTS executions.dead_letters (
    id uuid PRIMARY KEY,
    entry text NOT NULL,
    reason text NOT NULL,
    worker text NOT NULL,
    parked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    names bytea[] NOT NULL,
    contents bytea[] NOT NULL,
    size bigint NOT NULL,
    cut boolean NOT NULL,
    decision text CHECK (decision IN ('requeued', 'discarded')),
    decided_by text,
    decided_at timestamptz
);
CREATE INDEX IF NOT EXISTS dead_letters_open ON executions.dead_letters (parked_at DESC, id DESC) WHERE decision IS NULL;
"""


def statements() -> list[str]:
    """Every statement of the write side, each of which may run again."""
    return [_LOG.format(schema=schema) for schema in LOGS] + [_LEASES, _DEAD_LETTERS, group_places.SCHEMA]
