"""The users service: registration, login, and who a token belongs to. Sessions live in Redis, for an hour."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from typing import Any

from aiohttp import web
from psycopg.errors import UniqueViolation

from services.kit import Refused, Tools, application, form_of, id_in, plain

SESSION_SECONDS = 3600
EMAIL = r"[^@\s]+@[^@\s]+\.[^@\s]+"
SHOWN = "id, email, name, created_at"


class Users:
    """Handlers of the users service."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def app(self) -> web.Application:
        """The service as an application."""
        return application(
            [
                web.post("/users", self.register),
                web.post("/login", self.login),
                web.get("/me", self.me),
                web.delete("/users/{id}", self.remove),
            ]
        )

    async def register(self, request: web.Request) -> web.Response:
        """Make an account; 409 when the e-mail address has one."""
        form = await form_of(request)
        email = form.text("email", pattern=EMAIL).lower()
        name = form.text("name", maximum=80)
        password = form.text("password", minimum=8)
        form.check()
        hashed = await asyncio.to_thread(_hash, password, secrets.token_bytes(16))
        query = f"INSERT INTO users (email, name, password) VALUES (%s, %s, %s) RETURNING {SHOWN}"
        try:
            row = await self._one(query, email, name, hashed)
        except UniqueViolation:
            raise Refused(409, "email_taken", f"{email} has an account already") from None
        return web.json_response(row, status=201)

    async def login(self, request: web.Request) -> web.Response:
        """Exchange e-mail address and password for a token; 401 when they do not match."""
        form = await form_of(request)
        email, password = form.text("email").lower(), form.text("password")
        form.check()
        row = await self._one("SELECT id, password FROM users WHERE email = %s", email)
        if row is None or not await asyncio.to_thread(_matches, password, row["password"]):
            raise Refused(401, "wrong_credentials", "e-mail address or password is wrong")
        token = secrets.token_urlsafe(24)
        await self._tools.redis.set(_session(token), row["id"], ex=SESSION_SECONDS)
        return web.json_response({"token": token, "token_type": "Bearer", "expires_in": SESSION_SECONDS})

    async def me(self, request: web.Request) -> web.Response:
        """The account that the token belongs to; 401 without a valid one."""
        return web.json_response(await self._account(request))

    async def remove(self, request: web.Request) -> web.Response:
        """Delete one's own account and end the session."""
        account = await self._account(request)
        if account["id"] != str(id_in(request)):
            raise Refused(403, "not_yours", "this account belongs to somebody else")
        await self._one("DELETE FROM users WHERE id = %s RETURNING id", account["id"])
        await self._tools.redis.delete(_session(_token(request)))
        return web.Response(status=204)

    async def _account(self, request: web.Request) -> dict[str, Any]:
        user = await self._tools.redis.get(_session(_token(request)))
        row = await self._one(f"SELECT {SHOWN} FROM users WHERE id = %s", user) if user else None
        if row is None:
            raise Refused(401, "not_logged_in", "the token is not valid")
        return row

    async def _one(self, query: str, *values: Any) -> dict[str, Any] | None:
        async with self._tools.database.connection() as connection:
            row = await (await connection.execute(query, values)).fetchone()
        return None if row is None else plain(row)


def _token(request: web.Request) -> str:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Refused(401, "not_logged_in", "send Authorization: Bearer and a token")
    return token


def _session(token: str) -> str:
    return f"shop:session:{token}"


def _hash(password: str, salt: bytes) -> str:
    return f"{salt.hex()}:{hashlib.scrypt(password.encode(), salt=salt, n=2**12, r=8, p=1).hex()}"


def _matches(password: str, hashed: str) -> bool:
    return hmac.compare_digest(_hash(password, bytes.fromhex(hashed.partition(":")[0])), hashed)
