"""Errors of PostgreSQL as errors of a step: what kind, where in the query, and what PostgreSQL advises."""

from __future__ import annotations

from psycopg import Error, OperationalError

from application.actions.database_target import Target
from application.actions.sql_placeholders import Sql, place_at
from application.engine.action import ActionError
from application.engine.errors import CONNECTING

_CONNECTING = (
    ("timeout", ("timeout expired", "timed out")),
    ("connection_refused", ("connection refused",)),
    ("auth", ("password authentication failed", "no password supplied", "authentication failed", "pg_hba.conf", "role ")),
    ("tls", ("ssl", "certificate")),
)
"""Kinds by what libpq says: it gives no code while it connects."""
_CANCELLED = "57014"
_LOST = ("08", "57P", "25P03", "25P04")


def connecting_failed(error: Error, target: Target) -> ActionError:
    """The error of a connection that did not come about."""
    text = " ".join(str(error).split())
    kind = next((kind for kind, marks in _CONNECTING if any(mark in text.lower() for mark in marks)), "connection_error")
    return ActionError(kind, f"no connection to {target.label}: {text}", hint=CONNECTING.get(kind))


def query_failed(error: Error, sql: Sql, *, alive: bool) -> ActionError:
    """The error of a query: PostgreSQL's message and detail, its place in the query as written, its SQLSTATE and hint."""
    diagnosis = error.diag
    code = diagnosis.sqlstate or ""
    if not alive or code.startswith(_LOST):
        return ActionError("connection_error", f"the connection was lost during the query: {' '.join(str(error).split())}")
    if not code:
        kind = "connection_error" if isinstance(error, OperationalError) else "config"
        return ActionError(kind, f"the query could not be sent: {' '.join(str(error).split())}")
    parts = [diagnosis.message_primary or str(error), diagnosis.message_detail]
    message = ": ".join(part for part in parts if part) + _place(diagnosis.statement_position, sql)
    kind = "timeout" if code == _CANCELLED else "query"
    return ActionError(kind, f"{message} (SQLSTATE {code})", hint=diagnosis.message_hint)


def _place(position: str | None, sql: Sql) -> str:
    return place_at(sql, int(position) - 1) if position and position.isdigit() else ""
