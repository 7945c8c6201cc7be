"""The action `database_query`: SQL on PostgreSQL, MySQL, MariaDB or SQLite, its rows as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from application.actions.database_asking import KEYS, RESULT, Query, seconds, sqlite_files, truth
from application.actions.database_kinds import MYSQL_KIND, POSTGRES_KIND, SQLITE_KIND, Kind
from application.actions.database_waiting import SHORTEST_INTERVAL, Waiting, ask_until
from application.engine.action import Action, ActionContext, ActionError, Key

_POLL = {"timeout": 30.0, "interval": 1.0}


async def run(config: Mapping[str, Any], context: ActionContext, only: Kind | None = None) -> Mapping[str, Any]:
    """Query the database once, or with `poll` until a row is there. `only` is the one kind of database that is meant."""
    query = Query(config, context, only)
    poll = config.get("poll")
    if poll is None or not _is_on(poll):
        return await query.once()

    def look(result: Mapping[str, Any]) -> str:
        if not query.tabular:
            raise ActionError("config", "poll waits for a row, and this query never gives rows", hint="add RETURNING or SELECT")
        return "" if result["count"] else "no row"

    return (await ask_until(query, look, _waiting(poll), context))[0]


def _is_on(poll: Any) -> bool:
    return truth({"poll.enabled": poll.get("enabled", True)}, "poll.enabled") if isinstance(poll, Mapping) else True


def _waiting(poll: Any) -> Waiting:
    if not isinstance(poll, Mapping) or poll.keys() - {*_POLL, "enabled"}:
        raise ActionError("config", "poll is an object with enabled, timeout and interval")
    times = {name: seconds(poll, name, default) for name, default in _POLL.items()}
    return Waiting(times["timeout"], max(times["interval"], SHORTEST_INTERVAL))


_QUERY_KEYS = {
    **KEYS,
    "poll": Key(("object",), description="Ask again until there is a row: timeout (30s), interval (1s), enabled (true)."),
}


def _of(kind: Kind, name: str, *aliases: str) -> Action:
    """The same action for one kind of database, which its connections need not name."""
    return Action(
        name=name,
        aliases=aliases,
        description=f"`database_query` on {kind.name}, which the connection need not name.",
        keys={
            key: replace(value, schemes=kind.names, named=partial(sqlite_files, kind)) if value.schemes else value
            for key, value in _QUERY_KEYS.items()
        },
        run=partial(run, only=kind),
        result=RESULT,
    )


DATABASE_QUERY = Action(
    name="database_query",
    description="Runs SQL on PostgreSQL, MySQL, MariaDB or SQLite. Steps of an execution that name the same connection share"
    " one session.",
    keys=_QUERY_KEYS,
    run=run,
    result=RESULT,
)
POSTGRESQL_QUERY = _of(POSTGRES_KIND, "postgresql.query", "postgresql.*", "postgres.query", "postgres.*")
MYSQL_QUERY = _of(MYSQL_KIND, "mysql.query", "mysql.*", "mariadb.query", "mariadb.*")
SQLITE_QUERY = _of(SQLITE_KIND, "sqlite.query", "sqlite.*")
