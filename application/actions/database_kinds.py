"""The kinds of databases: which one a connection means, and the small port behind which each of them works."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from application.actions.extras import extra_missing
from application.actions.mysql_target import read_mysql
from application.actions.postgres_target import read_postgres
from application.actions.sql_dialect import MYSQL, POSTGRESQL, SQLITE, Dialect
from application.actions.sqlite_target import read_sqlite
from application.documents.shapes import SCHEME
from application.documents.source import did_you_mean
from application.engine.action import ActionContext, ActionError
from domain.values import dataclass

if TYPE_CHECKING:
    from application.actions.database_rows import Rows
    from application.actions.sql_placeholders import Sql

_KIND_KEYS = ("type", "driver")
DEFAULT_CONNECTION = "DATABASE_URL"
"""The variable that holds the connection of steps that name none."""


class Session(Protocol):
    """The connection to one database for all steps of an execution, opened when first used; users take turns."""

    async def run(self, sql: Sql, rows: Rows, context: ActionContext, *, transaction: bool = False) -> None:
        """Run the SQL and fill in `rows`; `transaction` makes it all or nothing. ActionError says what went wrong.

        A query that is cancelled from outside is stopped before this returns.
        """
        ...

    async def close(self) -> None:
        """End the connection; an open transaction is rolled back."""
        ...


class Target(Protocol):
    """Where a database is. Equal targets share a session."""

    @property
    def label(self) -> str:
        """How messages and reports name it: without the password."""
        ...

    @property
    def password(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of database. `session` loads the client library."""

    name: str
    names: tuple[str, ...]
    """Its schemes in URLs, and its names in `type` of an object."""
    dialect: Dialect
    read: Callable[[str | Mapping[str, Any]], Target]
    session: Callable[[Any, ActionContext], Session]


def read_connection(config: Mapping[str, Any], only: Kind | None = None) -> tuple[Kind, Target]:
    """The kind and target of `connection` (text or object). ActionError of kind config for what is
    refused, a kind other than `only` among that. No message quotes the text itself, as it holds a password."""
    given = config.get("connection")
    if given is None:
        raise ActionError(
            "config",
            f"the step names no connection, and there is no variable {DEFAULT_CONNECTION}",
            hint=f"add connection to the step, or give the variable: --var {DEFAULT_CONNECTION}=postgresql://...",
        )
    if isinstance(given, str):
        scheme = SCHEME.match(given)
        kind = _named(scheme[1], "scheme", only) if scheme else only or POSTGRES_KIND
        return kind, kind.read(given)
    if isinstance(given, Mapping):
        named = [given[key] for key in _KIND_KEYS if given.get(key) is not None]
        kind = _named(str(named[0]), "type", only) if named else only or POSTGRES_KIND
        return kind, kind.read({key: value for key, value in given.items() if key not in _KIND_KEYS})
    raise ActionError("config", "connection must be a URL such as postgresql://user:password@host:5432/database, or an object")


def _named(name: str, what: str, only: Kind | None) -> Kind:
    """The kind of a scheme or type."""
    known = {other: kind for kind in KINDS for other in kind.names}
    kind = known.get(name.lower())
    if kind is None:
        raise ActionError(
            "config", f"connection: no database has the {what} {name!r:.40}", hint=did_you_mean(name.partition("+")[0], known)
        )
    if only is not None and kind is not only:
        message = f"connection: this action is for {only.name}, and the {what} {name} means {kind.name}"
        raise ActionError("config", message, hint="use database_query or db_poll, which take every database")
    return kind


def _postgres(target: Any, context: ActionContext) -> Session:
    from application.actions.postgres_session import PostgresSession

    return PostgresSession(target)


def _mysql(target: Any, context: ActionContext) -> Session:
    try:
        from application.actions.mysql_session import MysqlSession
    except ModuleNotFoundError as error:
        if error.name != "pymysql":
            raise
        raise extra_missing("mysql", "pymysql", "mysql") from None
    return MysqlSession(target)


def _sqlite(target: Any, context: ActionContext) -> Session:
    from application.actions.sqlite_session import SqliteSession
    from application.actions.sqlite_target import file_of

    if not context.bundled:
        return SqliteSession(target, file_of(target, context.folder))
    open_now = sum(isinstance(resource, SqliteSession) for resource in context.resources.values())
    if open_now >= context.limits.sqlite_files:
        raise ActionError("limit", f"a flow on a worker may open {context.limits.sqlite_files} SQLite databases")
    file = file_of(target, context.folder, make=True)
    return SqliteSession(target, file, most=context.limits.sqlite_file_bytes)


POSTGRES_KIND = Kind("PostgreSQL", ("postgresql", "postgres"), POSTGRESQL, read_postgres, _postgres)
MYSQL_KIND = Kind("MySQL and MariaDB", ("mysql", "mariadb"), MYSQL, read_mysql, _mysql)
SQLITE_KIND = Kind("SQLite", ("sqlite",), SQLITE, read_sqlite, _sqlite)
KINDS = (POSTGRES_KIND, MYSQL_KIND, SQLITE_KIND)
SCHEMES = tuple(name for kind in KINDS for name in kind.names)
