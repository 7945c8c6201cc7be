"""The HTTP client of one execution: one pool of connections, its cookies, and our own loop over redirects."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from application.actions import http_headers
from application.actions.http_errors import http2_missing
from application.actions.http_messages import Pairs, Request, Response, Transport
from application.actions.http_one import HttpOne, WebSocketOptions
from application.actions.http_reading import Body, read_body
from application.actions.http_tls import MARKS, Contexts, Marks, Tls
from application.actions.http_url import Url, bare, judge_number, judge_target, origin_of, parse_url, user_of
from application.engine.action import ActionContext, ActionError
from domain.limits import Limits
from domain.values import dataclass

if TYPE_CHECKING:
    import aiohttp

    from application.actions.http_cookies import Cookies
    from application.actions.http_digest import Digest
    from application.actions.http_two import HttpTwo

_REDIRECTS = (301, 302, 303, 307, 308)
_LENGTH_ALWAYS = ("POST", "PUT", "PATCH")
_RESOURCE = "http:client"
ReadBody = Callable[[Response, Limits], Awaitable[Body]]
"""Reads the body of an answer within the limits."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One request as the step describes it; `url` may hold neither userinfo nor fragment."""

    method: str
    url: Url
    headers: Pairs
    content: bytes = b""
    cookies: Mapping[str, str] | None = None
    left_out: frozenset[str] = frozenset()
    max_redirects: int = 0
    digest: Digest | None = None
    tls: Tls | None = None
    proxy: Url | None = None
    http2: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """The last answer, what was set on the way to it, how long it took in milliseconds, and the redirects before it: status
    and where to."""

    response: Response
    body: Body
    url: Url
    cookies: dict[str, str]
    timings: dict[str, float]
    redirects: tuple[tuple[int, str], ...] = ()


class HttpClient:
    """What the HTTP steps of one execution share. Tokens of oauth2 are kept until they end. Connections are shared with the
    other executions under the same egress policy, but for those that know a key of this one's."""

    def __init__(self, context: ActionContext) -> None:
        self._policy = context.egress
        self._limits = context.limits
        self._shared = shared_one(context)
        self._own: HttpOne | None = None
        self._two: HttpTwo | None = None
        self._cookies: Cookies | None = None
        self.contexts = Contexts()
        self.tokens: dict[tuple[str, ...], tuple[str, float]] = {}

    async def close(self) -> None:
        """Close the connections that are not shared."""
        if self._own is not None:
            await self._own.close()
        if self._two is not None:
            await self._two.close()

    async def ask(self, ask: Ask, sent: Callable[[Request], None] = lambda request: None, read: ReadBody = read_body) -> Answer:
        """The answer, redirects followed; `sent` is told each request before it is sent, `read` reads each body. ActionError
        says why there is no answer."""
        begun = time.monotonic()
        found, hops = _Found(), list[tuple[int, str]]()
        for hop in range(ask.max_redirects + 1):
            response, body, marks = await self._with_digest(ask, sent, found, read)
            location = response.header(b"location") if response.status in _REDIRECTS and ask.max_redirects else ""
            if not location:
                timings = marks.timings()
                timings["total"] = round((time.monotonic() - begun) * 1000, 3)
                return Answer(response, body, ask.url, found.values(), timings, tuple(hops))
            if hop < ask.max_redirects:
                hops.append((response.status, location))
                ask = _redirected(ask, response.status, location)
        raise ActionError("protocol", f"more than {ask.max_redirects} redirects", hint="raise max_redirects")

    async def upgrade(
        self, ask: Ask, sent: Callable[[Request], None], options: WebSocketOptions
    ) -> aiohttp.ClientWebSocketResponse:
        """An open WebSocket (RFC 6455). ActionError says why there is none; no redirect is followed."""
        request = self._request(ask)
        sent(request)
        marks = await self._judged(ask)
        token = MARKS.set(marks)
        try:
            return await self._one(ask).websocket(request, options)
        finally:
            MARKS.reset(token)

    async def _with_digest(
        self, ask: Ask, sent: Callable[[Request], None], found: _Found, read: ReadBody
    ) -> tuple[Response, Body, Marks]:
        if ask.digest is None:
            return await self._once(ask, self._request(ask), sent, found, read)
        exchange = ask.digest.exchange(ask.method, ask.url)
        while True:
            answered = await self._once(ask, self._request(ask, exchange.authorization), sent, found, read)
            if not exchange.challenged(answered[0]):
                return answered

    async def _once(
        self, ask: Ask, request: Request, sent: Callable[[Request], None], found: _Found, read: ReadBody
    ) -> tuple[Response, Body, Marks]:
        sent(request)
        answered = await self._send(ask, request, read)
        response = answered[0]
        if any(name.lower() == b"set-cookie" for name, _ in response.headers):
            self._take_cookies(ask.url, response, found)
        return answered

    async def _send(self, ask: Ask, request: Request, read: ReadBody) -> tuple[Response, Body, Marks]:
        marks = await self._judged(ask)
        token = MARKS.set(marks)
        try:
            response = await self._transport(ask).send(request)
            try:
                return response, await read(response, self._limits), marks
            finally:
                await response.close()
        finally:
            MARKS.reset(token)

    async def _judged(self, ask: Ask) -> Marks:
        """What the resolver cannot judge is judged here. The marks are the request's while they are set."""
        await judge_number(self._policy, ask.url)
        if ask.proxy is not None:
            await judge_number(self._policy, ask.proxy)
            await judge_target(self._policy, ask.url)
        return Marks((ask.proxy or ask.url).host, time.monotonic())

    def _one(self, ask: Ask) -> HttpOne:
        own = (ask.tls is not None and ask.tls.own) or self._policy.name != self._policy.base.name
        return self._own_one() if own else self._shared

    def _transport(self, ask: Ask) -> Transport:
        if not ask.http2:
            return self._one(ask)
        if self._two is None:
            from importlib.util import find_spec

            if find_spec("h2") is None:
                raise http2_missing()
            from application.actions.http_two import HttpTwo

            self._two = HttpTwo(self._policy)
        return self._two

    def _own_one(self) -> HttpOne:
        if self._own is None:
            self._own = HttpOne(self._policy, self._limits)
        return self._own

    def _request(self, ask: Ask, authorization: str = "") -> Request:
        """The request with all its headers; they are sent in this order."""
        named = http_headers.names_of(ask.headers)
        own = http_headers.with_defaults(ask.headers, named | ask.left_out)
        if authorization:
            own = [*http_headers.without(own, "authorization"), ("Authorization", authorization)]
        headers = [("Host", ask.url.netloc)] if "host" not in named else []
        if ask.content or ask.method in _LENGTH_ALWAYS:
            headers.append(("Content-Length", str(len(ask.content))))
        headers += own
        tunnel = _authorize_proxy(ask, headers) if ask.proxy is not None else []
        if "cookie" not in named:
            headers += self._cookie_header(ask)
        secure = ask.url.scheme == "https" or (ask.proxy is not None and ask.proxy.scheme == "https")
        tls = ask.tls.context() if secure and ask.tls is not None else None
        proxy = bare(ask.proxy) if ask.proxy is not None else None
        return Request(ask.method, ask.url, headers, ask.content, tls, proxy, tunnel)

    def _cookie_header(self, ask: Ask) -> Pairs:
        """The cookies kept for this URL, and the step's own, which win."""
        own = ask.cookies or {}
        kept = self._cookies.header(ask.url) if self._cookies is not None else ""
        pairs = [pair for pair in kept.split("; ") if pair and pair.partition("=")[0] not in own]
        pairs += [f"{name}={value}" for name, value in own.items()]
        return [("Cookie", "; ".join(pairs))] if pairs else []

    def _take_cookies(self, url: Url, response: Response, found: _Found) -> None:
        from application.actions.http_cookies import Cookies

        self._cookies = self._cookies or Cookies()
        self._cookies.take(url, response)
        found.cookies = found.cookies or Cookies()
        found.cookies.take(url, response)


