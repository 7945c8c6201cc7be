"""The cases of suite runs, each with its execution; and of a chain of reruns, the latest result of each case."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import psycopg

from domain.suite_case import case_uuid
from domain.suite_run import ORDER, PASSED, SuiteRun
from projections.paging import Order, Page
from projections.rows import Pool, Row, Table, Where, as_uuid, fetch, safe_text
from projections.view import Projection, Recorded

TABLE = Table(
    "executions.suite_cases",
    ("suite_run", "number"),
    {
        "suite_run": "uuid",
        "number": "integer",
        "workspace": "text",
        "key": "text",
        "flow": "text",
        "name": "text",
        "file": "text",
        "flow_id": "text",
        "revision": "integer",
        "row_key": "text",
        "cell": "jsonb",
        "execution": "uuid",
        "status": "text",
        "verdict": "text",
        "cause": "text",
        "reason": "text",
        "why": "text",
        "started_at": "timestamptz",
        "ended_at": "timestamptz",
        "position": "bigint",
    },
)
COLUMNS = ", ".join(f"c.{name}" for name in TABLE.types if name not in ("workspace", "position"))
MORE = "e.duration_ms, e.message, e.failure"
LIST, EXECUTIONS = "executions.suite_run_list", "executions.execution_list"
_OF_SKIPPED = {"cancelled": "cancelled", "timed_out": "timed_out", "not_startable": "error"}
"""What a skipped case comes to where nothing else tells; others follow from a case that did not pass."""


class SuiteCasesProjection(Projection):
    """One row a case of a suite run."""

    name = "suite_cases"
    log = "executions"
    topics = (
        SuiteRun.CasesPlanned.TOPIC,
        SuiteRun.CasesStarted.TOPIC,
        SuiteRun.CasesEnded.TOPIC,
        SuiteRun.CasesSkipped.TOPIC,
    )
    tables = (TABLE.name,)

    def ddl(self) -> str:
        """The table; cases are read by suite run."""
        return """
        CREATE TABLE IF NOT EXISTS executions.suite_cases (
            suite_run uuid NOT NULL,
            number integer NOT NULL,
            workspace text NOT NULL,
            key text NOT NULL,
            flow text NOT NULL,
            name text NOT NULL,
            file text NOT NULL,
            flow_id text NOT NULL,
            revision integer NOT NULL,
            row_key text NOT NULL,
            cell jsonb NOT NULL,
            execution uuid NOT NULL,
            status text NOT NULL,
            verdict text,
            cause text NOT NULL,
            reason text NOT NULL,
            why text NOT NULL,
            started_at timestamptz,
            ended_at timestamptz,
            position bigint NOT NULL,
            PRIMARY KEY (suite_run, number)
        ) WITH (fillfactor = 70)"""

    def apply(self, connection: psycopg.Connection[Any], batch: Sequence[Recorded]) -> None:
        """What each event says of its cases, one event after the other."""
        for recorded in batch:
            event, at = recorded.event, recorded.position
            if isinstance(event, SuiteRun.CasesPlanned):
                TABLE.upsert(connection, [_row(event, n, case, at) for n, case in enumerate(event.cases, event.first)])
            elif isinstance(event, SuiteRun.CasesStarted):
                connection.execute(_STARTED, (event.timestamp, at, event.originator_id, list(event.cases)))
            elif isinstance(event, SuiteRun.CasesSkipped):
                connection.execute(_SKIPPED, (event.reason, safe_text(event.why), at, event.originator_id, list(event.cases)))
            elif isinstance(event, SuiteRun.CasesEnded):
                columns = [[case[name] for case in event.cases] for name in ("case", "verdict", "cause")]
                connection.execute(_ENDED, (event.timestamp, at, *columns, event.originator_id))


_STARTED = (
    b"UPDATE executions.suite_cases SET status = 'running', started_at = %s, position = %s"
    b" WHERE suite_run = %s AND number = ANY(%s)"
)
_SKIPPED = (
    b"UPDATE executions.suite_cases SET status = 'skipped', reason = %s, why = %s, position = %s"
    b" WHERE suite_run = %s AND number = ANY(%s)"
)
_ENDED = (
    b"UPDATE executions.suite_cases SET status = 'ended', verdict = u.verdict, cause = u.cause, ended_at = %s, position = %s"
    b" FROM unnest(%s::integer[], %s::text[], %s::text[]) AS u(number, verdict, cause)"
    b" WHERE suite_run = %s AND suite_cases.number = u.number"
)


def _row(event: SuiteRun.CasesPlanned, number: int, case: Any, position: int) -> Row:
    same = ("key", "flow", "name", "file", "flow_id", "revision", "cell")
    return {
        **{name: case[name] for name in same},
        **dict.fromkeys(("cause", "reason", "why"), ""),
        **dict.fromkeys(("verdict", "started_at", "ended_at")),
        "suite_run": event.originator_id,
        "number": number,
        "workspace": event.workspace,
        "row_key": case["row"],
        "execution": case_uuid(event.originator_id, case["key"]),
        "status": "waiting",
        "position": position,
    }


_BY_NUMBER = Order({"number": int}, table="c")
_BY_KEY = Order({"key": str})


class SuiteCases:
    """Queries. Rows: suite_run, number, key (the same in every run of the suite), flow (its id or path), name, file, flow_id
    and revision (of a pushed flow), row_key, cell (of the matrix), execution (its id; it is there once the case has started),
    status (waiting, running, ended, skipped), verdict, cause, reason and why (it was skipped), started_at, ended_at,
    duration_ms, message, failure ({path, text} of its first failing step)."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def page(
        self,
        workspace: str,
        suite_run: str | UUID,
        *,
        status: str | None = None,
        verdict: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page:
        """The cases of a suite run, in their order."""
        where = Where()
        where.add("c.workspace = %s AND c.suite_run = %s", workspace, as_uuid(suite_run))
        where.equal(**{"c.status": status, "c.verdict": verdict})
        select = f"SELECT {COLUMNS}, {MORE} FROM {TABLE.name} c LEFT JOIN {EXECUTIONS} e ON e.id = c.execution"
        return _BY_NUMBER.page(self._pool, select, where, cursor, limit)

    def merged(self, workspace: str, root: str, *, cursor: str | None = None, limit: int = 50) -> Page:
        """Of each case of a chain of reruns the latest result, by key; with `runs` (how often it was to be run) and `flaky`
        (it passed at last, and not at once)."""
        select, before = f"SELECT * FROM ({_LATEST_IN_FULL}) latest", [*PASSED, *PASSED, workspace, root]
        return _BY_KEY.page(self._pool, select, Where(), cursor, limit, before)

    def merged_summary(self, workspace: str, root: str) -> Row:
        """What a chain of reruns came to: `verdict` (None while a case waits or runs), `counts` of the latest result of each
        case, `flaky` (how many passed at last, and not at once), `runs` (the ids of the chain, oldest first)."""
        sql = (
            "SELECT status, verdict, reason, flaky, count(*) AS n"
            f" FROM ({_LATEST}) latest GROUP BY status, verdict, reason, flaky"
        )
        rows = fetch(self._pool, sql, [*PASSED, *PASSED, workspace, root])
        counts: dict[str, int] = {}
        for row in rows:
            shown = row["verdict"] if row["status"] == "ended" else row["status"]
            counts[shown] = counts.get(shown, 0) + row["n"]
        chain = f"SELECT id FROM {LIST} WHERE workspace = %s AND root = %s ORDER BY first_position LIMIT 1000"
        return {
            "root": root,
            "verdict": _verdict(rows),
            "counts": dict(sorted(counts.items())),
            "flaky": sum(row["n"] for row in rows if row["flaky"]),
            "runs": [row["id"] for row in fetch(self._pool, chain, (workspace, root))],
        }

    def executions(self, suite_run: str | UUID) -> list[str]:
        """The ids of the executions of all its cases, started or not."""
        sql = f"SELECT execution FROM {TABLE.name} WHERE suite_run = %s ORDER BY number"
        return [str(row["execution"]) for row in fetch(self._pool, sql, (as_uuid(suite_run),))]


