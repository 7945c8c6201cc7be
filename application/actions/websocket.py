"""The action `websocket`: connections that steps open, talk over, and close."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from application.actions.config_values import read_count, refusal
from application.actions.http_faults import SCHEMES, scheme_remedy, url_faults, wrong_scheme
from application.actions.http_request import read_seconds
from application.actions.partial import missing
from application.actions.websocket_acts import ACTIONS, CONNECT, RECEIVING, act_expressions, act_faults, read_acts
from application.engine.action import Action, ActionContext, ActionError, ActionFailed, Key

if TYPE_CHECKING:
    from application.actions.websocket_connection import Connection

_PREFIX = "websocket:"
_SECONDS = 30.0
_SHOWN = 10
_EXPECT = ("message", "messages")
_SCHEMES = ("ws", "wss")


async def run(config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
    """Do what the step says, one act after the other."""
    acts = read_acts(config)
    talk = _Talk(config, context)
    for act in acts:
        await talk.do(act)
    if config.get("action") is None and config.get("actions") is None:
        return {**talk.result(), "connected": True}
    return talk.result()


class _Talk:
    """One step over a connection."""

    def __init__(self, config: Mapping[str, Any], context: ActionContext) -> None:
        self._config = config
        self._context = context
        given = config.get("connection")
        self._name = "default" if given is None else str(given)
        self._messages: list[Any] = []
        self._bytes = 0
        self._received: Any = None
        self._last: Connection | None = None

    async def do(self, act: Mapping[str, Any]) -> None:
        """One act, within its time."""
        import asyncio  # loaded when first used: validating needs none

        names = {"message": self._received, "messages": self._messages}
        act = {key: value if key == "expect" else self._context.render(value, names) for key, value in act.items()}
        seconds = min(read_seconds(act.get("timeout", self._config.get("timeout")), _SECONDS), self._context.remaining())
        try:
            async with asyncio.timeout(seconds):
                await self._acts()[act["action"]](act)
        except TimeoutError:
            raise self._late(act, seconds) from None

    def result(self) -> dict[str, Any]:
        """What came, and how the connection stands."""
        last = self._last
        return {
            "messages": list(self._messages),
            "received_message": self._received,
            "count": len(self._messages),
            "connected": last is not None and last.is_open,
            "subprotocol": last.subprotocol if last is not None else None,
            "close_code": last.close_code if last is not None else None,
            "close_reason": last.close_reason if last is not None else "",
        }

    def _acts(self) -> Mapping[str, Any]:
        receive = self._receive
        return {"connect": self._connect, "send": self._send, "receive": receive, "wait_for": receive, "close": self._close}

    async def _connect(self, act: Mapping[str, Any]) -> None:
        from application.actions.http_client import client_of
        from application.actions.http_exchange import prepared, shows_request
        from application.actions.http_one import WebSocketOptions, target_of
        from application.actions.websocket_connection import Connection

        context, limits = self._context, self._context.limits
        await self._make_room()
        config = {key: value for key, value in {**self._config, **act}.items() if key in CONNECT}
        ping = config.get("ping")
        options = WebSocketOptions(
            _subprotocols(config.get("subprotocols")), ping and read_seconds(ping, _SECONDS), limits.stream_message_bytes
        )
        ask = await prepared({**config, "method": "GET", "url": _as_http(config.get("url"))}, context)
        try:
            socket = await client_of(context).upgrade(ask, shows_request(context), options)
        except ActionError as error:
            context.exchange.update(error.exchange or {})
            raise
        owner = context.headers.get("X-TestMesh-Step", "")
        self._last = Connection(socket, target_of(ask.url), owner, limits)
        context.resources[_PREFIX + self._name] = self._last

    async def _make_room(self) -> None:
        """A name stands for one connection: one that has ended is forgotten, as is that of a try before."""
        resources = self._context.resources
        before: Connection | None = resources.get(_PREFIX + self._name)
        if before is not None and before.is_open and before.owner != self._context.headers.get("X-TestMesh-Step", ""):
            raise ActionError("config", f"a connection {self._name!r} is open already", hint="give it another name")
        if before is not None:
            del resources[_PREFIX + self._name]
            await before.close()
        if (
            sum(key.startswith(_PREFIX) and value.is_open for key, value in resources.items())
            >= self._context.limits.websockets
        ):
            raise ActionError("config", f"an execution has at most {self._context.limits.websockets} WebSockets")

    def _open(self) -> Connection:
        connection: Connection | None = self._context.resources.get(_PREFIX + self._name)
        if connection is None:
            raise ActionError("config", f"no connection {self._name!r} is open", hint="action: connect opens one")
        self._last = connection
        return connection

    async def _send(self, act: Mapping[str, Any]) -> None:
        content = _content(act)
        limit = self._context.limits.stream_message_bytes
        if len(content.encode("utf-8", "replace") if isinstance(content, str) else content) > limit:
            raise ActionError("config", f"the message is larger than {limit} bytes")
        await self._open().send(content)

    async def _receive(self, act: Mapping[str, Any]) -> None:
        connection = self._open()
        if act.get("expect_close") not in (None, False):
            await connection.ended()
            self._check_close(act["expect_close"], connection)
            return
        missed = read_count(act.get("count"), self._context.limits.stream_messages)
        why = ""
        while missed:
            came = await connection.receive()
            if came is None:
                raise ActionFailed(self._told(f"the connection was closed{connection.told()}", why), result=self.result())
            self._keep(*came)
            why = self._refusal(act, came[0])
            if not why:
                missed -= 1
                self._received = came[0]

    def _refusal(self, act: Mapping[str, Any], message: Any) -> str:
        """Why a message is not the one that is waited for; empty when it is."""
        if act["action"] == "wait_for":
            return missing(act["message"], message)
        names = {"message": message, "messages": self._messages}
        return "" if act.get("expect") is None else refusal(act["expect"], message, names, self._context)

    def _check_close(self, wanted: Any, connection: Connection) -> None:
        if wanted is not True and str(wanted) not in ("true", str(connection.close_code)):
            raise ActionFailed(
                f"expected close code {wanted}, the connection was closed{connection.told()}", result=self.result()
            )

    def _keep(self, message: Any, size: int) -> None:
        from application.actions.http_errors import too_large

        self._bytes += size
        limits = self._context.limits
        if len(self._messages) >= limits.stream_messages or self._bytes > limits.stream_bytes:
            raise too_large(f"more than {limits.stream_messages} messages or {limits.stream_bytes} bytes came")
        self._messages.append(message)

    async def _close(self, act: Mapping[str, Any]) -> None:
        code, reason = act.get("code", 1000), str(act.get("reason", ""))
        code = int(code) if isinstance(code, str) and code.isdecimal() and len(code) == 4 else code
        if isinstance(code, bool) or not isinstance(code, int) or not (code in (1000, 1001) or 3000 <= code <= 4999):
            raise ActionError("config", "code must be 1000, 1001, or from 3000 to 4999 (RFC 6455 section 7.4)")
        if len(reason.encode()) > 123:
            raise ActionError("config", "reason has at most 123 bytes (RFC 6455 section 5.5)")
        connection = self._open()
        await connection.close(code, reason)
        self._context.resources.pop(_PREFIX + self._name, None)

    def _late(self, act: Mapping[str, Any], seconds: float) -> Exception:
        if act["action"] not in RECEIVING:
            return ActionError("timeout", f"{act['action']} did not end within {seconds:g} s", hint="raise timeout")
        wanted = (
            "close"
            if act.get("expect_close")
            else f"{act.get('count', 1)} message(s){' as expected' * (act['action'] == 'wait_for' or 'expect' in act)}"
        )
        return ActionFailed(self._told(f"no {wanted} within {seconds:g} s", ""), result=self.result())

    def _told(self, what: str, why: str) -> str:
        shown = [f"  {json.dumps(message, ensure_ascii=False, default=str)[:200]}" for message in self._messages[-_SHOWN:]]
        came = [f"{len(self._messages)} came, the last ones:", *shown] if shown else ["nothing came"]
        return "\n".join((what, *([why] if why else []), *came))


def _as_http(url: Any) -> str:
    """aiohttp opens WebSockets over URLs of http and https."""
    text = str(url or "").strip()
    scheme, separator, rest = text.partition("://")
    kinds = {"ws": "http", "wss": "https", "http": "http", "https": "https"}
    if not separator or scheme.lower() not in kinds:
        raise ActionError("config", wrong_scheme(text, _SCHEMES), hint=scheme_remedy(text, _SCHEMES))
    return f"{kinds[scheme.lower()]}://{rest}"


def _subprotocols(value: Any) -> tuple[str, ...]:
    given = value if isinstance(value, list | tuple) else [] if value is None else [value]
    names = tuple(str(name) for name in given)
    if any(not name.isascii() or not name.isprintable() or set(name) & set(' ,;"') or not name for name in names):
        raise ActionError("config", "subprotocols are names without blanks and commas")
    return names


def _content(act: Mapping[str, Any]) -> str | bytes:
    if "base64" in act:
        try:
            return base64.b64decode(str(act["base64"]), validate=True)
        except (binascii.Error, ValueError):
            raise ActionError("config", "base64 cannot be decoded") from None
    message = act["message"]
    if isinstance(message, str):
        return message
    try:
        return json.dumps(message, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise ActionError("config", f"the message is not JSON: {error}") from None


WEBSOCKET = Action(
    name="websocket",
    description="Talks over a WebSocket, which stays open for later steps until it is closed or the execution ends.",
    keys={
        "action": Key(
            ("string",),
            choices=ACTIONS,
            description="What the step does. Without action and actions it connects, sends message, receives what is"
            " expected, and closes.",
        ),
        "actions": Key(
            ("array",),
            description="Several acts in one step: names, or objects of action (or type) and its keys. They know `messages`."
            " wait_for is receive with the part of a message that is waited for as its message.",
        ),
        "connection": Key(("string",), aliases=("name",), description="The name of the connection; `default` by default."),
        "url": Key(("string",), description="ws:// or wss://; a redirect is not followed."),
        "headers": Key(("object",), description="Of the opening handshake."),
        "params": Key(("object",), aliases=("query",), description="Added to the query of the URL."),
        "auth": Key(("object",), description="As in http_request."),
        "cookies": Key(("object",), description="Sent beside those that HTTP answers set before."),
        "subprotocols": Key(("array", "string"), aliases=("protocols",), description="Those that the server may choose from."),
        "verify_ssl": Key(("boolean",), description="True by default."),
        "cert": Key(("string", "object"), description="As in http_request."),
        "proxy": Key(("string",), description="http://user:password@host:port."),
        "ping": Key(("duration",), description="Ping after so much silence; without an answer the connection is broken."),
        "message": Key(description="What is sent: text as it is, any other value as JSON."),
        "base64": Key(("string",), description="A binary message."),
        "expect": Key(
            ("expression", "object", "array"),
            description="What is waited for: an expression over `message`, or a part of it. Others are kept in messages.",
        ),
        "expect_close": Key(("boolean", "integer"), description="Wait until the server closes, with this code."),
        "count": Key(("integer",), description="How many messages (as expected) to wait for; 1 by default."),
        "timeout": Key(("duration",), description="For each act; 30s by default."),
        "code": Key(("integer",), description="Of close: 1000 by default."),
        "reason": Key(("string",), description="Of close."),
    },
    run=run,
    result={
        "messages": "What came in this step: JSON is parsed, a binary message is an object with base64.",
        "received_message": "The last message as expected.",
        "count": "How many came.",
        "connected": "Whether the connection is open at the end; of a step without action, whether it was.",
        "subprotocol": "What the server chose.",
        "close_code": "The code with which the server closed, if it did.",
        "close_reason": "The reason that came with it.",
    },
    unresolved=("expect", "actions"),
    names={"expect": _EXPECT, "actions": _EXPECT},
    expressions=act_expressions,
    faults=lambda config: (*act_faults(config), *url_faults(config, _SCHEMES, SCHEMES)),
)