@dataclass(slots=True)
class _Found:
    """What the answers to one request have set, those that redirect included."""

    cookies: Cookies | None = None

    def values(self) -> dict[str, str]:
        """Values by name."""
        return {} if self.cookies is None else self.cookies.values()


def client_of(context: ActionContext) -> HttpClient:
    """The client of this execution, made when first asked for."""
    client: HttpClient | None = context.resources.get(_RESOURCE)
    if client is None:
        client = context.resources[_RESOURCE] = HttpClient(context)
    return client


def shared_one(context: ActionContext) -> HttpOne:
    """The pool of this process for the policy that it gave the execution."""
    policy = context.egress.base
    key = f"http:{policy.name}"
    pool: HttpOne | None = context.shared.get(key)
    if pool is None:
        pool = context.shared[key] = HttpOne(policy, context.limits)
    return pool


def _redirected(ask: Ask, status: int, location: str) -> Ask:
    """The next request. To another origin goes nothing that the step gave: no header, cookie, credential or body."""
    try:
        target = parse_url(location.strip(), ask.url)
    except ActionError as error:
        raise ActionError("protocol", f"a redirect that cannot be followed: {error.message}") from None
    again = replace(ask, url=bare(target))
    if (status == 303 and ask.method != "HEAD") or (status in (301, 302) and ask.method == "POST"):
        headers = [pair for pair in ask.headers if not pair[0].lower().startswith("content-")]
        again = replace(again, method="GET", content=b"", headers=headers)
    if origin_of(target) == origin_of(ask.url):
        return again
    if again.content:
        raise ActionError(
            "protocol",
            f"a redirect ({status}) that would send the body to {target.host}",
            hint="set follow_redirects: false and send it there in a step of its own",
        )
    return replace(again, headers=[], cookies=None, digest=None)


def _authorize_proxy(ask: Ask, headers: Pairs) -> Pairs:
    """To a tunnel the proxy's credentials go with CONNECT, whose headers are given back; else with the request itself."""
    user = user_of(ask.proxy) if ask.proxy is not None else None
    if user is None:
        return []
    pair = ("Proxy-Authorization", http_headers.basic_value(*user))
    if ask.url.scheme == "https":
        return [pair]
    headers.append(pair)
    return []
