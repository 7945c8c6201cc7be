"""What the actions of databases share: their config, a query that can be asked again, and its result."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple
from functools import partial
from typing import TYPE_CHECKING, Any

from application.actions.database_kinds import DEFAULT_CONNECTION, SCHEMES, Kind, Session, read_connection
from application.actions.sql_dialect import Dialect
from application.actions.sql_placeholders import Sql, bind
from application.actions.sqlite_target import MEMORY, SqliteTarget
from application.engine.action import ActionContext, ActionError, Key
from domain.duration import parse_duration

if TYPE_CHECKING:
    from application.actions.database_rows import Rows

_SHOWN_ROWS = 5
_TRUTHS = {True: True, False: False, "true": True, "false": False}


def sqlite_files(only: Kind | None, value: Any) -> Iterator[str]:
    """The path of the SQLite file that a connection names, if it names one."""
    try:
        target = read_connection({"connection": value}, only)[1]
    except ActionError:
        return
    if isinstance(target, SqliteTarget) and target.path != MEMORY:
        yield target.path


KEYS: Mapping[str, Key] = {
    "connection": Key(
        ("string", "object"),
        aliases=("connection_string",),
        otherwise=f"${{{DEFAULT_CONNECTION} ?? null}}",
        schemes=SCHEMES,
        names="database",
        named=partial(sqlite_files, None),
        description="postgresql://user:password@host:port/database, mysql:// or mariadb:// alike, sqlite:///folder/name.db"
        " (below the project folder), sqlite::memory: (lives as long as the execution), or an object: type"
        " (postgresql, mysql, sqlite), host, port, database, user, password, sslmode (or ssl: true),"
        " connect_timeout (seconds; or timeout),"
        " application_name; of SQLite type and path. Left out, it is what the variable DATABASE_URL holds.",
    ),
    "query": Key(("string",), required=True, description="SQL; without parameters it may be several statements."),
    "params": Key(
        ("array",),
        description="Values for `$1`, `%s` or `?` outside of literals and comments, in order; one spelling a query."
        " Among `?`, PostgreSQL's JSON operator `?` is written `??`. A list is an array on PostgreSQL and JSON elsewhere,"
        " an object is JSON.",
    ),
    "named_params": Key(("object",), description="Values for `:name`."),
    "transaction": Key(("boolean",), description="All statements of the query or none."),
    "max_rows": Key(("integer",), description="How many rows to keep; more are counted and `truncated` is true."),
}
"""The config keys of every action that asks a database."""

RESULT: Mapping[str, str] = {
    "rows": "The rows kept, of the last statement that gives rows: objects by column; a name that repeats is id, id_2."
    " Numbers are numbers, text is text, columns of JSON are parsed, arrays are lists, times are ISO 8601 text, bytes are"
    " base64 text.",
    "count": "How many rows there were.",
    "row_count": "The same.",
    "first_row": "The first row, null when there is none.",
    "rows_affected": "How many rows INSERT, UPDATE, DELETE and the like changed.",
    "duration": "Milliseconds that the query took.",
    "truncated": "Whether there were more rows than were kept.",
}
"""The result fields of one query."""


class Query:
    """A query that can be asked again, on the session that its connection has in this execution."""

    def __init__(self, config: Mapping[str, Any], context: ActionContext, only: Kind | None) -> None:
        """ActionError of kind config for what cannot be carried out; nothing is connected yet."""
        kind, target = read_connection(config, only)
        if target.password:
            context.secrets(target.password)
        self._sql = _sql(config, kind.dialect)
        self._most = _max_rows(config, context)
        self._transaction = truth(config, "transaction")
        self._context = context
        context.exchange["request"] = {
            "query": config["query"],
            "params": list(self._sql.values),
            "connection": target.label,
        }
        self._session = _session(kind, target, context)
        self.tabular = False
        """Whether the last answer had columns at all."""

    async def once(self) -> dict[str, Any]:
        """The result of one run."""
        from application.actions.database_rows import Rows

        rows = Rows(self._most, self._context.limits.response_read_bytes)
        begun = time.monotonic()
        await self._session.run(self._sql, rows, self._context, transaction=self._transaction)
        result = _result(rows, (time.monotonic() - begun) * 1000)
        self._context.exchange["response"] = {"rows": rows.kept[:_SHOWN_ROWS], "count": rows.count}
        self.tabular = rows.tabular
        return result


def truth(config: Mapping[str, Any], name: str) -> bool:
    """A key that is true or false, false when it is missing."""
    value = config.get(name, False)
    if not isinstance(value, bool | str) or value not in _TRUTHS:
        raise ActionError("config", f"{name} must be true or false")
    return _TRUTHS[value]


def seconds(config: Mapping[str, Any], name: str, default: float) -> float:
    """A key that is a duration, in seconds."""
    try:
        return parse_duration(config.get(name, default))
    except ValueError as error:
        raise ActionError("config", f"{name}: {error}") from None


def whole(value: Any, name: str, most: int) -> int:
    """A whole number from 1; text that a template gave may stand for it."""
    number = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10 else value
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= most:
        raise ActionError("config", f"{name} must be a number from 1 to {most}")
    return number


def _session(kind: Kind, target: Any, context: ActionContext) -> Session:
    key = f"database:{kind.name}:{astuple(target)!r}"
    if key not in context.resources:
        context.resources[key] = kind.session(target, context)
    session: Session = context.resources[key]
    return session


def _max_rows(config: Mapping[str, Any], context: ActionContext) -> int:
    return whole(config.get("max_rows", context.limits.rows), "max_rows", context.limits.rows)


def _result(rows: Rows, duration: float) -> dict[str, Any]:
    return {
        "rows": rows.kept,
        "count": rows.count,
        "row_count": rows.count,
        "first_row": rows.kept[0] if rows.kept else None,
        "rows_affected": rows.changed,
        "duration": round(duration, 3),
        "truncated": rows.truncated,
    }


def _sql(config: Mapping[str, Any], dialect: Dialect) -> Sql:
    query, params, named = config["query"], config.get("params"), config.get("named_params")
    if not isinstance(query, str) or not query.strip():
        raise ActionError("config", "query must be SQL text")
    if params is not None and (isinstance(params, str) or not isinstance(params, Sequence)):
        raise ActionError("config", "params must be a list", hint="names go into named_params")
    if named is not None and not isinstance(named, Mapping):
        raise ActionError("config", "named_params must be an object of names and values")
    return bind(query, params or (), named, dialect)
