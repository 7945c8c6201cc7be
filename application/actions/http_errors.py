"""What went wrong on the wire, as an ActionError of its own kind: aiohttp, httpcore and the sockets below them."""

from __future__ import annotations

import errno
import ssl
from collections.abc import Iterator

from application.engine.action import ActionError

_UNREACHABLE = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL)
_HTTP2_HINT = "install the extra: pip install 'testmesh[http2]'"


def http2_missing() -> ActionError:
    """HTTP/2 is asked for and its library is not there."""
    return ActionError("config", "http2 needs the package h2", hint=_HTTP2_HINT)


def too_large(message: str) -> ActionError:
    """An answer over a limit."""
    return ActionError("response_too_large", message, hint="the limits protect the worker; ask for less at a time")


def of_aiohttp(error: Exception, target: str) -> ActionError:
    """The error of a request to `target` (host:port) over aiohttp."""
    import aiohttp
    from aiohttp import http_exceptions

    if isinstance(error, ActionError):
        return error
    if isinstance(error, aiohttp.ClientSSLError):
        return _tls(error.os_error, target)
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return _dropped(target)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return ActionError("connection_error", f"the proxy refused to connect to {target}: {error.status} {error.message}")
    if isinstance(error, aiohttp.ClientPayloadError):
        return ActionError("connection_error", f"the answer of {target} ended early: {_line(error)}")
    if isinstance(error, aiohttp.ClientResponseError | http_exceptions.HttpProcessingError):
        return _malformed(error, target)
    if isinstance(error, aiohttp.InvalidURL):
        return ActionError("config", f"not a URL that can be asked: {_line(error)}")
    return of_socket(error, target)


def of_httpcore(error: Exception, target: str) -> ActionError:
    """The error of a request to `target` over httpcore."""
    import httpcore

    if isinstance(error, ActionError):
        return error
    if isinstance(error, httpcore.TimeoutException):
        return ActionError("timeout", f"{target} did not answer in time")
    if isinstance(error, httpcore.RemoteProtocolError) and "disconnected" in str(error):
        return _dropped(target)
    if isinstance(error, httpcore.ProtocolError):
        return ActionError("protocol", f"{target} does not speak this HTTP: {_line(error)}")
    return of_socket(error, target)


def of_socket(error: BaseException, target: str) -> ActionError:
    """The error of connecting to, writing to or reading from `target`."""
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLError):
            return _tls(cause, target)
        if isinstance(cause, OSError) and cause.errno == errno.ECONNREFUSED:
            return ActionError("connection_refused", f"{target} refused the connection", hint="is the server running there?")
        if isinstance(cause, TimeoutError) or (isinstance(cause, OSError) and cause.errno == errno.ETIMEDOUT):
            return ActionError("timeout", f"{target} did not answer in time")
        if isinstance(cause, OSError) and cause.errno in _UNREACHABLE:
            return ActionError("connection_error", f"{target} cannot be reached: {cause.strerror}")
    if f"[Errno {errno.ECONNREFUSED}]" in str(error):
        return ActionError("connection_refused", f"{target} refused the connection", hint="is the server running there?")
    return ActionError("connection_error", f"the connection to {target} failed: {_line(error)}")


def _dropped(target: str) -> ActionError:
    return ActionError("connection_error", f"{target} closed the connection without an answer; it was not sent again")


def _tls(error: BaseException, target: str) -> ActionError:
    reason = getattr(error, "verify_message", "") or getattr(error, "reason", "") or _line(error)
    certificate = isinstance(error, ssl.CertificateError)
    hint = "cert.ca names another authority; verify_ssl: false checks nothing" if certificate else "does the port speak TLS?"
    return ActionError("tls", f"no TLS connection to {target}: {reason}", hint=hint)


def _malformed(error: Exception, target: str) -> ActionError:
    message = _line(error)
    if "Too many headers" in message or "Got more than" in message or "too long" in message.lower():
        return too_large(f"the headers of {target} are too large")
    return ActionError("protocol", f"{target} does not answer in HTTP: {message}")


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    for _ in range(10):
        if seen is None:
            return
        yield seen
        seen = getattr(seen, "os_error", None) or seen.__cause__ or seen.__context__


def _line(error: BaseException) -> str:
    """The first line of the error's own words."""
    message = str(getattr(error, "message", "") or error or type(error).__name__)
    return message.strip().splitlines()[0][:300]
