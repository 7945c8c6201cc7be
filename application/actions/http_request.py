"""The action `http_request`: one HTTP request, its answer as plain data."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from application.engine.action import Action, ActionContext, ActionError, Key
from domain.duration import parse_duration

if TYPE_CHECKING:
    import httpx

    from application.actions.http_client import Answer, Ask, ReadBody
    from application.actions.http_headers import Pairs

_SECONDS = 30.0
_REDIRECTS = 5
_MOST_REDIRECTS = 50
_METHOD = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}")
_TRUTHS = {True: True, False: False, "true": True, "false": False}


async def run(config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
    """Send the request and read its answer, within the time-out."""
    from application.actions.http_answer import result_of

    seconds = read_seconds(config.get("timeout"), _SECONDS)
    return result_of(await within(seconds, exchange(config, context), context), context)


async def within(seconds: float, answer: Any, context: ActionContext) -> Answer:
    """The answer, or ActionError `timeout`; the whole of it counts: connecting, redirects and the body."""
    import asyncio  # loaded when first used: validating needs none

    limit = min(seconds, context.remaining())
    try:
        async with asyncio.timeout(limit):
            given: Answer = await answer
            return given
    except TimeoutError:
        raise ActionError("timeout", f"no whole answer within {limit:g} s", hint="raise timeout") from None


async def exchange(config: Mapping[str, Any], context: ActionContext, read: ReadBody | None = None) -> Answer:
    """Ask as the config says; the request is shown in the context's exchange before it is sent. `read` reads the bodies."""
    from application.actions.http_client import client_of
    from application.actions.http_reading import read_body

    ask = await prepared(config, context)
    return await client_of(context).ask(ask, shows_request(context), read or read_body)


async def prepared(config: Mapping[str, Any], context: ActionContext) -> Ask:
    """The request that the config describes, with its credentials; a token for it may be asked for here."""
    from application.actions.http_auth import credentials
    from application.actions.http_client import client_of

    ask = _ask(config, context)

    def for_token(method: str, url: httpx.URL, headers: Pairs, content: bytes) -> Ask:
        return _common(config, context, method, url, headers, content)

    return _signed(ask, await credentials(config.get("auth"), context, client_of(context), for_token))


def shows_request(context: ActionContext) -> Callable[[httpx.Request], None]:
    """Shows the first request in the context's exchange, which begins anew."""
    from application.actions.http_answer import show_request

    def sent(request: httpx.Request) -> None:
        if "request" not in context.exchange:
            show_request(request, context)

    context.exchange.clear()
    return sent


def read_seconds(value: Any, default: float) -> float:
    """A duration above 0. ActionError `config` for any other."""
    if value is None:
        return default
    try:
        seconds = parse_duration(value)
    except ValueError as error:
        raise ActionError("config", f"timeout: {error}") from None
    if seconds <= 0:
        raise ActionError("config", "timeout must be more than 0")
    return seconds


def _ask(config: Mapping[str, Any], context: ActionContext) -> Ask:
    """The request but for its credentials; those in the URL are moved to a header."""
    from dataclasses import replace

    from application.actions import http_headers
    from application.actions.http_auth import basic
    from application.actions.http_bodies import read_body
    from application.actions.http_url import bare, read_url, user_of, with_query

    url = read_url(config.get("url"), context)
    user, body = user_of(url), read_body(config)
    headers = http_headers.read_headers(config.get("headers"), context.headers)
    left_out = http_headers.left_out(config.get("headers"))
    if user is not None and config.get("auth") is None and not http_headers.has(headers, "authorization"):
        headers += basic(*user, context).headers
    if body.content_type and not http_headers.has(headers, "content-type") and "content-type" not in left_out:
        headers.append(("Content-Type", body.content_type))
    url = with_query(bare(url), config.get("params"), config.get("query"))
    ask = _common(config, context, _method(config), url, headers, body.content)
    redirects = _redirects(config) if _truth(config, "follow_redirects", True) else 0
    return replace(ask, cookies=_cookies(config), left_out=left_out, max_redirects=redirects)


def _common(
    config: Mapping[str, Any], context: ActionContext, method: str, url: httpx.URL, headers: Pairs, content: bytes
) -> Ask:
    """A request over the step's TLS, proxy and version."""
    from application.actions.http_client import Ask, client_of
    from application.actions.http_tls import read_certificate

    two, proxy = _truth(config, "http2", False), _proxy(config, context)
    if two and proxy is not None:
        raise ActionError("config", "http2 does not go through a proxy", hint="leave one of the two out")
    certificate = read_certificate(config.get("cert"))
    for secret in (certificate.key, certificate.password):
        if secret:
            context.secrets(secret)
    protocols = ("h2", "http/1.1") if two else ("http/1.1",)
    tls = client_of(context).contexts.choose(_truth(config, "verify_ssl", True), certificate, protocols)
    return Ask(method, url, headers, content, tls=tls, proxy=proxy, http2=two)


