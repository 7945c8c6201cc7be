"""What the four services share: their tools, refusals as JSON, and the check of request bodies."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from json import JSONDecodeError
from typing import Any
from uuid import UUID

import aiohttp
from aiohttp import web
from psycopg import AsyncConnection
from psycopg.rows import DictRow
from psycopg_pool import AsyncConnectionPool
from redis.asyncio import Redis

Database = AsyncConnectionPool[AsyncConnection[DictRow]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Tools:
    """What a service works with. `urls` are those of all services, by name."""

    database: Database
    redis: Redis
    http: aiohttp.ClientSession
    urls: Mapping[str, str]


class Refused(Exception):
    """A request that is not carried out; becomes a JSON body with `error`, `message` and the details."""

    def __init__(self, status: int, error: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"error": error, "message": message, **details}


class Form:
    """A request body that is read field by field; `check` raises one refusal that names every wrong field."""

    def __init__(self, body: Any) -> None:
        self._body = body if isinstance(body, dict) else {}
        self._wrong: dict[str, str] = {}

    def text(self, name: str, *, minimum: int = 1, maximum: int = 200, pattern: str | None = None) -> str:
        """A text with a length between the two."""
        value = self._body.get(name)
        if not isinstance(value, str):
            return self._say(name, "is required" if value is None else "must be a text")
        if not minimum <= len(value.strip()) <= maximum:
            return self._say(name, f"must have {minimum} to {maximum} characters")
        if pattern is not None and not re.fullmatch(pattern, value):
            return self._say(name, "has the wrong form")
        return value.strip()

    def whole(self, name: str, *, minimum: int, maximum: int) -> int:
        """A whole number between the two."""
        value = self._body.get(name)
        if isinstance(value, bool) or not isinstance(value, int) or not minimum <= value <= maximum:
            self._say(name, "is required" if value is None else f"must be a whole number from {minimum} to {maximum}")
            return minimum
        return value

    def objects(self, name: str, *, maximum: int) -> list[dict[str, Any]]:
        """A list of at least one object."""
        value = self._body.get(name)
        if not isinstance(value, list) or not 1 <= len(value) <= maximum or not all(isinstance(item, dict) for item in value):
            self._say(name, "is required" if value is None else f"must be a list of 1 to {maximum} objects")
            return []
        return value

    def check(self) -> None:
        """Refuse the request if a field was wrong."""
        if self._wrong:
            raise Refused(422, "validation", "the request has wrong fields", fields=self._wrong)

    def _say(self, name: str, problem: str) -> str:
        self._wrong[name] = problem
        return ""


async def form_of(request: web.Request) -> Form:
    """The request's JSON body. Refused with 400 when it is not JSON."""
    try:
        return Form(await request.json())
    except (JSONDecodeError, UnicodeDecodeError):
        raise Refused(400, "malformed", "the body is not JSON") from None


def id_in(request: web.Request, name: str = "id") -> UUID:
    """The identifier in the path. Refused with 404 when it can be none."""
    try:
        return UUID(request.match_info[name])
    except ValueError:
        raise Refused(404, "not_found", "there is no such thing") from None


def plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as JSON can hold it: identifiers and times as text."""
    return {name: _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, UUID):
        return str(value)
    return value.isoformat() if hasattr(value, "isoformat") else value


def application(routes: list[web.RouteDef]) -> web.Application:
    """An application with these routes and `GET /health`."""
    made = web.Application(middlewares=[_refusals])
    made.add_routes([*routes, web.get("/health", _health)])
    return made


async def _health(request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


@web.middleware
async def _refusals(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Refused as refused:
        return web.json_response(refused.body, status=refused.status)
    except aiohttp.ClientError as error:
        return web.json_response({"error": "upstream", "message": str(error)}, status=502)
    except web.HTTPException as error:
        return web.json_response({"error": "http", "message": error.reason}, status=error.status)
