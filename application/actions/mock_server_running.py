"""A mock server that listens: aiohttp's server in this process, for one execution, which alone may reach it."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, parse_qsl

from aiohttp import web
from multidict import CIMultiDict

from application.actions.http_answer import decoded_text, parsed
from application.actions.http_headers import readable
from application.actions.http_reading import decoder_of
from application.actions.mock_server_answers import Answer, Answers
from application.actions.mock_server_faults import suffer
from application.actions.mock_server_records import Records
from application.engine.action import ActionContext, ActionError
from application.engine.egress import ExecutionPolicy
from domain.limits import Limits

_LOGGER = logging.getLogger("testmesh.mock_server")
_WIRE = logging.getLogger("testmesh.mock_server.wire")
_WIRE.disabled = True  # what callers send wrongly is theirs, and answered with 400
_LAST_WORDS = 0.05
"""Seconds that answers under way have left when the server stops."""
_FORM = "application/x-www-form-urlencoded"


class _Unreadable(Exception):
    """A request whose body cannot be taken, with the status that says so."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class MockServer:
    """One server. It listens from `start` to `close`; its address is allowed to the execution meanwhile."""

    def __init__(self, name: str, owner: str, context: ActionContext, state: Mapping[str, Any]) -> None:
        """`owner` is the path of the step that starts it."""
        self.name = name
        self.owner = owner
        self.answers = Answers(state, context.limits)
        self.records = Records(context.limits)
        self._limits: Limits = context.limits
        self._egress: ExecutionPolicy = context.egress
        self._bind = context.mock_bind
        self._begun = time.monotonic()
        self._server: web.Server | None = None
        self._runner: web.ServerRunner | None = None
        self._socket: socket.socket | None = None
        self.port = 0

    @property
    def address(self) -> str:
        """Where it is reached from this machine, an IP address."""
        address = ipaddress.ip_address(self._bind)
        return {4: "127.0.0.1", 6: "::1"}[address.version] if address.is_unspecified else self._bind

    @property
    def url(self) -> str:
        """`http://127.0.0.1:40123`."""
        return f"http://[{self.address}]:{self.port}" if ":" in self.address else f"http://{self.address}:{self.port}"

    def info(self) -> dict[str, Any]:
        """What results say about it."""
        id = f"{self.name}-{self.port}"
        return {"name": self.name, "server_id": id, "base_url": self.url, "url": self.url, "port": self.port}

    def reserve(self, port: int) -> None:
        """Take the port, 0 for a free one; nobody is answered yet. ActionError `config` when it cannot be had."""
        made = socket.socket(socket.AF_INET6 if ":" in self._bind else socket.AF_INET)
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind((self._bind, port))
        except OSError as error:
            made.close()
            raise self._taken(port, error) from None
        self._socket, self.port = made, made.getsockname()[1]

    async def start(self) -> None:
        """Answer requests from now on."""
        assert self._socket is not None
        self._server = web.Server(
            self._handle,
            handler_cancellation=True,
            auto_decompress=False,
            access_log=None,
            logger=_WIRE,
            lingering_time=1.0,
            max_line_size=self._limits.response_header_bytes,
            max_field_size=self._limits.response_header_bytes,
        )
        self._runner = web.ServerRunner(self._server, shutdown_timeout=_LAST_WORDS)
        await self._runner.setup()
        try:
            await web.SockSite(self._runner, self._socket).start()
        except OSError as error:
            raise self._taken(self.port, error) from None
        self._egress.allow(self.address, self.port)

    async def close(self) -> None:
        """Stop listening, and end what is under way."""
        if self.port:
            self._egress.forbid(self.address, self.port)
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()
        if self._socket is not None:
            self._socket.close()

    def _taken(self, port: int, error: OSError) -> ActionError:
        message = f"port {port} of {self._bind} cannot be used: {error.strerror}"
        return ActionError("config", message, hint="leave port out, and read the free one: ${step_id.port}")

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        assert self._server is not None
        if len(self._server.connections) > self._limits.mock_connections:
            return _response(Answer(503, [("Connection", "close")], b"too many connections"))
        answer = await self._answer(request)
        if answer.delay:
            await asyncio.sleep(answer.delay + 0.001)  # a loop may go by whole milliseconds, and end early
        if answer.fault is not None:
            await suffer(answer.fault.kind, request)
            raise asyncio.CancelledError  # the connection is gone, as if the caller had hung up
        return _response(answer)

    async def _answer(self, request: web.BaseRequest) -> Answer:
        """The answer, and the record of the request."""
        seen = _seen(request)
        size = sum(len(name) + len(value) for name, value in request.raw_headers) + len(request.raw_path)
        try:
            content = await self._body(request)
        except _Unreadable as error:
            answer = Answer(error.status, [("Content-Type", "text/plain")], str(error).encode())
        else:
            size += len(content)
            seen |= self._read(request, content)
            answer = self._answered(seen)
        self._record(seen, answer, size)
        return answer

    def _answered(self, seen: Mapping[str, Any]) -> Answer:
        try:
            return self.answers.answer(seen)
        except Exception as error:
            _LOGGER.exception("a mock server could not answer")
            return Answer(500, content=b"internal error", error=f"{type(error).__name__}: {error}")

    def _record(self, seen: Mapping[str, Any], answer: Answer, size: int) -> None:
        self.records.count += 1
        if answer.error:
            self.records.failed(answer.error)
        fault = {"fault": answer.fault.kind} if answer.fault is not None else {}
        record = {
            "number": self.records.count,
            **seen,
            "params": dict(answer.params),
            "endpoint": answer.endpoint.id if answer.endpoint is not None else None,
            "matched": answer.endpoint is not None,
            "status": None if fault else answer.status,
            "time": round((time.monotonic() - self._begun) * 1000, 3),
            **fault,
        }
        self.records.add(record, size)

    async def _body(self, request: web.BaseRequest) -> bytes:
        """The body, decompressed within the limit."""
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        limit = self._limits.request_body_bytes
        content = bytearray()
        try:
            decoder = decoder_of(request.headers.get("Content-Encoding", ""))
            async for piece in request.content.iter_any():
                for part in decoder.feed(piece):
                    content += part
                    if len(content) > limit:
                        raise _Unreadable(413, f"the body is larger than {limit} bytes")
        except ActionError as error:
            raise _Unreadable(415, error.message) from None
        except web.RequestPayloadError as error:
            raise _Unreadable(400, "the body ended early") from error
        return bytes(content)

    def _read(self, request: web.BaseRequest, content: bytes) -> dict[str, Any]:
        kind = request.headers.get("Content-Type", "")
        text = decoded_text(kind, content)
        read: dict[str, Any] = {"body": parsed(kind, content, text, self._limits.json_depth)}
        if kind.partition(";")[0].strip().lower() == _FORM:
            read["form"] = _values(text)
        return read


def _seen(request: web.BaseRequest) -> dict[str, Any]:
    """The request as templates and reports see it, its body not yet read."""
    path, _, query = request.raw_path.partition("?")
    if "://" in path:
        path = request.rel_url.raw_path
    return {
        "method": request.method,
        "path": path,
        "url": request.raw_path,
        "query": _values(query),
        "headers": readable(request.raw_headers),
        "ip": request.remote or "",
        "body": None,
    }


def _values(query: str) -> dict[str, Any]:
    """Names and values; a name that is repeated has a list."""
    try:
        names = dict(parse_qsl(query, keep_blank_values=True, max_num_fields=1000))
        several = parse_qs(query, keep_blank_values=True)
    except ValueError:
        return {}
    return {name: several[name] if len(several[name]) > 1 else value for name, value in names.items()}


def _response(answer: Answer) -> web.Response:
    headers = CIMultiDict(answer.headers)
    headers.setdefault("Server", "testmesh")
    return web.Response(status=answer.status, headers=headers, body=answer.content or None)
