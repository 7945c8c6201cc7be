"""Connections that flows may name, and those that are refused before anything is sent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from application.actions.database_kinds import MYSQL_KIND, SQLITE_KIND, Kind, read_connection
from application.actions.database_target import Target
from application.actions.registry import ACTIONS
from application.actions.sqlite_target import SqliteTarget, file_of
from application.engine.action import ActionError
from application.flow_documents import read_flow
from tests.support.local import Local, finished, flow, outcomes


def target_of(connection: object, only: Kind | None = None) -> object:
    return read_connection({"connection": connection}, only)[1]


def refused(connection: object, only: Kind | None = None) -> ActionError:
    with pytest.raises(ActionError) as raised:
        target_of(connection, only)
    assert raised.value.kind == "config"
    return raised.value


def refusal(connection: object) -> str:
    return refused(connection).message


@pytest.mark.parametrize(
    "connection",
    [
        "postgresql://ann:s3cret%40@db.example:5433/shop?sslmode=require",
        "postgres://ann:s3cret%40@db.example:5433/shop?sslmode=require",
        "host=db.example port=5433 dbname=shop user=ann password=s3cret@ sslmode=require",
        {"host": "db.example", "port": 5433, "database": "shop", "user": "ann", "password": "s3cret@", "sslmode": "require"},
        {
            "host": "db.example",
            "port": "5433",
            "dbname": "shop",
            "username": "ann",
            "password": "s3cret@",
            "sslmode": "require",
        },
    ],
)
def test_every_spelling_means_the_same_database(connection: object) -> None:
    target = target_of(connection)

    assert target == Target("db.example", 5433, "shop", "ann", "s3cret@", "require")
    assert target.label == "postgresql://ann@db.example:5433/shop"
    assert "s3cret" not in repr(target)


def test_a_connection_takes_the_keys_of_the_original() -> None:
    target = target_of({"type": "postgresql", "host": "h", "username": "ann", "ssl": True, "timeout": "2500ms", "pool_size": 5})
    assert isinstance(target, Target)
    assert (target.sslmode, target.connect_timeout) == ("require", 3)
    assert target_of({"type": "mysql", "host": "h", "user": "ann", "ssl": "false"}).sslmode == "disable"
    for more, reason in (
        ({"ssl": True, "sslmode": "prefer"}, "sslmode and ssl are both given"),
        ({"timeout": 1, "connect_timeout": 1}, "are both given"),
        ({"timeout": "soon"}, "timeout: "),
        ({"pool_size": "many"}, "pool_size must be a number"),
    ):
        assert reason in refusal({"host": "h", "user": "ann", **more})


async def test_a_step_without_a_connection_takes_the_one_of_its_variable() -> None:
    text = flow(
        "- {id: make, action: database_query, config: {query: CREATE TABLE t (a)}}\n"
        "- {id: ask, action: sqlite.query, config: {query: SELECT count(*) AS n FROM t}, assert: ['rows[0].n == 0']}\n",
    )
    assert finished(await Local(ACTIONS).run(text, variables={"DATABASE_URL": "sqlite::memory:"})).verdict == "passed"
    outcome = outcomes(await Local(ACTIONS).run(text))["make"]
    assert outcome["error"]["message"] == "the step names no connection, and there is no variable DATABASE_URL"
    assert "--var DATABASE_URL=" in outcome["error"]["hint"]
    _, warnings = read_flow(f"{text}  env: {{DATABASE_URL: 'sqlite::memory:'}}\n", actions=ACTIONS)
    assert warnings == (), "the variable is read"


def test_what_is_left_out_of_a_connection_has_defaults() -> None:
    target = read_connection({"connection": "postgresql://ann@[::1]"})[1]

    assert isinstance(target, Target)
    assert (target.host, target.port, target.database, target.sslmode) == ("::1", 5432, "ann", "prefer")
    assert target.label == "postgresql://ann@[::1]:5432/ann"


@pytest.mark.parametrize(
    ("connection", "reason"),
    [
        ("mongodb://root@db/shop", "no database has the scheme 'mongodb'"),
        ("postgresql+psycopg://a@b/c", "no database has the scheme"),
        ("postgresql:///shop?user=ann", "Unix socket"),
        ("postgresql://ann@%2Fvar%2Frun%2Fpostgresql/shop", "Unix socket"),
        ("postgresql://ann@db/shop?host=/var/run/postgresql", "Unix socket"),
        ("host=/var/run/postgresql user=ann dbname=shop", "Unix socket"),
        ("host=@abstract user=ann dbname=shop", "Unix socket"),
        ({"host": "", "user": "ann"}, "Unix socket"),
        ({"user": "ann"}, "Unix socket"),
        ("postgresql://ann@db,other/shop", "several hosts"),
        ("postgresql://ann@db:1,other:2/shop", "several hosts"),
        ("postgresql://ann@db/shop?hostaddr=127.0.0.1", "hostaddr"),
        ("service=prod user=ann host=db", "service"),
        ("postgresql://ann@db/shop?service=prod", "service"),
        ("postgresql://ann@db/shop?passfile=/home/ann/.pgpass", "passfile"),
        ("postgresql://ann@db/shop?sslrootcert=/etc/passwd", "sslrootcert"),
        ("postgresql://ann@db/shop?sslcert=/a&sslkey=/b", "sslcert"),
        ("postgresql://ann@db/shop?sslkeylogfile=/tmp/keys", "writes a file"),
        ("postgresql://ann@db/shop?options=-c%20log_statement%3Dall", "options"),
        ("postgresql://ann@db/shop?krbsrvname=x", "krbsrvname"),
        ("postgresql://ann@db/shop?replication=database", "replication"),
        ({"host": "db", "user": "ann", "hostaddr": "127.0.0.1"}, "hostaddr"),
        ({"host": "db\0.example", "user": "ann"}, "NUL"),
        ("postgresql://ann@db/shop\0", "NUL"),
        ({"host": "db host=/tmp", "user": "ann"}, "blank"),
        ({"host": "db", "user": "ann", "port": "5432 host=x"}, "port"),
        ({"host": "db", "user": "ann", "port": 70000}, "port"),
        ({"host": "db", "user": "ann", "port": "5432,5433"}, "port"),
        ({"host": "db", "user": "ann", "sslmode": "maybe"}, "sslmode"),
        ({"host": "db", "user": "ann", "db": "a", "dbname": "b"}, "twice"),
        ({"host": "db", "user": ["ann"]}, "must be text"),
        ({"host": "db"}, "no user"),
        (7, "must be a URL"),
    ],
)
def test_a_hostile_or_unusable_connection_is_refused_with_its_reason(connection: object, reason: str) -> None:
    assert reason in refusal(connection)


def test_a_password_is_not_quoted_when_the_text_cannot_be_read() -> None:
    assert "hunter" not in refusal("postgresql://ann:hunter%zz@db/shop")
    assert "hunter" not in refusal("postgresql://ann@db/shop?hunter2=x&hunter3")


MYSQL = Target("db.example", 3307, "shop", "ann", "s3cret@", "require", scheme="mysql")


@pytest.mark.parametrize(
    "connection",
    [
        "mysql://ann:s3cret%40@db.example:3307/shop?sslmode=require",
        "mariadb://ann:s3cret%40@db.example:3307/shop?ssl-mode=REQUIRED",
        {
            "type": "mysql",
            "host": "db.example",
            "port": 3307,
            "db": "shop",
            "user": "ann",
            "password": "s3cret@",
            "sslmode": "require",
        },
        {
            "driver": "MariaDB",
            "host": "db.example",
            "port": "3307",
            "database": "shop",
            "username": "ann",
            "password": "s3cret@",
            "ssl_mode": "REQUIRED",
        },
    ],
)
def test_every_spelling_means_the_same_mysql(connection: object) -> None:
    target = target_of(connection)

    assert target == MYSQL
    assert target.label == "mysql://ann@db.example:3307/shop"
    assert "s3cret" not in repr(target)


def test_what_a_mysql_connection_leaves_out_has_defaults() -> None:
    assert target_of("mysql://ann@[::1]") == Target("::1", 3306, "", "ann", scheme="mysql")


@pytest.mark.parametrize(
    ("connection", "reason"),
    [
        ("mysql://db/shop", "no user"),
        ("mysql://ann@/shop", "names no host"),
        ("mysql://ann@db,other/shop", "several hosts"),
        ("mysql://ann@db:port/shop", "port must be a number"),
        ("mysql://ann:p@ss/word@db/shop", "not a URL of MySQL"),
        ("mysql://ann:%zz@db/shop", "not a URL of MySQL"),
        ("mysql://ann:%ff@db/shop", "not a URL of MySQL"),
        ("mysql:ann@db", "not a URL of MySQL"),
        ("mysql://ann@db/shop?unix_socket=/run/mysqld/mysqld.sock", "a Unix socket"),
        ("mysql://ann@db/shop?read_default_file=/etc/my.cnf", "reads a file"),
        ("mysql://ann@db/shop?ssl_ca=/etc/passwd", "reads a file"),
        ("mysql://ann@db/shop?local_infile=1", "LOAD DATA LOCAL"),
        ("mysql://ann@db/shop?init_command=DROP", "a step of its own"),
        ("mysql://ann@db/shop?sslmode=allow", "sslmode must be one of"),
        ("mysql://ann@db/shop?host=other", "given twice"),
        ("mysql://ann@db/shop?sslmode=require&sslmode=disable", "given twice"),
        ("mysql://ann@db/sh%00op", "NUL"),
        ({"type": "mysql", "host": "/run/mysqld/mysqld.sock", "user": "ann"}, "Unix socket"),
        ({"type": "mysql", "host": "db", "user": "ann", "hosts": "x"}, "not one of its keys"),
    ],
)
def test_a_hostile_or_unusable_mysql_connection_is_refused_with_its_reason(connection: object, reason: str) -> None:
    assert reason in refusal(connection)
    assert "ss/word" not in refusal(connection)


@pytest.mark.parametrize(
    ("connection", "path"),
    [
        ("sqlite::memory:", ":memory:"),
        ("sqlite://", ":memory:"),
        ("sqlite:///:memory:", ":memory:"),
        ("sqlite:///data/shop.db", "data/shop.db"),
        ("sqlite:////srv/shop.db", "/srv/shop.db"),
        ("sqlite:///my%20shop.db", "my shop.db"),
        ({"type": "sqlite", "path": "shop.db"}, "shop.db"),
        ({"type": "sqlite", "database": ":memory:"}, ":memory:"),
    ],
)
def test_a_sqlite_database_is_memory_or_a_path(connection: object, path: str) -> None:
    assert target_of(connection) == SqliteTarget(path)


@pytest.mark.parametrize(
    ("connection", "reason"),
    [
        ("sqlite://shop.db", "not a URL of a SQLite database"),
        ("sqlite:///", "not a URL of a SQLite database"),
        ("sqlite:///shop.db?mode=rwc", "takes no options"),
        ("sqlite:///file:shop.db%3Fvfs=unix-none", "file: URI"),
        ("sqlite:///a%00b", "NUL"),
        ({"type": "sqlite"}, "names no path"),
        ({"type": "sqlite", "path": "a.db", "uri": True}, "not one of its keys"),
    ],
)
def test_a_sqlite_connection_that_says_more_is_refused(connection: object, reason: str) -> None:
    assert reason in refusal(connection)


@pytest.mark.parametrize(
    ("connection", "hint"),
    [
        ("postgre://a@b/c", 'did you mean "postgres"?'),
        ("mysq://a@b/c", 'did you mean "mysql"?'),
        ("mysql+pymysql://a@b/c", 'did you mean "mysql"?'),
        ("sqlite3:///a.db", 'did you mean "sqlite"?'),
        ({"type": "maria", "host": "b", "user": "a"}, 'did you mean "mariadb"?'),
        ("oracle://a@b/c", "known: mariadb, mysql, postgres, postgresql, sqlite"),
        ({"host": "b", "user": "a", "pasword": "x"}, 'did you mean "password"?'),
        ("mysql://a@b/c?sslmode=requird", 'did you mean "require"?'),
    ],
)
def test_a_wrong_name_is_told_with_what_was_meant(connection: object, hint: str) -> None:
    assert refused(connection).hint == hint


def test_an_action_for_one_database_needs_no_type_and_takes_no_other() -> None:
    assert target_of({"host": "db", "user": "ann"}, MYSQL_KIND) == Target("db", 3306, "", "ann", scheme="mysql")
    assert target_of(":memory:", SQLITE_KIND) == SqliteTarget(":memory:")
    error = refused("postgresql://ann@db/shop", MYSQL_KIND)
    assert error.message == "connection: this action is for MySQL and MariaDB, and the scheme postgresql means PostgreSQL"


def test_a_sqlite_file_is_found_below_the_folder_alone(tmp_path: Path) -> None:
    home = tmp_path / "project"
    (home / "data").mkdir(parents=True)
    (tmp_path / "outside.db").write_bytes(b"")
    (home / "leaves.db").symlink_to(tmp_path / "outside.db")
    (home / "leaving").symlink_to(tmp_path)
    (home / "loop").symlink_to(home / "loop")
    (home / "stays.db").symlink_to(home / "data" / "shop.db")
    os.mkfifo(home / "pipe")

    def opened(path: str) -> str:
        return file_of(SqliteTarget(path), home)

    assert opened("data/shop.db") == opened(str(home / "data" / "shop.db")) == opened("stays.db") == f"{home}/data/shop.db"
    assert opened(":memory:") == file_of(SqliteTarget(":memory:"), None) == ":memory:"
    hostile = {
        "../outside.db": "..",
        "data/../../outside.db": "..",
        "data/../data/shop.db": "..",
        str(tmp_path / "outside.db"): "outside of the project folder",
        "leaves.db": "outside of the project folder",
        "leaving/outside.db": "outside of the project folder",
        "/proc/self/environ": "outside of the project folder",
        "/dev/zero": "outside of the project folder",
        "pipe": "not a file",
        "data": "not a file",
        ".": "outside of the project folder",
        "loop": "cannot be opened",
        "x" * 300: "cannot be opened",
        "nowhere/shop.db": "there is no folder",
    }
    for path, reason in hostile.items():
        with pytest.raises(ActionError) as raised:
            opened(path)
        assert raised.value.kind == "config"
        assert reason in raised.value.message


def test_a_worker_has_no_folder_for_sqlite_files() -> None:
    with pytest.raises(ActionError, match="needs a folder"):
        file_of(SqliteTarget("shop.db"), None)