def _signed(ask: Ask, given: Any) -> Ask:
    """The request with its credentials; they win over a header of the same name."""
    from dataclasses import replace

    from application.actions.http_url import with_query

    names = {name.lower() for name, _ in given.headers}
    headers = [pair for pair in ask.headers if pair[0].lower() not in names] + given.headers
    return replace(ask, url=with_query(ask.url, given.query), headers=headers, digest=given.digest)


def _proxy(config: Mapping[str, Any], context: ActionContext) -> httpx.URL | None:
    from application.actions.http_url import read_url, user_of

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
        raise ActionError("config", f"not a method: {str(method)[:40]!r}")
    return method.upper()


def _cookies(config: Mapping[str, Any]) -> dict[str, str]:
    from application.actions.http_headers import value_checked
    from application.actions.http_url import query_pairs

    cookies = {name: value_checked("Cookie", value) for name, value in query_pairs(config.get("cookies"))}
    if any(re.search(r"[;\s=]", name) or ";" in value for name, value in cookies.items()):
        raise ActionError("config", "a cookie has neither `;` in its value nor `=` or blanks in its name")
    return cookies


def _redirects(config: Mapping[str, Any]) -> int:
    value = config.get("max_redirects", _REDIRECTS)
    number = int(value) if isinstance(value, str) and value.isdecimal() and len(value) < 4 else value
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number <= _MOST_REDIRECTS:
        raise ActionError("config", f"max_redirects must be a number from 0 to {_MOST_REDIRECTS}")
    return number


def _truth(config: Mapping[str, Any], name: str, default: bool) -> bool:
    value = config.get(name, default)
    value = default if value is None else value
    if not isinstance(value, bool | str) or value not in _TRUTHS:
        raise ActionError("config", f"{name} must be true or false")
    return _TRUTHS[value]


HTTP_REQUEST = Action(
    name="http_request",
    aliases=("http",),
    description="Sends one HTTP request. Steps of an execution share connections and cookies. Nothing is sent twice by itself.",
    keys={
        "method": Key(("string",), required=True, description="GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS or another."),
        "url": Key(("string",), required=True, description="http:// or https://; user:password@ becomes basic auth."),
        "headers": Key(("object",), description="Names and values; a list repeats a header, null leaves a default one out."),
        "params": Key(("object",), description="Added to the query of the URL; a list repeats a name, null is left out."),
        "query": Key(("object",), description="The same as params."),
        "body": Key(description="Text goes as it is; any other value as JSON."),
        "json": Key(description="Any value, as JSON."),
        "form": Key(("object", "string"), description="Names and values, as application/x-www-form-urlencoded."),
        "multipart": Key(
            ("object", "array"),
            description="Parts by name, as multipart/form-data: a value, or an object of content or base64, filename and"
            " content_type. A list of such objects, each with a name, keeps the order.",
        ),
        "graphql": Key(("object", "string"), description="query, variables, operation_name; as JSON."),
        "auth": Key(
            ("object",),
            description="type: basic (username, password), bearer (token), api_key (key, name, in: header or query), digest"
            " (username, password), oauth2 (token_url, client_id, client_secret, scope, audience, client_auth: basic or body).",
        ),
        "cookies": Key(("object",), description="Sent by this step beside those that answers set before."),
        "timeout": Key(("duration",), description="For the whole exchange, redirects and body included; 30s by default."),
        "follow_redirects": Key(("boolean",), description="True by default. To another origin go no header, cookie and body."),
        "max_redirects": Key(("integer",), description="5 by default, at most 50."),
        "verify_ssl": Key(("boolean",), description="True by default."),
        "cert": Key(
            ("string", "object"),
            description="PEM text of the client's certificate and key, or an object: certificate, key, password, and ca: the"
            " authorities to trust instead of the machine's.",
        ),
        "proxy": Key(("string",), description="http://user:password@host:port; proxies of the environment are not used."),
        "http2": Key(("boolean",), description="Offers HTTP/2; on http:// it is spoken at once. Needs the extra http2."),
    },
    run=run,
    result={
        "status": "The status code.",
        "body": "The value, when the content type is JSON; else the text.",
        "text": "The body as text.",
        "headers": "By name. A repeated header is one text joined by `, `; several Set-Cookie are a list.",
        "cookies": "What the answer, and redirects on the way to it, have set: values by name.",
        "time": "Milliseconds from the beginning to the end of the body.",
        "size": "Bytes of the body, decompressed.",
        "url": "Where the answer came from, after redirects.",
        "timings": "Milliseconds: dns, connect and tls (0 on a kept connection), first_byte (from connected to the headers),"
        " of the last request; total.",
        "http_version": "HTTP/1.1 or HTTP/2.",
        "truncated": "Whether the body was longer than what is kept (1 MiB); it is not parsed then.",
        "sha256": "The SHA-256 of the whole body, in hex.",
    },
)
