"""The action `database_query`: SQL on a PostgreSQL database, its rows as plain data."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from application.actions.database_target import Target, read_target
from application.actions.sql_placeholders import Sql, bind
from application.engine.action import Action, ActionContext, ActionError, ActionFailed, Key
from domain.duration import parse_duration

if TYPE_CHECKING:
    from application.actions.database_rows import Rows
    from application.actions.database_session import Session

_SHOWN_ROWS = 5
_POLL = {"timeout": 30.0, "interval": 1.0}
_SHORTEST_INTERVAL = 0.01
_TRUTHS = {True: True, False: False, "true": True, "false": False}


async def run(config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
    """Query the database once, or with `poll` until a row is there."""
    from application.actions.database_session import Session

    target = read_target(config)
    if target.password:
        context.secrets(target.password)
    sql = _sql(config)
    context.exchange["request"] = {"query": config["query"], "params": list(sql.values), "connection": target.label}
    session = context.resources.setdefault(_key(target), Session(target))
    query = _Query(session, sql, _max_rows(config, context), _truth(config, "transaction"), context)
    poll = config.get("poll")
    return await (query.once() if poll is None else _until_a_row(query, _times(poll)))


class _Query:
    """A query that can be run again."""

    def __init__(self, session: Session, sql: Sql, most: int, transaction: bool, context: ActionContext) -> None:
        self._session = session
        self._sql = sql
        self._most = most
        self._transaction = transaction
        self._context = context
        self.tabular = False

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


async def _until_a_row(query: _Query, times: Mapping[str, float]) -> dict[str, Any]:
    import asyncio  # loaded when first used: validating needs none

    end = time.monotonic() + times["timeout"]
    tries = 0
    while True:
        result, tries = await query.once(), tries + 1
        if result["count"]:
            return result
        if not query.tabular:
            raise ActionError("config", "poll waits for a row, and this query never gives rows", hint="add RETURNING or SELECT")
        if time.monotonic() + times["interval"] > end:
            raise ActionFailed(f"no row within {times['timeout']:g} s ({tries} tries)", result=result)
        await asyncio.sleep(times["interval"])


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


def _sql(config: Mapping[str, Any]) -> Sql:
    query, params, named = config["query"], config.get("params"), config.get("named_params")
    if not isinstance(query, str) or not query.strip():
        raise ActionError("config", "query must be SQL text")
    if params is not None and (isinstance(params, str) or not isinstance(params, Sequence)):
        raise ActionError("config", "params must be a list", hint="names go into named_params")
    if named is not None and not isinstance(named, Mapping):
        raise ActionError("config", "named_params must be an object of names and values")
    return bind(query, params or (), named)


def _key(target: Target) -> str:
    parts = (target.label, target.password, target.sslmode, target.application_name, target.connect_timeout)
    return f"database_query:{parts!r}"


def _max_rows(config: Mapping[str, Any], context: ActionContext) -> int:
    value = config.get("max_rows", context.limits.rows)
    number = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10 else value
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= context.limits.rows:
        raise ActionError("config", f"max_rows must be a number from 1 to {context.limits.rows}")
    return number


def _truth(config: Mapping[str, Any], name: str) -> bool:
    value = config.get(name, False)
    if not isinstance(value, bool | str) or value not in _TRUTHS:
        raise ActionError("config", f"{name} must be true or false")
    return _TRUTHS[value]


def _times(poll: Any) -> dict[str, float]:
    if not isinstance(poll, Mapping) or poll.keys() - _POLL.keys():
        raise ActionError("config", "poll is an object with timeout and interval")
    try:
        times = {name: parse_duration(poll.get(name, default)) for name, default in _POLL.items()}
    except ValueError as error:
        raise ActionError("config", f"poll: {error}") from None
    return {**times, "interval": max(times["interval"], _SHORTEST_INTERVAL)}


DATABASE_QUERY = Action(
    name="database_query",
    aliases=("postgresql.query", "postgresql.*", "postgres.query", "postgres.*"),
    description="Runs SQL on a PostgreSQL database. Steps of an execution that name the same connection share one session.",
    keys={
        "connection": Key(
            ("string", "object"),
            one_of="connection",
            description="postgresql://user:password@host:port/database, or an object: host, port, database, user, password,"
            " sslmode, connect_timeout (seconds), application_name.",
        ),
        "connection_string": Key(("string",), one_of="connection", description="The same as text."),
        "query": Key(("string",), required=True, description="SQL; without parameters it may be several statements."),
        "params": Key(
            ("array",),
            description="Values for `$1`, `%s` or `?` outside of literals and comments, in order; one spelling a query."
            " Among `?`, the JSON operator `?` is written `??`. A list is an array, an object is JSON.",
        ),
        "named_params": Key(("object",), description="Values for `:name`."),
        "transaction": Key(("boolean",), description="All statements of the query or none."),
        "max_rows": Key(("integer",), description="How many rows to keep; more are counted and `truncated` is true."),
        "poll": Key(("object",), description="Ask again until there is a row: timeout (30s), interval (1s)."),
    },
    run=run,
    result={
        "rows": "The rows kept, of the last statement that gives rows: objects by column; a name that repeats is id, id_2."
        " Numbers are numbers, json is parsed, arrays are lists, times are ISO 8601 text, bytea is base64 text.",
        "count": "How many rows there were.",
        "row_count": "The same.",
        "first_row": "The first row, null when there is none.",
        "rows_affected": "How many rows INSERT, UPDATE, DELETE and MERGE changed.",
        "duration": "Milliseconds that the query took.",
        "truncated": "Whether there were more rows than were kept.",
    },
)
