"""The Sanic application: every request is limited, authenticated, authorised and checked before its handler sees it."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import orjson
from sanic import Request, Sanic
from sanic.exceptions import RequestTimeout, SanicException
from sanic.response import BaseHTTPResponse, HTTPResponse, raw

from domain.errors import Forbidden, Invalid, NotFound, Refusal, Unavailable
from interfaces.authentication import Authenticator, Caller
from interfaces.reading import Reading
from interfaces.rest.call import Call, Reply, position_text
from interfaces.rest.problems import CONTENT_TYPE, other_problem, problem, status_of
from interfaces.rest.route import Route
from interfaces.rest.routes import ROUTES
from interfaces.rest.shapes import build, build_query, read_json

_SAFE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
BODY_SECONDS = 60.0
NOBODY = Caller("", "", "", "", frozenset())
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
logger = logging.getLogger("testmesh.rest")


class UnsupportedBody(Refusal):
    """Only plain JSON is read."""

    code = "unsupported_media_type"


def make_app(reading: Reading, *, name: str = "testmesh", body_seconds: float = BODY_SECONDS) -> Sanic[Any, Any]:
    """The application with every route of the table. Each needs a name of its own (Sanic registers it).

    A request whose body has not arrived `body_seconds` after its headers is answered with 408.
    """
    app: Sanic[Any, Any] = Sanic(name, configure_logging=False, log_config={"version": 1, "disable_existing_loggers": False})
    largest = max(route.body_limit for route in ROUTES)
    app.config.update(
        REQUEST_MAX_SIZE=largest,
        REQUEST_TIMEOUT=60,
        RESPONSE_TIMEOUT=120,
        KEEP_ALIVE_TIMEOUT=75,
        ACCESS_LOG=False,
        MOTD=False,
        FALLBACK_ERROR_FORMAT="json",
        # It would rewrite Sanic's classes for the whole process, so that a second application could not start.
        TOUCHUP=False,
        WEBSOCKET_MAX_SIZE=64 * 1024,
        WEBSOCKET_PING_INTERVAL=20,
    )
    app.ctx.reading = reading
    app.ctx.authenticate = Authenticator(reading.api_keys.find, reading.members.role)
    app.ctx.observe = lambda route, status, seconds: None
    app.ctx.body_seconds = body_seconds
    for route in ROUTES:
        handler = _handler(route)
        app.add_route(handler, route.path, methods=[route.method], name=route.name, unquote=True, ctx_row=route)
    app.add_signal(_before_body, "http.routing.after")
    app.error_handler.add(Exception, _unexpected)
    app.register_middleware(_finish, "response")
    return app


def request_id(request: Request) -> str:
    """The caller's X-Request-ID when it is harmless, else a new one."""
    given: str = request.headers.get("x-request-id", "")
    if not hasattr(request.ctx, "id"):
        request.ctx.id = given if _SAFE_ID.fullmatch(given) else uuid4().hex
    found: str = request.ctx.id
    return found


async def _before_body(request: Request, route: Any, **_: Any) -> None:
    """Who asks is known before a byte of the body is read, and no more of it than the route takes, nor for ever."""
    row: Route | None = getattr(route.ctx, "row", None)
    if row is None:
        if request.stream is not None:
            request.stream.request_max_size = 0
        return
    if row.access == "key":
        request.ctx.caller = await authenticate(request)
    stream: Any = request.stream
    if stream is None or not stream.request_body:
        return
    if request.headers.get("content-encoding", "identity") != "identity":
        raise UnsupportedBody("compressed requests are not read; send the body as it is")
    stream.request_max_size = row.body_limit
    try:
        async with asyncio.timeout(request.app.ctx.body_seconds):
            await request.receive_body()  # type: ignore[no-untyped-call]
    except TimeoutError:
        stream.keep_alive, stream.request_body = False, None
        raise RequestTimeout("the body did not arrive in time") from None


def _handler(route: Route) -> Any:
    async def handle(request: Request, **path: str) -> HTTPResponse:
        begun = time.perf_counter()
        response = await _answer(route, request, path)
        request.app.ctx.observe(route.name, response.status, time.perf_counter() - begun)
        return response

    handle.__name__ = route.name
    return handle


async def _answer(route: Route, request: Request, path: dict[str, str]) -> HTTPResponse:
    try:
        call = await _call(route, request, path)
        return _response(await route.handler(call))
    except Refusal as refusal:
        return refused(refusal, request)
    except Exception as error:
        return await _failed(error, request)


