"""One exchange over HTTP as the config of a step describes it: from its keys to the answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from application.actions import http_headers
from application.actions.http_answer import result_of, show_request
from application.actions.http_auth import Credentials, basic, credentials
from application.actions.http_bodies import read_body
from application.actions.http_client import Answer, Ask, HttpClient, ReadBody, client_of
from application.actions.http_messages import Pairs, Request
from application.actions.http_reading import read_body as read_answer
from application.actions.http_tls import NO_CERTIFICATE, Tls, client_certificate, read_certificate
from application.actions.http_url import Url, bare, query_pairs, read_url, user_of, with_query
from application.engine.action import ActionContext, ActionError

__all__ = ["asked", "prepared", "result_of", "shows_request"]

_WAYS = frozenset({"http2", "proxy", "cert", "client_cert", "client_key", "verify_ssl"})
_REDIRECTS = 5
_MOST_REDIRECTS = 50
_METHOD = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")
_TRUTHS = {True: True, False: False, "true": True, "false": False}


async def asked(config: Mapping[str, Any], context: ActionContext, read: ReadBody = read_answer) -> Answer:
    """Ask as the config says; the request is shown in the context's exchange before it is sent. `read` reads the bodies."""
    ask = await prepared(config, context)
    return await client_of(context).ask(ask, shows_request(context, config.get("body_file")), read)


async def prepared(config: Mapping[str, Any], context: ActionContext) -> Ask:
    """The request that the config describes, with its credentials; a token for it may be asked for here."""
    client = client_of(context)
    way = _way(config, context, client)
    ask = _ask(config, context, way)
    if config.get("auth") is not None:

        def for_token(method: str, url: Url, headers: Pairs, content: bytes) -> Ask:
            return Ask(method, url, headers, content, tls=way.tls, proxy=way.proxy, http2=way.http2)

        ask = _signed(ask, await credentials(config["auth"], context, client, for_token))
    return ask


def shows_request(context: ActionContext, file: Any = None) -> Callable[[Request], None]:
    """Shows the first request in the context's exchange, which begins anew, and the file that its body comes from."""

    def sent(request: Request) -> None:
        if "request" not in context.exchange:
            show_request(request, context)
            if file is not None:
                context.exchange["request"]["body_file"] = file

    context.exchange.clear()
    return sent


class _Way(NamedTuple):
    """How requests of the step travel."""

    tls: Tls
    proxy: Url | None
    http2: bool


def _way(config: Mapping[str, Any], context: ActionContext, client: HttpClient) -> _Way:
    if _WAYS.isdisjoint(config):
        return _Way(client.contexts.choose(True, NO_CERTIFICATE, ("http/1.1",)), None, False)
    two, proxy = _truth(config, "http2", False), _proxy(config, context)
    if two and proxy is not None:
        raise ActionError("config", "http2 does not go through a proxy", hint="leave one of the two out")
    certificate = read_certificate(client_certificate(config, context))
    for secret in (certificate.key, certificate.password):
        if secret:
            context.secrets(secret)
    protocols = ("h2", "http/1.1") if two else ("http/1.1",)
    return _Way(client.contexts.choose(_truth(config, "verify_ssl", True), certificate, protocols), proxy, two)


def _ask(config: Mapping[str, Any], context: ActionContext, way: _Way) -> Ask:
    """The request but for `auth`; credentials in the URL are moved to a header."""
    url, given = read_url(config.get("url"), context), config.get("headers")
    user, body = user_of(url), read_body(config, context)
    headers, left_out = http_headers.read_headers(given, context.headers), http_headers.left_out(given)
    if user is not None and config.get("auth") is None and not http_headers.has(headers, "authorization"):
        headers += basic(*user, context).headers
    if body.content_type and not http_headers.has(headers, "content-type") and "content-type" not in left_out:
        headers.append(("Content-Type", body.content_type))
    return Ask(
        _method(config),
        with_query(bare(url), config.get("params")),
        headers,
        body.content,
        _cookies(config),
        left_out,
        _redirects(config) if _truth(config, "follow_redirects", True) else 0,
        tls=way.tls,
        proxy=way.proxy,
        http2=way.http2,
    )


def _signed(ask: Ask, given: Credentials) -> Ask:
    """The request with its credentials; they win over a header of the same name."""
    names = {name.lower() for name, _ in given.headers}
    headers = [pair for pair in ask.headers if pair[0].lower() not in names] + given.headers
    return replace(ask, url=with_query(ask.url, given.query), headers=headers, digest=given.digest)


def _proxy(config: Mapping[str, Any], context: ActionContext) -> Url | None:
    if not config.get("proxy"):
        return None
    proxy = read_url(config["proxy"], context)
    user = user_of(proxy)
    if user is not None and user[1]:
        context.secrets(user[1])
    return proxy


def _method(config: Mapping[str, Any]) -> str:
    method = config.get("method", "GET")
    if not isinstance(method, str) or not _METHOD.fullmatch(method) or method.upper() == "CONNECT":
        raise ActionError("config", f"not a method: {str(method)[:40]!r}", key="method")
    return method.upper()


def _cookies(config: Mapping[str, Any]) -> dict[str, str]:
    if config.get("cookies") is None:
        return {}
    cookies = {name: http_headers.value_checked("Cookie", value) for name, value in query_pairs(config.get("cookies"))}
    if any(re.search(r"[;\s=\x00-\x1f\x7f]", name) or ";" in value for name, value in cookies.items()):
        raise ActionError("config", "a cookie has neither `;` in its value nor `=` or blanks in its name")
    return cookies


def _redirects(config: Mapping[str, Any]) -> int:
    if "max_redirects" not in config:
        return _REDIRECTS
    value = config["max_redirects"]
    number = int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 4 else value
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= _MOST_REDIRECTS:
        raise ActionError("config", f"max_redirects must be a number from 0 to {_MOST_REDIRECTS}")
    return number


def _truth(config: Mapping[str, Any], name: str, default: bool) -> bool:
    value = config.get(name)
    if value is None:
        return default
    if not isinstance(value, bool | str) or value not in _TRUTHS:
        raise ActionError("config", f"{name} must be true or false")
    return _TRUTHS[value]
