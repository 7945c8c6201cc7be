"""Which Kafka a step means: its brokers, and how to sign in there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from application.actions.tls_config import Tls, read_tls
from application.engine.action import ActionContext, ActionError, Key
from domain.expressions.errors import did_you_mean
from domain.values import dataclass

_BROKER = re.compile(
    r"(?:(?:kafka|PLAINTEXT|SSL|SASL_PLAINTEXT|SASL_SSL)://)?(\[[0-9A-Fa-f:.]+\]|[^\s:/@\[\]]+)(?::(\d{1,5}))?"
)
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")
_PORT = 9092
_MOST_BROKERS = 32
_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_TLS_KEYS = ("ca", "verify", "cert", "key", "server_name")


@dataclass(frozen=True, slots=True)
class Sasl:
    """Who signs in, and by which mechanism (RFC 4616, RFC 5802)."""

    mechanism: str
    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class KafkaTarget:
    """A cluster, by the brokers that are asked first."""

    brokers: tuple[tuple[str, int], ...]
    sasl: Sasl | None = None
    tls: Tls | None = None

    @property
    def label(self) -> str:
        """How messages and reports name it."""
        return ", ".join(named(host, port) for host, port in self.brokers)


KAFKA_SERVER: Mapping[str, Key] = {
    "sasl": Key(
        ("object",), description="mechanism (PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512; PLAIN by default), username, password."
    ),
    "tls": Key(
        ("boolean", "object"),
        description="true, or an object: ca, cert and key (PEM texts), verify (true), server_name (the host's by default).",
    ),
}
BROKERS = "host:port, several with commas or as a list; port 9092 when left out. One that answers is enough to find the others."


def read_kafka_target(config: Mapping[str, Any], context: ActionContext) -> KafkaTarget:
    """The target of `brokers`, `sasl` and `tls`; secrets are told. ActionError `config`."""
    sasl = _sasl(config.get("sasl"))
    if sasl is not None:
        context.secrets(sasl.password)
    return KafkaTarget(_brokers(config.get("brokers")), sasl, read_tls(config.get("tls"), context, _TLS_KEYS))


def read_topic(value: Any) -> str:
    """The name of a topic. ActionError `config` for one that no broker takes."""
    if not isinstance(value, str) or not _TOPIC.fullmatch(value) or value in (".", ".."):
        raise ActionError("config", "topic must be a name of at most 249 letters, digits, dots, hyphens and underscores")
    return value


def named(host: str, port: int) -> str:
    """host:port, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _brokers(value: Any) -> tuple[tuple[str, int], ...]:
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list | tuple) or not 1 <= len(items) <= _MOST_BROKERS:
        raise ActionError("config", f"brokers must be host:port, or 1 to {_MOST_BROKERS} of them with commas or as a list")
    return tuple(dict.fromkeys(_broker(item) for item in items))


def _broker(item: Any) -> tuple[str, int]:
    found = _BROKER.fullmatch(item.strip()) if isinstance(item, str) else None
    port = int(found[2] or _PORT) if found else 0
    if found is None or not 1 <= port <= 65_535:
        raise ActionError(
            "config", "brokers has an entry that cannot be read", hint="write host:port, as in kafka.internal:9092"
        )
    return found[1].strip("[]"), port


def _sasl(value: Any) -> Sasl | None:
    if value is None:
        return None
    known = ("mechanism", "username", "password")
    if not isinstance(value, Mapping):
        raise ActionError("config", "sasl must be an object of mechanism, username and password")
    for name in value:
        if name not in known:
            raise ActionError("config", f"sasl has no key {name!r}", hint=did_you_mean(name, known))
    mechanism = str(value.get("mechanism") or "PLAIN").upper()
    if mechanism not in _MECHANISMS:
        raise ActionError("config", f"sasl.mechanism must be one of {', '.join(_MECHANISMS)}")
    username, password = value.get("username"), value.get("password")
    if not isinstance(username, str) or not isinstance(password, str) or not username or not password:
        raise ActionError("config", "sasl needs username and password, as texts")
    return Sasl(mechanism, username, password)
