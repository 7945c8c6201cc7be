"""Errors of MySQL and MariaDB as errors of a step: what kind, and where in the query."""

from __future__ import annotations

import os
import re
import ssl

from pymysql.err import Error

from application.actions.database_target import Target
from application.actions.sql_placeholders import Sql, place_of
from application.engine.action import ActionError
from application.engine.errors import CONNECTING

_AUTH = (1044, 1045, 1130, 1251, 1396, 1698, 1862, 2049, 2054, 2059, 2061, 3118)
_TLS = (2026, 3159)
_LOCAL = (1148, 3948, 4166)
_LATE = (1205, 1317, 1969, 3024)
_LOST = (0, 1053, 1152, 1927, 2006, 2013, 2014, 2055, 4031)
_NEAR = re.compile(r"(near '(.+)') at line \d+$", re.DOTALL)
_UNKNOWN = re.compile(r"^(?:Unknown column|Unknown table|FUNCTION|PROCEDURE|Table) '?(?:[\w$]+\.)*([\w$]+)'? ")
INTERRUPTED = 1317


def code_of(error: BaseException | None) -> int:
    """The number of a MySQL error, -1 for anything else."""
    first = error.args[0] if isinstance(error, Error) and error.args else -1
    return first if isinstance(first, int) else -1


def connecting_failed(error: Exception, target: Target) -> ActionError:
    """The error of a connection that did not come about."""
    if isinstance(error, ActionError):
        return error
    code, text = code_of(error), _text(error)
    cause = getattr(error, "original_exception", error)
    if isinstance(error, RuntimeError):
        return ActionError("auth", f"no connection to {target.label}: {text}")  # a way to log in that needs another package
    if not isinstance(error, OSError) and code < 0:
        return ActionError("protocol", f"{target.label} does not answer as MySQL does: {text}")
    kind = "connection_error"
    if code in _TLS or isinstance(cause, ssl.SSLError):
        kind = "tls"
    elif code in _AUTH:
        kind = "auth"
    elif isinstance(cause, ConnectionRefusedError):
        kind = "connection_refused"
    return ActionError(kind, f"no connection to {target.label}: {text}", hint=CONNECTING.get(kind))


def query_failed(error: Exception, sql: Sql) -> ActionError:
    """The error of a query: the server's message, its place in the query as written, its SQLSTATE and number."""
    if isinstance(error, ActionError):
        return error
    code, text = code_of(error), _text(error)
    if isinstance(error, RuntimeError) or code in _LOCAL:
        return ActionError("config", "LOAD DATA LOCAL is off: it would read a file of the machine that runs the step")
    if code < 0:
        return ActionError("protocol", f"the server does not answer as MySQL does: {text}")
    if code in _LOST:
        return ActionError("connection_error", f"the connection was lost during the query: {text}")
    state = getattr(error, "sqlstate", None)
    numbers = f"SQLSTATE {state}, error {code}" if state else f"error {code}"
    return ActionError("timeout" if code in _LATE else "query", f"{_placed(text, sql)} ({numbers})")


def _text(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno and not isinstance(error, ssl.SSLError):
        return os.strerror(error.errno)
    message = error.args[1] if isinstance(error, Error) and len(error.args) > 1 else error
    return str(message).strip() or type(error).__name__


def _placed(text: str, sql: Sql) -> str:
    """The message with the place in the whole query; the server counts lines from where a statement begins."""
    near = _NEAR.search(text)
    if near and (place := place_of(sql, near[2])):
        return text[: near.end(1)] + place
    unknown = _UNKNOWN.search(text)
    return text + (place_of(sql, unknown[1], whole=True) if unknown else "")
