"""Which PostgreSQL a step means: connection text is read by libpq's own rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from application.actions.database_target import Rules, Target
from application.engine.action import ActionError

_RULES = Rules(
    scheme="postgresql",
    port=5432,
    sslmodes=("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    files=("service", "servicefile", "passfile", "sslcert", "sslkey", "sslrootcert", "sslcrl", "sslcrldir"),
    why={
        "sslkeylogfile": "it writes a file on the machine that runs the step",
        "hostaddr": "the address is the one that the egress policy has judged",
        "options": "write SET statements instead",
    },
)


def read_postgres(given: str | Mapping[str, Any]) -> Target:
    """The target of a connection. ActionError of kind config for what is refused; no message quotes the text, as it holds a
    password."""
    target = _RULES.target(_from_text(given) if isinstance(given, str) else given)
    return target if target.database else replace(target, database=target.user)


def _from_text(text: str) -> dict[str, Any]:
    from psycopg import Error
    from psycopg.conninfo import conninfo_to_dict

    if "\0" in text:
        raise ActionError("config", "connection: NUL is not allowed")
    try:
        return dict(conninfo_to_dict(text.strip()))
    except (Error, UnicodeError):
        remedy = "write postgresql://user:password@host:5432/database, with signs such as @ in the password as %40"
        raise ActionError("config", "connection is not a URL that PostgreSQL reads", hint=remedy) from None
