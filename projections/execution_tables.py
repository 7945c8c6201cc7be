"""The tables behind an execution's details: its request, attempts, steps, teardowns and log lines."""

from __future__ import annotations

from projections.rows import Table

REQUESTS = Table(
    "executions.execution_requests",
    ("execution",),
    {
        "execution": "uuid",
        "seed": "text",
        "variables": "jsonb",
        "timeout": "double precision",
        "teardown_timeout": "double precision",
        "on_worker_lost": "text",
        "max_attempts": "integer",
        "document": "jsonb",
        "position": "bigint",
    },
)
ATTEMPTS = Table(
    "executions.execution_attempts",
    ("execution", "number"),
    {
        "execution": "uuid",
        "number": "integer",
        "worker": "text",
        "started_at": "timestamptz",
        "ended_at": "timestamptz",
        "ended": "jsonb",
        "teardown_given_up": "integer",
        "outputs": "jsonb",
        "position": "bigint",
    },
)
STEPS = Table(
    "executions.execution_steps",
    ("execution", "seq"),
    {
        "execution": "uuid",
        "seq": "integer",
        "attempt": "integer",
        "path": "text",
        "phase": "text",
        "number": "integer",
        "name": "text",
        "action": "text",
        "worker": "text",
        "status": "text",
        "verdict": "text",
        "started_at": "timestamptz",
        "finished_at": "timestamptz",
        "duration_ms": "double precision",
        "tries": "jsonb",
        "outputs": "jsonb",
        "result": "jsonb",
        "error": "jsonb",
        "reason": "text",
        "exchange": "jsonb",
        "payload": "jsonb",
        "position": "bigint",
    },
)
TEARDOWNS = Table(
    "executions.execution_teardowns",
    ("execution", "attempt", "number"),
    {
        "execution": "uuid",
        "attempt": "integer",
        "number": "integer",
        "worker": "text",
        "started_at": "timestamptz",
        "finished_at": "timestamptz",
        "verdict": "text",
        "position": "bigint",
    },
)
LOGS = Table(
    "executions.execution_logs",
    ("execution", "seq"),
    {
        "execution": "uuid",
        "seq": "integer",
        "attempt": "integer",
        "path": "text",
        "at": "timestamptz",
        "lines": "jsonb",
        "position": "bigint",
    },
)
TABLES = (REQUESTS, ATTEMPTS, STEPS, TEARDOWNS, LOGS)

DDL = """
CREATE TABLE IF NOT EXISTS executions.execution_requests (
    execution uuid PRIMARY KEY,
    seed text NOT NULL,
    variables jsonb NOT NULL,
    timeout double precision NOT NULL,
    teardown_timeout double precision NOT NULL,
    on_worker_lost text NOT NULL,
    max_attempts integer NOT NULL,
    document jsonb NOT NULL,
    position bigint NOT NULL
);
CREATE TABLE IF NOT EXISTS executions.execution_attempts (
    execution uuid NOT NULL,
    number integer NOT NULL,
    worker text NOT NULL,
    started_at timestamptz NOT NULL,
    ended_at timestamptz,
    ended jsonb,
    teardown_given_up integer,
    outputs jsonb,
    position bigint NOT NULL,
    PRIMARY KEY (execution, number)
);
-- seq is the version of the execution at which the step began: a path may come again in another teardown.
CREATE TABLE IF NOT EXISTS executions.execution_steps (
    execution uuid NOT NULL,
    seq integer NOT NULL,
    attempt integer NOT NULL,
    path text NOT NULL,
    phase text NOT NULL,
    number integer,
    name text NOT NULL,
    action text,
    worker text NOT NULL,
    status text NOT NULL,
    verdict text,
    started_at timestamptz,
    finished_at timestamptz,
    duration_ms double precision,
    tries jsonb,
    outputs jsonb,
    result jsonb,
    error jsonb,
    reason text,
    exchange jsonb,
    payload jsonb,
    position bigint NOT NULL,
    PRIMARY KEY (execution, seq)
);
CREATE INDEX IF NOT EXISTS execution_steps_running ON executions.execution_steps (execution) WHERE status = 'running';
CREATE TABLE IF NOT EXISTS executions.execution_teardowns (
    execution uuid NOT NULL,
    attempt integer NOT NULL,
    number integer NOT NULL,
    worker text NOT NULL,
    started_at timestamptz NOT NULL,
    finished_at timestamptz,
    verdict text,
    position bigint NOT NULL,
    PRIMARY KEY (execution, attempt, number)
);
CREATE TABLE IF NOT EXISTS executions.execution_logs (
    execution uuid NOT NULL,
    seq integer NOT NULL,
    attempt integer NOT NULL,
    path text NOT NULL,
    at timestamptz NOT NULL,
    lines jsonb NOT NULL,
    position bigint NOT NULL,
    PRIMARY KEY (execution, seq)
)
"""
