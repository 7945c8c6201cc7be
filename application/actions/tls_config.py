"""The key `tls` of actions that speak something else than HTTP: on or off, or PEM texts and what to check."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from application.engine.action import ActionContext, ActionError
from domain.expressions.errors import did_you_mean
from domain.values import dataclass

_SWITCH = {True: True, False: False, "true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM texts: authorities to trust instead of the machine's, the client's certificate and its key (both or none).
    `server_name`: the name that the certificate must have, when it is not the host's."""

    ca: str = ""
    cert: str = ""
    key: str = field(default="", repr=False)
    server_name: str = ""
    verify: bool = True


def read_tls(value: Any, context: ActionContext, known: tuple[str, ...]) -> Tls | None:
    """The choices of `tls`, None when it is off. `known` are the keys that the action understands."""
    if isinstance(value, Mapping):
        return _from_object(value, context, known)
    if value is None:
        return None
    if not isinstance(value, bool | str) or value not in _SWITCH:
        raise ActionError("config", f"tls must be true, false or an object of {', '.join(known)}")
    return Tls() if _SWITCH[value] else None


def _from_object(value: Mapping[str, Any], context: ActionContext, known: tuple[str, ...]) -> Tls:
    for name in value:
        if name not in known:
            raise ActionError(
                "config", f"tls has no key {name!r}", hint=did_you_mean(name, known) or f"known: {', '.join(known)}"
            )
    texts = {name: _pem(name, value.get(name)) for name in ("ca", "cert", "key")}
    if texts["key"]:
        context.secrets(texts["key"])
    cert, key = texts["cert"], texts["key"]
    if bool(cert) != bool(key):
        raise ActionError("config", "tls needs cert and key together, as a client's certificate is of no use without its key")
    verify = value.get("verify", True)
    if not isinstance(verify, bool | str) or verify not in _SWITCH:
        raise ActionError("config", "tls.verify must be true or false")
    return Tls(texts["ca"], cert, key, str(value.get("server_name") or ""), _SWITCH[verify])


def _pem(name: str, value: Any) -> str:
    if value is None or value == "":
        return ""
    if not isinstance(value, str) or "-----BEGIN " not in value:
        raise ActionError(
            "config",
            f"tls.{name} must be PEM text",
            hint="paste the text, or put it into a variable: files are not read",
        )
    return value
