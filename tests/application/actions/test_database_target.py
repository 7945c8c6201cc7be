"""Connections that flows may name, and those that are refused before anything is sent."""

from __future__ import annotations

import pytest

from application.actions.database_target import Target, read_target
from application.engine.action import ActionError


def refusal(connection: object) -> str:
    with pytest.raises(ActionError) as refused:
        read_target({"connection": connection})
    assert refused.value.kind == "config"
    return refused.value.message


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
    target = read_target({"connection": connection})

    assert target == Target("db.example", 5433, "shop", "ann", "s3cret@", "require")
    assert target.label == "postgresql://ann@db.example:5433/shop"
    assert "s3cret" not in repr(target)


def test_connection_string_is_read_too_and_what_is_left_out_has_defaults() -> None:
    target = read_target({"connection_string": "postgresql://ann@[::1]"})

    assert (target.host, target.port, target.database, target.sslmode) == ("::1", 5432, "ann", "prefer")
    assert target.label == "postgresql://ann@[::1]:5432/ann"


@pytest.mark.parametrize(
    ("connection", "reason"),
    [
        ("mysql://root@db/shop", "PostgreSQL only, not mysql"),
        ("sqlite:///etc/passwd", "PostgreSQL only, not sqlite"),
        ("postgresql+psycopg://a@b/c", "PostgreSQL only"),
        ("sqlite::memory:", "PostgreSQL only"),
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
