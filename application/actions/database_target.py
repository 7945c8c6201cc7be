"""Which database a step means: connection text or object, read by libpq's own rules and held against an allow list."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from application.engine.action import ActionError

_SCHEME = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.-]*):")
_KEYS = ("host", "port", "database", "user", "password", "sslmode", "connect_timeout", "application_name")
_SAME = {"dbname": "database", "db": "database", "username": "user"}
_CONTROL = re.compile(r"[\0-\x1f\x7f\s]")
_SSLMODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_WHY = {
    "service": "it reads a file of the machine that runs the step",
    "servicefile": "it reads a file of the machine that runs the step",
    "passfile": "it reads a file of the machine that runs the step",
    "sslcert": "it reads a file of the machine that runs the step",
    "sslkey": "it reads a file of the machine that runs the step",
    "sslrootcert": "it reads a file of the machine that runs the step",
    "sslcrl": "it reads a file of the machine that runs the step",
    "sslcrldir": "it reads a folder of the machine that runs the step",
    "sslkeylogfile": "it writes a file on the machine that runs the step",
    "hostaddr": "the address is the one that the egress policy has judged",
    "options": "write SET statements instead",
}


@dataclass(frozen=True, slots=True)
class Target:
    """A PostgreSQL database and who connects to it. `connect_timeout` in seconds."""

    host: str
    port: int
    database: str
    user: str
    password: str = field(default="", repr=False)
    sslmode: str = "prefer"
    connect_timeout: float = 10.0
    application_name: str = "testmesh"

    @property
    def label(self) -> str:
        """How messages and reports name it: without the password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"postgresql://{self.user}@{host}:{self.port}/{self.database}"


def read_target(config: Mapping[str, Any]) -> Target:
    """The target of `connection` (text or object) or `connection_string`. ActionError of kind config for what is refused.

    No message quotes the text itself, as it holds a password.
    """
    given = config.get("connection", config.get("connection_string"))
    if isinstance(given, str):
        return _target(_from_text(given))
    if isinstance(given, Mapping):
        return _target(_from_object(given))
    raise ActionError("config", "connection must be a URL such as postgresql://user:password@host:5432/database, or an object")


def _from_text(text: str) -> dict[str, str]:
    from psycopg import Error
    from psycopg.conninfo import conninfo_to_dict

    scheme = _SCHEME.match(text)
    if scheme and scheme[1].lower() not in ("postgresql", "postgres"):
        raise ActionError("config", f"this version queries PostgreSQL only, not {scheme[1]}", hint="use a postgresql:// URL")
    if "\0" in text:
        raise ActionError("config", "connection: NUL is not allowed")
    try:
        parsed = conninfo_to_dict(text.strip())
    except (Error, UnicodeError):
        remedy = "write postgresql://user:password@host:5432/database, with signs such as @ in the password as %40"
        raise ActionError("config", "connection is not a URL that PostgreSQL reads", hint=remedy) from None
    return _allowed({key: str(value) for key, value in parsed.items() if value is not None})


def _from_object(given: Mapping[str, Any]) -> dict[str, str]:
    values: dict[str, str] = {}
    for key, value in given.items():
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ActionError("config", f"connection.{key} must be text or a number")
        values[str(key)] = str(value)
    return _allowed(values)


def _allowed(values: Mapping[str, str]) -> dict[str, str]:
    allowed: dict[str, str] = {}
    for key, value in values.items():
        name = _SAME.get(key, key)
        if name not in _KEYS:
            reason = _WHY.get(name, f"the keys of a connection are {', '.join(_KEYS)}")
            raise ActionError("config", f"connection: {name!r:.50} is not allowed: {reason}")
        if name in allowed:
            raise ActionError("config", f"connection: {name} is given twice")
        if "\0" in value:
            raise ActionError("config", f"connection: {name} holds NUL")
        allowed[name] = value
    return allowed


def _target(values: Mapping[str, str]) -> Target:
    user = values.get("user")
    if not user:
        raise ActionError("config", "connection names no user")
    sslmode = values.get("sslmode", "prefer")
    if sslmode not in _SSLMODES:
        raise ActionError("config", f"connection: sslmode must be one of {', '.join(_SSLMODES)}")
    return Target(
        host=_host(values.get("host", "")),
        port=_whole("port", values.get("port") or "5432", 65_535),
        database=values.get("database") or user,
        user=user,
        password=values.get("password", ""),
        sslmode=sslmode,
        connect_timeout=_whole("connect_timeout", values.get("connect_timeout", "10"), 3_600),
        application_name=values.get("application_name", "testmesh"),
    )


def _host(host: str) -> str:
    if not host or host.startswith(("/", "@")):
        raise ActionError("config", "connection names no host: a Unix socket of the machine that runs the step is not reached")
    if "," in host:
        raise ActionError("config", "connection names several hosts: one is allowed")
    if _CONTROL.search(host):
        raise ActionError("config", "connection: the host holds a blank or a control character")
    return host.removeprefix("[").removesuffix("]")


def _whole(name: str, text: str, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= most):
        raise ActionError("config", f"connection: {name} must be a number from 1 to {most}")
    return int(text)
