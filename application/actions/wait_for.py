"""The action `wait_for`: asks an HTTP server or a TCP port again and again until it is ready."""

from __future__ import annotations

import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from application.actions.http_faults import url_faults
from application.actions.http_request import exchange, read_seconds
from application.actions.sameness import same
from application.engine.action import Action, ActionContext, ActionError, ActionFailed, Key
from application.engine.egress import checked_addresses

_SECONDS = 30.0
_INTERVAL = 1.0
_SHORTEST_INTERVAL = 0.01
_LONGEST_TRY = 10.0
_FINAL = ("config", "egress")
_SUCCESS = range(200, 300)
_MISSING = object()

Look = Callable[[], Awaitable[str]]
"""One try: an empty text when all holds, else what was seen instead."""


async def run(config: Mapping[str, Any], context: ActionContext) -> Mapping[str, Any]:
    """Wait until it is ready; ActionFailed names the last thing seen when it never is."""
    import asyncio  # loaded when first used: validating needs none

    seconds = read_seconds(config.get("timeout"), _SECONDS)
    interval = max(_SHORTEST_INTERVAL, read_seconds(config.get("interval"), _INTERVAL))
    look = _look(config, context)
    begun = time.monotonic()
    attempts, seen = 0, ""
    while True:
        left = min(seconds - (time.monotonic() - begun), context.remaining())
        attempts, seen = attempts + 1, await _try(look, min(left, _LONGEST_TRY), seen)
        passed = time.monotonic() - begun
        if not seen:
            return {"attempts": attempts, "duration": round(passed * 1000, 3)}
        if passed + interval >= seconds:
            raise ActionFailed(f"not ready within {seconds:g} s ({attempts} tries): {seen}", result={"attempts": attempts})
        await asyncio.sleep(interval)


async def _try(look: Look, limit: float, before: str) -> str:
    import asyncio  # loaded when first used: validating needs none

    try:
        async with asyncio.timeout(limit):
            return await look()
    except TimeoutError:
        return before or "no answer in time"
    except ActionError as error:
        if error.kind in _FINAL:
            raise
        return error.message


def _look(config: Mapping[str, Any], context: ActionContext) -> Look:
    kind = config.get("type", "http")
    if kind == "http":
        return _Http(config, context).look
    if kind == "tcp":
        return _Tcp(config, context).look
    raise ActionError("config", f"wait_for waits for http or tcp, not {kind!r}")


class _Tcp:
    """A port that takes connections."""

    def __init__(self, config: Mapping[str, Any], context: ActionContext) -> None:
        self._host, port = config.get("host"), config.get("port")
        self._context = context
        number = int(port) if isinstance(port, str) and port.isdecimal() and len(port) < 6 else port
        if not isinstance(self._host, str) or not self._host:
            raise ActionError("config", "wait_for of type tcp needs host")
        if isinstance(number, bool) or not isinstance(number, int) or not 0 < number < 65536:
            raise ActionError("config", "wait_for of type tcp needs a port from 1 to 65535")
        self._port = number

    async def look(self) -> str:
        """Whether a connection can be made to one of the addresses."""
        from application.actions.http_errors import of_socket

        assert isinstance(self._host, str)
        self._context.exchange["request"] = {"host": self._host, "port": self._port}
        seen = ""
        for address in await checked_addresses(self._context.egress, self._host, self._port):
            try:
                await _connect(address, self._port)
            except OSError as error:
                seen = of_socket(error, f"{self._host}:{self._port}").message
            else:
                return ""
        return seen


class _Http:
    """A GET whose answer is as wished."""

    def __init__(self, config: Mapping[str, Any], context: ActionContext) -> None:
        self._config, self._context = config, context
        self._request = {
            "method": "GET",
            **{key: config[key] for key in ("url", "headers", "verify_ssl", "cert") if config.get(key) is not None},
        }
        if not config.get("url"):
            raise ActionError("config", "wait_for of type http needs url")
        if ("json_value" in config) and not config.get("json_path"):
            raise ActionError("config", "json_value needs json_path")

    async def look(self) -> str:
        """The first wish that does not hold."""
        from application.actions.http_answer import result_of

        result = result_of(await exchange(self._request, self._context), self._context)
        return self._status(result["status"]) or self._text(result["text"]) or self._json(result["body"])

    def _status(self, status: int) -> str:
        wanted = self._config.get("status_code")
        if wanted is None:
            return "" if status in _SUCCESS else f"the status was {status}"
        codes = wanted if isinstance(wanted, list) else [wanted]
        return "" if str(status) in map(str, codes) else f"the status was {status}, not {' or '.join(map(str, codes))}"

    def _text(self, text: str) -> str:
        wanted = self._config.get("body_contains")
        return "" if wanted is None or str(wanted) in text else f"the body did not contain {str(wanted)[:80]!r}: {text[:200]}"

    def _json(self, body: Any) -> str:
        path = self._config.get("json_path")
        if path is None:
            return ""
        found = self._select(str(path), body)
        if not found:
            return f"nothing at {path}"
        wanted = self._config.get("json_value", _MISSING)
        if wanted is _MISSING or any(same(value, wanted) for value in found):
            return ""
        return f"at {path} was {found[0]!r:.200}, not {wanted!r:.200}"

    def _select(self, path: str, body: Any) -> list[Any]:
        from domain.expressions.errors import Fault
        from domain.expressions.json_path import select

        try:
            return select(path if path.startswith("$") else f"$.{path}", body) if isinstance(body, dict | list) else []
        except Fault as fault:
            raise ActionError("config", f"json_path: {fault.message}") from None


async def _connect(address: str, port: int) -> None:
    import asyncio  # loaded when first used: validating needs none

    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as made:
        made.setblocking(False)
        await asyncio.get_running_loop().sock_connect(made, (address, port))


WAIT_FOR = Action(
    name="wait_for",
    description="Waits until a server answers as wished (http) or a port takes connections (tcp).",
    keys={
        "type": Key(("string",), choices=("http", "tcp"), description="http by default."),
        "url": Key(("string",), one_of="target", description="Asked with GET."),
        "host": Key(("string",), one_of="target", description="For tcp."),
        "port": Key(("integer",), description="For tcp."),
        "headers": Key(("object",), description="Sent with each GET."),
        "verify_ssl": Key(("boolean",), description="True by default."),
        "cert": Key(("string", "object"), description="As in http_request."),
        "status_code": Key(("integer", "array"), description="The status, or several; any of 200 to 299 by default."),
        "body_contains": Key(("string",), description="A part of the body."),
        "json_path": Key(("string",), description="A JSONPath that must select something."),
        "json_value": Key(description="What the JSONPath must select."),
        "timeout": Key(("duration",), description="30s by default."),
        "interval": Key(("duration",), description="Between two tries, 1s by default."),
    },
    run=run,
    result={"attempts": "How many tries it took.", "duration": "Milliseconds that it waited."},
    faults=lambda config: url_faults(config) if config.get("type", "http") == "http" else (),
)
