"""Which gRPC server a step means, and the metadata that goes with its calls."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from typing import Any

from application.actions.tls_config import Tls, read_tls
from application.engine.action import ActionContext, ActionError
from domain.expressions.errors import Fault
from domain.expressions.values import to_text
from domain.masking import SENSITIVE_HEADERS
from domain.values import dataclass

Metadata = tuple[tuple[str, str | bytes], ...]

_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/@\[\],]+):(\d{1,5})")
_HOST = re.compile(r"[0-9A-Fa-f:.]+|[^\s:/@\[\],]+")
_NAME = re.compile(r"[a-z0-9_.-]{1,100}")
_VALUE = re.compile(r"[\x20-\x7e]*")
_TLS_KEYS = ("ca", "cert", "key", "server_name")


@dataclass(frozen=True, slots=True)
class GrpcTarget:
    """A server, and the TLS to it if there is any."""

    host: str
    port: int
    tls: Tls | None = None

    @property
    def label(self) -> str:
        """How messages and reports name it."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def read_grpc_target(config: Mapping[str, Any], context: ActionContext) -> GrpcTarget:
    """The target of `address`, or of `host` and `port`, and `tls`. ActionError `config`."""
    host, port = _place(config)
    if not 1 <= port <= 65_535:
        raise ActionError("config", "port must be a number from 1 to 65535")
    return GrpcTarget(host, port, read_tls(config.get("tls"), context, _TLS_KEYS))


def read_metadata(value: Any, common: Mapping[str, str], context: ActionContext) -> Metadata:
    """`metadata` as pairs, after the common headers that it does not set itself; credentials are told to the masker."""
    if value is None:
        value = {}
    if not isinstance(value, Mapping):
        raise ActionError("config", "metadata must be an object of names and values; a list repeats a name")
    given = {str(name).lower(): one for name, one in value.items()}
    pairs: list[tuple[str, str | bytes]] = [(name.lower(), one) for name, one in common.items() if name.lower() not in given]
    for name, values in given.items():
        if not _NAME.fullmatch(name) or name.startswith("grpc-"):
            hint = "letters, digits, _ . and -; names with grpc- are its own"
            raise ActionError("config", f"metadata has a name that gRPC does not take: {name[:100]!r}", hint=hint)
        for one in values if isinstance(values, list | tuple) else [values]:
            pairs.append((name, _value(name, one)))
            if name in SENSITIVE_HEADERS and isinstance(one, str) and one:
                context.secrets(one)
    return tuple(pairs)


def plain_metadata(pairs: Iterable[tuple[str, str | bytes]] | None) -> dict[str, Any]:
    """Metadata by name, bytes as base64; values of a name that repeats are a list."""
    by_name: dict[str, list[str]] = {}
    for name, value in pairs or ():
        text = base64.b64encode(value).decode() if isinstance(value, bytes) else value
        by_name.setdefault(name, []).append(text)
    return {name: values[0] if len(values) == 1 else values for name, values in by_name.items()}


def _value(name: str, value: Any) -> str | bytes:
    try:
        text = to_text(value)
    except Fault as fault:
        raise ActionError("config", f"metadata.{name}: {fault.message}") from None
    if name.endswith("-bin"):
        try:
            return base64.b64decode(text, validate=True)
        except ValueError:
            raise ActionError("config", f"metadata.{name} must be base64, as its name ends in -bin") from None
    if not _VALUE.fullmatch(text):
        hint = "end the name in -bin and write base64"
        raise ActionError("config", f"metadata.{name} holds signs that metadata cannot carry", hint=hint)
    return text


def _place(config: Mapping[str, Any]) -> tuple[str, int]:
    address, host, port = (config.get(name) for name in ("address", "host", "port"))
    if address is not None:
        if host is not None or port is not None:
            raise ActionError("config", "address and host or port are given: write both into address")
        found = _ADDRESS.fullmatch(address.strip()) if isinstance(address, str) else None
        if found is None:
            raise ActionError("config", "address must be host:port", hint="without a scheme; tls: true speaks TLS")
        return found[1].strip("[]"), int(found[2])
    name = str(host or "").removeprefix("[").removesuffix("]")
    if not _HOST.fullmatch(name):
        raise ActionError("config", "the host is missing or holds a sign that no host name has")
    text = str(port)
    if isinstance(port, bool) or not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ActionError("config", "port must be a number from 1 to 65535")
    return name, int(text)
