"""The HTTP client of one execution: one pool of connections, its cookies, and our own loop over redirects."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import httpx

from application.actions import http_headers
from application.actions.http_errors import http2_missing
from application.actions.http_headers import Pairs
from application.actions.http_one import HttpOne, WebSocketOptions
from application.actions.http_reading import Body, read_body
from application.actions.http_tls import MARKS, Contexts, Marks, Tls
from application.actions.http_url import bare, checked_url, judge_number, judge_target, origin_of, user_of
from application.engine.action import ActionContext, ActionError
from domain.limits import Limits

if TYPE_CHECKING:
    import aiohttp

    from application.actions.http_two import HttpTwo

_REDIRECTS = (301, 302, 303, 307, 308)
_RESOURCE = "http:client"
ReadBody = Callable[[httpx.Response, Limits], Awaitable[Body]]
"""Reads the body of an answer within the limits."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One request as the step describes it; `url` may hold neither userinfo nor fragment."""

    method: str
    url: httpx.URL
    headers: Pairs
    content: bytes = b""
    cookies: Mapping[str, str] | None = None
    left_out: frozenset[str] = frozenset()
    max_redirects: int = 0
    digest: httpx.DigestAuth | None = None
    tls: Tls | None = None
    proxy: httpx.URL | None = None
    http2: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """The last answer, what was set on the way to it, and how long it took: milliseconds."""

    response: httpx.Response
    body: Body
    url: httpx.URL
    cookies: Mapping[str, str]
    timings: Mapping[str, float]


class HttpClient:
    """What the HTTP steps of one execution share. Tokens of oauth2 are kept until they end. Connections are shared with the
    other executions under the same egress policy, but for those that know a key of this one's."""

    def __init__(self, context: ActionContext) -> None:
        self._policy = context.egress
        self._limits = context.limits
        self._shared = shared_one(context)
        self._own: HttpOne | None = None
        self._two: HttpTwo | None = None
        self._cookies = httpx.Cookies()
        self.contexts = Contexts()
        self.tokens: dict[tuple[str, ...], tuple[str, float]] = {}

    async def close(self) -> None:
        """Close the connections that are not shared."""
        if self._own is not None:
            await self._own.aclose()
        if self._two is not None:
            await self._two.aclose()

    async def ask(
        self, ask: Ask, sent: Callable[[httpx.Request], None] = lambda request: None, read: ReadBody = read_body
    ) -> Answer:
        """The answer, redirects followed; `sent` is told each request before it is sent, `read` reads each body. ActionError
        says why there is no answer."""
        begun = time.monotonic()
        found = httpx.Cookies()
        for hop in range(ask.max_redirects + 1):
            response, body, marks = await self._with_digest(ask, sent, found, read)
            location = response.headers.get("location")
            if response.status_code not in _REDIRECTS or not location or not ask.max_redirects:
                total = round((time.monotonic() - begun) * 1000, 3)
                return Answer(response, body, ask.url, _values(found), {**marks.timings(), "total": total})
            if hop < ask.max_redirects:
                ask = _redirected(ask, response.status_code, location)
        raise ActionError("protocol", f"more than {ask.max_redirects} redirects", hint="raise max_redirects")

    async def _with_digest(
        self, ask: Ask, sent: Callable[[httpx.Request], None], found: httpx.Cookies, read: ReadBody
    ) -> tuple[httpx.Response, Body, Marks]:
        request = self._request(ask)
        flow = ask.digest.auth_flow(request) if ask.digest is not None else None
        request = next(flow) if flow is not None else request
        while True:
            sent(request)
            response, body, marks = await self._send(ask, request, read)
            if "set-cookie" in response.headers:
                self._cookies.extract_cookies(response)
                found.extract_cookies(response)
            try:
                if flow is None:
                    return response, body, marks
                request = flow.send(response)
            except StopIteration:
                return response, body, marks
            except httpx.ProtocolError as error:
                raise ActionError("protocol", f"the digest challenge cannot be answered: {error}") from None

    async def upgrade(
        self, ask: Ask, sent: Callable[[httpx.Request], None], options: WebSocketOptions
    ) -> aiohttp.ClientWebSocketResponse:
        """An open WebSocket (RFC 6455). ActionError says why there is none; no redirect is followed."""
        request = self._request(ask)
        sent(request)
        async with self._judged(ask):
            return await self._one(ask).websocket(request, options)

    async def _send(self, ask: Ask, request: httpx.Request, read: ReadBody) -> tuple[httpx.Response, Body, Marks]:
        async with self._judged(ask) as marks:
            response = await self._transport(ask).handle_async_request(request)
            try:
                response.request = request
                return response, await read(response, self._limits), marks
            finally:
                await response.aclose()

    @asynccontextmanager
    async def _judged(self, ask: Ask) -> AsyncIterator[Marks]:
        """What the resolver cannot judge is judged here; inside the block connections are marked as this request's."""
        await judge_number(self._policy, ask.url)
        if ask.proxy is not None:
            await judge_number(self._policy, ask.proxy)
            await judge_target(self._policy, ask.url)
        marks = Marks((ask.proxy or ask.url).host, time.monotonic())
        token = MARKS.set(marks)
        try:
            yield marks
        finally:
            MARKS.reset(token)

    def _one(self, ask: Ask) -> HttpOne:
        own = self._policy.name != self._policy.base.name or (ask.tls is not None and ask.tls.own)
        return self._own_one() if own else self._shared

    def _transport(self, ask: Ask) -> httpx.AsyncBaseTransport:
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

    def _request(self, ask: Ask) -> httpx.Request:
        headers = http_headers.with_defaults(ask.headers, ask.left_out)
        secure = ask.url.scheme == "https" or (ask.proxy is not None and ask.proxy.scheme == "https")
        extensions: dict[str, Any] = {"tls": ask.tls.context() if secure and ask.tls is not None else None}
        if ask.proxy is not None:
            extensions["proxy"] = bare(ask.proxy)
            _authorize_proxy(ask, headers, extensions)
        if not http_headers.has(headers, "cookie"):
            headers += self._cookie_header(ask)
        content = ask.content or None
        return httpx.Request(ask.method, ask.url, headers=http_headers.encoded(headers), content=content, extensions=extensions)

    def _cookie_header(self, ask: Ask) -> Pairs:
        """The cookies kept for this URL, and the step's own, which win."""
        own = ask.cookies or {}
        kept = ""
        if len(self._cookies.jar):
            probe = httpx.Request("GET", ask.url)
            self._cookies.set_cookie_header(probe)
            kept = probe.headers.get("cookie", "")
        pairs = [pair for pair in kept.split("; ") if pair and pair.partition("=")[0] not in own]
        pairs += [f"{name}={value}" for name, value in own.items()]
        return [("Cookie", "; ".join(pairs))] if pairs else []


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
        target = checked_url(ask.url.join(location))
    except (httpx.InvalidURL, ValueError) as error:
        raise ActionError("protocol", f"a redirect to what is not a URL: {error}") from None
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


def _authorize_proxy(ask: Ask, headers: Pairs, extensions: dict[str, Any]) -> None:
    """To a tunnel the proxy's credentials go with CONNECT, else with the request itself."""
    user = user_of(ask.proxy) if ask.proxy is not None else None
    if user is None:
        return
    name, value = "Proxy-Authorization", http_headers.basic_value(*user)
    if ask.url.scheme == "https":
        extensions["proxy_headers"] = {name: value}
    else:
        headers.append((name, value))


def _values(cookies: httpx.Cookies) -> dict[str, str]:
    return {cookie.name: cookie.value or "" for cookie in cookies.jar}
