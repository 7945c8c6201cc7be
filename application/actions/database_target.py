"""Where a database is: what every connection text or object has in common, held against an allow list."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

from application.documents.source import did_you_mean
from application.engine.action import ActionError
from domain.values import dataclass

KEYS = ("host", "port", "database", "user", "password", "sslmode", "connect_timeout", "application_name")
_SAME = {"dbname": "database", "db": "database", "username": "user"}
_CONTROL = re.compile(r"[\0-\x1f\x7f\s]")
_READS = "it reads a file of the machine that runs the step"


@dataclass(frozen=True, slots=True)
class Target:
    """A database on a server and who connects to it. `connect_timeout` in seconds."""

    host: str
    port: int
    database: str
    user: str
    password: str = field(default="", repr=False)
    sslmode: str = "prefer"
    connect_timeout: float = 10.0
    application_name: str = "testmesh"
    scheme: str = "postgresql"

    @property
    def label(self) -> str:
        """How messages and reports name it: without the password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{self.user}@{host}:{self.port}/{self.database}"


@dataclass(frozen=True, slots=True)
class Rules:
    """What connections of one kind of server may say. `files` are keys that read files, `why` other refused keys."""

    scheme: str
    port: int
    sslmodes: tuple[str, ...]
    files: Sequence[str] = ()
    why: Mapping[str, str] = field(default_factory=dict)
    same: Mapping[str, str] = field(default_factory=dict)
    modes: Mapping[str, str] = field(default_factory=dict)
    """Other names of TLS modes."""

    def target(self, given: Mapping[str, Any]) -> Target:
        """The target of these keys; ActionError of kind config for what is refused. No message quotes a value."""
        values = plain_texts(given, KEYS, {**_SAME, **self.same}, {**dict.fromkeys(self.files, _READS), **self.why})
        user = values.get("user")
        if not user:
            raise ActionError("config", "connection names no user")
        return Target(
            host=_host(values.get("host", "")),
            port=_whole("port", values.get("port") or str(self.port), 65_535),
            database=values.get("database", ""),
            user=user,
            password=values.get("password", ""),
            sslmode=self._sslmode(values.get("sslmode", "prefer")),
            connect_timeout=_whole("connect_timeout", values.get("connect_timeout", "10"), 3_600),
            application_name=values.get("application_name", "testmesh"),
            scheme=self.scheme,
        )

    def _sslmode(self, given: str) -> str:
        mode = self.modes.get(given.lower(), given)
        if mode not in self.sslmodes:
            message = f"connection: sslmode must be one of {', '.join(self.sslmodes)}"
            raise ActionError("config", message, hint=did_you_mean(given, self.sslmodes))
        return mode


def plain_texts(
    given: Mapping[str, Any], keys: Sequence[str], same: Mapping[str, str], why: Mapping[str, str]
) -> dict[str, str]:
    """The values as text by the first name of their key. ActionError for keys that are not among `keys`."""
    values: dict[str, str] = {}
    for key, value in given.items():
        name = same.get(str(key), str(key))
        if value is None:
            continue
        if name not in keys:
            if name in why:
                raise ActionError("config", f"connection: {name!r} is not allowed: {why[name]}")
            raise ActionError("config", f"connection: {name!r:.50} is not one of its keys", hint=did_you_mean(name, keys))
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ActionError("config", f"connection.{key} must be text or a number")
        if name in values:
            raise ActionError("config", f"connection: {name} is given twice")
        if "\0" in str(value):
            raise ActionError("config", f"connection: {name} holds NUL")
        values[name] = str(value)
    return values


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
