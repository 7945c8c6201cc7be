"""Redis servers that flows may name, and spellings that are refused before anything is sent."""

from __future__ import annotations

from typing import Any

import pytest

from application.actions.redis_target import RedisTarget, read_redis_target
from application.engine.action import ActionError


@pytest.mark.parametrize(
    "config",
    [
        {"url": "rediss://ann:p%40ss@cache.example:6380/2"},
        {"url": "valkeys://ann:p%40ss@cache.example:6380?db=2"},
        {"host": "cache.example", "port": 6380, "db": "2", "username": "ann", "password": "p@ss", "tls": True},
        {"host": "cache.example", "port": "6380", "db": 2, "username": "ann", "password": "p@ss", "tls": "true"},
    ],
)
def test_every_spelling_means_the_same_server(config: dict[str, Any]) -> None:
    target = read_redis_target(config)

    assert target == RedisTarget("cache.example", 6380, 2, "ann", "p@ss", tls=True)
    assert target.label == "rediss://ann@cache.example:6380/2"
    assert "p@ss" not in repr(target)


def test_what_is_left_out_has_defaults() -> None:
    assert read_redis_target({"url": "redis://[::1]"}) == RedisTarget("::1")
    assert read_redis_target({"url": "redis://:hunter2@h"}) == RedisTarget("h", password="hunter2")
    assert read_redis_target({"host": "[::1]", "verify_ssl": False}).label == "redis://[::1]:6379/0"
    assert read_redis_target({"host": "h", "password": 12345678}).password == "12345678"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"url": "unix:///run/redis.sock"}, "no Unix socket"),
        ({"url": "http://h"}, "redis://"),
        ({"url": "redis:///0"}, "host is missing"),
        ({"url": "redis://h:70000"}, "cannot be read"),
        ({"url": "redis://[h"}, "cannot be read"),
        ({"url": "redis://h:0"}, "port must be"),
        ({"url": "redis://h/x"}, "db must be"),
        ({"url": "redis://h/-1"}, "db must be"),
        ({"url": "rediss://h?ssl_ca_certs=/etc/passwd"}, "only the database"),
        ({"url": "redis://h", "port": 1}, "url and port"),
        ({"host": "/run/redis.sock"}, "no host name has"),
        ({"host": "a b"}, "no host name has"),
        ({"host": "a,b"}, "no host name has"),
        ({}, "host is missing"),
        ({"host": "h", "port": True}, "port must be"),
        ({"host": "h", "db": 1.5}, "db must be"),
        ({"host": "h", "tls": "maybe"}, "tls must be"),
        ({"host": "h", "password": ["x"]}, "password must be text"),
    ],
)
def test_a_target_that_cannot_be_used_is_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ActionError) as refused:
        read_redis_target(config)

    assert refused.value.kind == "config"
    assert message in refused.value.message


def test_a_password_in_a_url_that_cannot_be_read_is_not_quoted() -> None:
    with pytest.raises(ActionError) as refused:
        read_redis_target({"url": "redis://ann:hunter2@h:port"})

    assert "hunter2" not in refused.value.message
