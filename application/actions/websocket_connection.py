"""An open WebSocket that steps share: it is read all the time, so that pings are answered between steps."""

from __future__ import annotations

import asyncio
import base64
from collections import deque
from typing import Any

from aiohttp import ClientError, ClientWebSocketResponse, WebSocketError, WSMsgType

from application.actions.http_answer import parsed
from application.actions.http_errors import of_socket, too_large
from application.engine.action import ActionError
from domain.limits import Limits

_GOODBYE_SECONDS = 2.0
_SHORT_GOODBYE_SECONDS = 0.05


class Connection:
    """One connection. What came and was not asked for yet waits here, within limits; then the server has to wait."""

    def __init__(self, socket: ClientWebSocketResponse, target: str, owner: str, limits: Limits) -> None:
        """`owner` is the path of the step that opened it."""
        self.owner = owner
        self.close_code: int | None = None
        self.close_reason = ""
        self._socket = socket
        self._target = target
        self._limits = limits
        self._waiting: deque[tuple[Any, int]] = deque()
        self._bytes = 0
        self._error: ActionError | None = None
        self._ended = False
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._reader = asyncio.create_task(self._read())

    @property
    def subprotocol(self) -> str | None:
        """The one that the server chose."""
        return self._socket.protocol

    @property
    def is_open(self) -> bool:
        """Whether nobody has closed it."""
        return not self._ended

    async def send(self, content: str | bytes) -> None:
        """Send a message. ActionError `connection_error` when the connection is closed."""
        if self._ended:
            raise self.gone()
        try:
            await (self._socket.send_str(content) if isinstance(content, str) else self._socket.send_bytes(content))
        except (ClientError, OSError) as error:
            raise of_socket(error, self._target) from error

    async def receive(self) -> tuple[Any, int] | None:
        """The next message and its bytes; None when the connection was closed before. ActionError when it broke."""
        while not self._waiting:
            if self._error is not None:
                raise self._error
            if self._ended:
                return None
            self._news.clear()
            await self._news.wait()
        message, size = self._waiting.popleft()
        self._bytes -= size
        self._room.set()
        return message, size

    async def ended(self) -> None:
        """Return when the connection is closed; what comes until then is dropped."""
        while await self.receive() is not None:
            pass

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Say goodbye and wait a little for the answer (RFC 6455 section 7.1.1)."""
        try:
            # A server that talks without end would have to be heard out until it answers.
            async with asyncio.timeout(_GOODBYE_SECONDS if self._room.is_set() else _SHORT_GOODBYE_SECONDS):
                await self._socket.close(code=code, message=reason.encode())
        except TimeoutError:
            self._error = None
        finally:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        if self.close_code is None:
            self.close_code = self._socket.close_code

    def gone(self) -> ActionError:
        """Why nothing can be sent or received any more."""
        return self._error or ActionError("connection_error", f"the connection to {self._target} is closed{self.told()}")

    def told(self) -> str:
        """Code and reason with which it was closed, for messages."""
        if self.close_code is None:
            return ""
        return f", with code {self.close_code}" + (f": {self.close_reason}" if self.close_reason else "")

    async def _read(self) -> None:
        try:
            while await self._read_one():
                await self._room.wait()
        finally:
            self._ended = True
            self._news.set()

    async def _read_one(self) -> bool:
        """Keep the next message; whether there may be more."""
        message = await self._socket.receive()
        if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
            self._keep(message.data)
            return True
        if message.type is WSMsgType.CLOSE:
            self.close_code, self.close_reason = message.data, str(message.extra or "")
        elif message.type is WSMsgType.ERROR:
            self._error = self._broken(message.data)
        else:
            self.close_code = self.close_code or self._socket.close_code
        return False

    def _keep(self, content: str | bytes) -> None:
        raw = content.encode("utf-8", "replace") if isinstance(content, str) else content
        value = {"base64": base64.b64encode(raw).decode()} if isinstance(content, bytes) else self._value(raw, content)
        self._waiting.append((value, len(raw)))
        self._bytes += len(raw)
        if self._bytes > self._limits.stream_bytes or len(self._waiting) >= self._limits.stream_messages:
            self._room.clear()
        self._news.set()

    def _value(self, raw: bytes, text: str) -> Any:
        return parsed("application/json", raw, text, self._limits.json_depth)

    def _broken(self, error: BaseException) -> ActionError:
        if isinstance(error, WebSocketError):
            if error.code == 1009:
                return too_large(f"a message of {self._target} is larger than {self._limits.stream_message_bytes} bytes")
            return ActionError("protocol", f"{self._target} does not speak this WebSocket: {error}")
        return of_socket(error, self._target)
