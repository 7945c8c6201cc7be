"""Which MySQL or MariaDB a step means."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote

from application.actions.database_target import Rules, Target
from application.engine.action import ActionError

_RULES = Rules(
    scheme="mysql",
    port=3306,
    sslmodes=("disable", "prefer", "require", "verify-ca", "verify-full"),
    files=("read_default_file", "ssl_ca", "ssl_cert", "ssl_key", "ssl-ca", "ssl-cert", "ssl-key", "ssl", "server_public_key"),
    why={
        "unix_socket": "a Unix socket of the machine that runs the step is not reached",
        "socket": "a Unix socket of the machine that runs the step is not reached",
        "local_infile": "LOAD DATA LOCAL would read a file of the machine that runs the step",
        "init_command": "write the statement into a step of its own",
        "charset": "it is always utf8mb4",
    },
    same={"ssl_mode": "sslmode", "ssl-mode": "sslmode", "program_name": "application_name"},
    modes={
        "disabled": "disable",
        "preferred": "prefer",
        "required": "require",
        "verify_ca": "verify-ca",
        "verify_identity": "verify-full",
    },
)
_URL = re.compile(
    r"(?:mysql|mariadb)://"
    r"(?:(?P<user>[^:@/?#]*)(?::(?P<password>[^@/?#]*))?@)?"
    r"(?P<host>\[[^\]@/?#]*\]|[^:@/?#]*)(?::(?P<port>[^@/?#]*))?"
    r"(?:/(?P<database>[^/?#]*))?(?:\?(?P<options>[^#]*))?",
    re.IGNORECASE,
)
_NO_CODE = re.compile("%(?![0-9A-Fa-f]{2})")


def read_mysql(given: str | Mapping[str, Any]) -> Target:
    """The target of a connection. ActionError of kind config for what is refused; no message quotes the text, as it holds a
    password."""
    return _RULES.target(_from_text(given) if isinstance(given, str) else given)


def _from_text(text: str) -> dict[str, str]:
    found = _URL.fullmatch(text.strip())
    if found is None or _NO_CODE.search(text):
        raise _unreadable()
    try:
        parts = {key: unquote(value, errors="strict") for key, value in found.groupdict().items() if value and key != "options"}
        options = parse_qsl(
            found["options"] or "", keep_blank_values=True, strict_parsing=bool(found["options"]), errors="strict"
        )
    except ValueError:
        raise _unreadable() from None
    if twice := next((key for key, _ in options if key in parts or [name for name, _ in options].count(key) > 1), None):
        raise ActionError("config", f"connection: {twice!r:.50} is given twice")
    return {**parts, **dict(options)}


def _unreadable() -> ActionError:
    remedy = "write mysql://user:password@host:3306/database, with signs such as @ in the password as %40"
    return ActionError("config", "connection is not a URL of MySQL", hint=remedy)
