"""Which Redis or Valkey a step means: a URL, or host, port, db and the like."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from application.engine.action import ActionError
from domain.values import dataclass

_SCHEMES = {"redis": False, "valkey": False, "rediss": True, "valkeys": True}
_PARTS = ("host", "port", "db", "username", "password", "tls")
_UNFIT = re.compile(r"[\0-\x20\x7f/@,]")
_TRUTHS = {True: True, False: False, "true": True, "false": False}
_PORT = 6379
_DATABASES = 1_000_000


@dataclass(frozen=True, slots=True)
class RedisTarget:
    """A database of a server and who connects to it. `verify`: whether the certificate of a TLS server is checked."""

    host: str
    port: int = _PORT
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    verify: bool = True

    @property
    def label(self) -> str:
        """How messages and reports name it: without the password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        user = f"{self.username}@" if self.username else ""
        return f"{'rediss' if self.tls else 'redis'}://{user}{host}:{self.port}/{self.db}"


def read_redis_target(config: Mapping[str, Any]) -> RedisTarget:
    """The target of `url`, or of `host` with its companions. ActionError of kind config; none quotes the URL."""
    given = {name: config[name] for name in _PARTS if config.get(name) is not None}
    url = config.get("url")
    if url is not None:
        if given:
            raise ActionError("config", f"url and {next(iter(given))} are given: write it all into the url")
        given = _from_url(url)
    return RedisTarget(
        host=_host(given.get("host")),
        port=_whole("port", given.get("port", _PORT), 1, 65_535),
        db=_whole("db", given.get("db", 0), 0, _DATABASES),
        username=_text("username", given.get("username")),
        password=_text("password", given.get("password")),
        tls=_truth("tls", given.get("tls", False)),
        verify=_truth("verify_ssl", config.get("verify_ssl", True)),
    )


def _from_url(url: Any) -> dict[str, Any]:
    try:
        parts = urlsplit(str(url).strip())
        port = parts.port
    except ValueError:
        raise ActionError("config", "url cannot be read", hint="write redis://user:password@host:6379/0") from None
    if parts.scheme not in _SCHEMES:
        raise ActionError("config", "url must begin with redis:// or rediss://, and no Unix socket is reached")
    return {
        "host": parts.hostname,
        "port": _PORT if port is None else port,
        "db": _database(parts),
        "username": unquote(parts.username) if parts.username else None,
        "password": unquote(parts.password) if parts.password else None,
        "tls": _SCHEMES[parts.scheme],
    }


def _database(parts: SplitResult) -> str:
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    if query.keys() - {"db"} or parts.fragment:
        raise ActionError("config", "url: only the database may follow the port, as /0 or ?db=0")
    return query.get("db") or parts.path.strip("/") or "0"


def _host(host: Any) -> str:
    text = str(host or "").removeprefix("[").removesuffix("]")
    if not text or _UNFIT.search(text):
        raise ActionError("config", "the host is missing or holds a sign that no host name has")
    return text


def _whole(name: str, value: Any, least: int, most: int) -> int:
    text = str(value)
    if isinstance(value, bool) or not (text.isascii() and text.isdigit() and len(text) < 10 and least <= int(text) <= most):
        raise ActionError("config", f"{name} must be a number from {least} to {most}")
    return int(text)


def _text(name: str, value: Any) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ActionError("config", f"{name} must be text")
    return str(value)


def _truth(name: str, value: Any) -> bool:
    if not isinstance(value, bool | str) or value not in _TRUTHS:
        raise ActionError("config", f"{name} must be true or false")
    return _TRUTHS[value]