def _latest(more: str, join: str) -> str:
    """The latest result of each case of a chain."""
    return (
        f"SELECT DISTINCT ON (c.key) {COLUMNS}{more},"
        " count(*) OVER whole AS runs,"
        " coalesce(c.verdict = ANY(ARRAY[%s, %s]), false) AND (c.verdict = 'passed_on_retry'"
        "  OR bool_or(coalesce(c.status = 'ended' AND NOT c.verdict = ANY(ARRAY[%s, %s]), false)) OVER whole) AS flaky"
        f" FROM {TABLE.name} c JOIN {LIST} r ON r.id = c.suite_run {join}"
        " WHERE r.workspace = %s AND r.root = %s"
        " WINDOW whole AS (PARTITION BY c.key)"
        " ORDER BY c.key, r.first_position DESC"
    )


_LATEST = _latest("", "")
_LATEST_IN_FULL = _latest(f", {MORE}", f"LEFT JOIN {EXECUTIONS} e ON e.id = c.execution")


def _verdict(rows: Sequence[Row]) -> str | None:
    if not rows or any(row["status"] in ("waiting", "running") for row in rows):
        return None
    verdicts = [row["verdict"] or _OF_SKIPPED.get(row["reason"], "failed") for row in rows]
    return max(verdicts, key=ORDER.index)