async def _call(route: Route, request: Request, path: Mapping[str, str]) -> Call:
    """Who, whether, and what, in this order."""
    caller: Caller = NOBODY if route.access == "anonymous" else request.ctx.caller
    if path.get("workspace", caller.workspace) != caller.workspace:
        raise NotFound("there is no such workspace")
    if not caller.may(route.scope):
        raise Forbidden(f"this key does not have the scope {route.scope}", code="missing_scope", remedy="use a key that has it")
    reading: Reading = request.app.ctx.reading
    given = request.get_args(keep_blank_values=True)
    query = build_query(route.query, {name: str(values[-1]) for name, values in given.items()})
    key = request.headers.get("idempotency-key") if route.idempotent else None
    if key is not None and not _KEY.fullmatch(key):
        raise Invalid("an Idempotency-Key has 1 to 255 visible ASCII characters", code="invalid_idempotency_key")
    body = build(route.body, _json(route, request)) if route.body is not None else None
    call = Call(reading, caller, path, query, body, key, request_id(request))
    if query.min_position is not None and route.access == "key":
        await reading.wait(query.min_position)
    return call


async def authenticate(request: Request) -> Caller:
    """The caller of a request."""
    if "api_key" in request.get_args(keep_blank_values=True):
        raise Invalid("a key belongs in the Authorization header, never in a URL", code="key_in_url")
    header = request.headers.get("authorization")
    authenticator: Authenticator = request.app.ctx.authenticate
    caller = authenticator.cached(header)
    if caller is None:
        reading: Reading = request.app.ctx.reading
        caller = await asyncio.to_thread(authenticator, header)
        await asyncio.to_thread(reading.api_keys.used, caller.key_id, request.ip)
    return caller


def _json(route: Route, request: Request) -> Any:
    kind = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if request.body and kind != "application/json":
        raise UnsupportedBody("send the body as application/json")
    return read_json(request.body) if request.body or _needs_body(route) else {}


def _needs_body(route: Route) -> bool:
    """Whether an absent body is an error: it is where a field has no default."""
    from interfaces.rest.shapes import schema

    return route.body is not None and bool(schema(route.body)["required"])


def _response(reply: Reply) -> HTTPResponse:
    headers = dict(reply.headers)
    if reply.position is not None:
        headers["X-Event-Position"] = position_text(*reply.position)
    if isinstance(reply.body, str):
        return raw(reply.body.encode(), reply.status, headers, reply.content_type)
    return raw(_dumps(reply.body), reply.status, headers, reply.content_type)


def _dumps(body: Any) -> bytes:
    return orjson.dumps(body, option=orjson.OPT_NON_STR_KEYS)


def refused(refusal: Refusal, request: Request) -> HTTPResponse:
    status = 415 if isinstance(refusal, UnsupportedBody) else status_of(refusal)
    body = {**problem(refusal, request_id(request)), "status": status}
    later = {"Retry-After": str(refusal.retry_after)} if status in (429, 503) else {}
    headers: dict[str, str] = {"WWW-Authenticate": "Bearer"} if status == 401 else later
    return raw(_dumps(body), status, headers, CONTENT_TYPE)


async def _failed(error: Exception, request: Request) -> HTTPResponse:
    """What no refusal explains: databases that are away, and bugs, of which the answer tells nothing."""
    from application.group_commit import is_connection_error

    if is_connection_error(error) or type(error).__name__ == "PoolTimeout":
        logger.error("PostgreSQL does not answer: %s", error)
        return refused(Unavailable("the database does not answer; try again"), request)
    if isinstance(error, SanicException):
        return await _unexpected(request, error)
    logger.exception("request %s failed", request_id(request))
    body = other_problem(500, "internal", "this is a bug of TestMesh; the server's log has it", request_id(request))
    return raw(_dumps(body), 500, {}, CONTENT_TYPE)


_CODES = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large", 408: "request_timeout", 400: "bad_request"}


async def _unexpected(request: Request, error: Exception) -> HTTPResponse:
    """Errors of Sanic itself: no such route, wrong method, oversize, broken requests."""
    if isinstance(error, Refusal):
        return refused(error, request)
    if not isinstance(error, SanicException):
        return await _failed(error, request)
    status = error.status_code or 500
    title = "there is nothing at this address" if status == 404 else str(error)
    headers = {name: str(item) for name, item in (error.headers or {}).items()}
    if status == 405 and (allowed := _allowed(request.path)):
        headers["Allow"] = allowed
    body = other_problem(status, _CODES.get(status, "http"), title, request_id(request) if request else "")
    return raw(_dumps(body), status, headers, CONTENT_TYPE)


def _allowed(path: str) -> str:
    """The methods of an address. Sanic's router tells none where there are several; RFC 9110, 15.5.6 asks for them."""
    here = (route for route in ROUTES if re.fullmatch(re.sub(r"<\w+>", "[^/]+", route.path) + "/?", path))
    return ", ".join(sorted(route.method for route in here))


async def _finish(request: Request, response: BaseHTTPResponse) -> None:
    for name, text in HEADERS.items():
        response.headers.setdefault(name, text)
    response.headers["X-Request-ID"] = request_id(request)
