"""The role `server`: REST and WebSocket in one process, from start to orderly end."""

from __future__ import annotations

import asyncio
import errno
import logging
import signal
import socket
import time
from typing import Any

from sanic import Sanic

from domain.errors import Conflict, Invalid
from interfaces import loops
from interfaces.bootstrap import Platform
from interfaces.reading import WAIT_SECONDS, Reading
from interfaces.rest.app import BODY_SECONDS, make_app
from interfaces.settings import Settings
from interfaces.supervisor import holder_of
from interfaces.websocket.endpoint import add_websocket
from interfaces.websocket.hub import KEPT, Hub
from interfaces.websocket.watching import Patience
from interfaces.workers.roles import configure_logging, metrics_port

BACKLOG = 100
PATIENCE = 3.0
"""Who cannot be given a connection to the database for so long is answered with 503 and when to ask again."""
GRACE_SECONDS = 5.0
"""What requests that are under way when the server stops may still take."""
logger = logging.getLogger("testmesh.server")


def run_server(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    configure_logging(settings, "server")
    platform = Platform(settings, pool_size=10, patience=PATIENCE)
    try:
        with metrics_port(settings):
            loops.run(_serve(platform))
    finally:
        platform.close()


async def _serve(platform: Platform) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    served = Served(platform)
    await served.start()
    await stop.wait()
    await served.close()


def _bound(settings: Settings) -> socket.socket:
    """A socket of the first address that the host's name has (Sanic itself takes port 0 for 8000)."""
    try:
        family, *_, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise Invalid(
                f"{settings.host}:{settings.port} cannot be listened on: {error.strerror}",
                code="invalid_settings",
                remedy="choose another address with --host or TESTMESH_HOST",
            ) from error
        raise Conflict(
            f"port {settings.port} is taken by {holder_of(settings.port)}; choose another with --port or TESTMESH_PORT"
        ) from error


class Served:
    """The application on its port. `port` may be 0 for a free one."""

    def __init__(
        self,
        platform: Platform,
        *,
        name: str = "testmesh",
        wait_seconds: float = WAIT_SECONDS,
        body_seconds: float = BODY_SECONDS,
        kept: int = KEPT,
        patience: Patience | None = None,
    ) -> None:
        """`wait_seconds` bounds `min_position`, `body_seconds` the arrival of a body; `kept` events stay in memory for
        watchers, with whom the server has `patience`."""
        self._platform = platform
        self._name = name
        self._wait_seconds = wait_seconds
        self._body_seconds = body_seconds
        self._kept = kept
        self._patience = patience
        self._server: Any = None
        self.port = platform.settings.port

    @property
    def listening(self) -> bool:
        """Whether it has a port and is not closed."""
        return self._server is not None

    async def start(self) -> None:
        """Listen; Conflict names who holds the port, Unavailable or Invalid says what is wrong with the key file."""
        _ = self._platform.key
        reading = Reading(self._platform, wait_seconds=self._wait_seconds)
        self._hub = Hub(reading.live_feed, self._platform.database("executions").connect, kept=self._kept)
        app = make_app(reading, name=self._name, body_seconds=self._body_seconds)
        add_websocket(app, self._hub, self._patience)
        if self._platform.settings.metrics_port:
            from interfaces.metrics import watch_server

            watch_server(app)
        await self._hub.start()
        try:
            await self._listen(app)
        except BaseException:
            await self._hub.close()
            self._forget()
            raise
        settings = self._platform.settings
        logger.info("listening on http://%s:%s", settings.host, self.port)

    async def _listen(self, app: Sanic[Any, Any]) -> None:
        sock = _bound(self._platform.settings)
        try:
            server: Any = await app.create_server(
                sock=sock, return_asyncio_server=True, asyncio_server_kwargs={"start_serving": False}
            )
            await server.startup()
            await server.before_start()
            await server.start_serving()
            await server.after_start()
        except BaseException:
            sock.close()
            raise
        self.port = sock.getsockname()[1]
        self._server = server

    async def close(self) -> None:
        """Take no new requests, let watchers go, finish the requests under way within GRACE_SECONDS, close."""
        await self._server.before_stop()
        self._server.close()
        await self._server.wait_closed()
        end = time.monotonic() + GRACE_SECONDS
        while self._server.connections and time.monotonic() < end:
            for connection in list(self._server.connections):
                connection.close_if_idle()
            await asyncio.sleep(0.02)
        for connection in list(self._server.connections):
            connection.abort()
        await self._server.after_stop()
        self._server = None
        await self._hub.close()
        self._forget()

    def _forget(self) -> None:
        """Sanic remembers applications by name; this name is free again."""
        Sanic._app_registry.pop(self._name, None)
