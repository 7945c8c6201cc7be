"""The role `server`: REST and WebSocket in one process, from start to orderly end."""

from __future__ import annotations

import asyncio
import errno
import logging
import signal
from typing import Any

from domain.errors import Conflict
from interfaces.bootstrap import Platform
from interfaces.reading import Reading
from interfaces.settings import Settings
from interfaces.supervisor import holder_of
from interfaces.workers.roles import configure_logging, metrics_port

logger = logging.getLogger("testmesh.server")


def run_server(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    configure_logging(settings, "server")
    platform = Platform(settings, pool_size=10)
    try:
        with metrics_port(settings):
            asyncio.run(_serve(platform))
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


class Served:
    """The application on its port. `port` may be 0 for a free one."""

    def __init__(self, platform: Platform, *, name: str = "testmesh") -> None:
        self._platform = platform
        self._name = name
        self._server: Any = None
        self.port = platform.settings.port

    async def start(self) -> None:
        """Listen; Conflict names who holds the port."""
        from interfaces.rest.app import make_app
        from interfaces.websocket.endpoint import add_websocket
        from interfaces.websocket.hub import Hub

        reading = Reading(self._platform)
        self._hub = Hub(reading.live_feed, self._platform.database("executions").connect)
        await self._hub.start()
        app = make_app(reading, name=self._name)
        add_websocket(app, self._hub)
        if self._platform.settings.metrics_port:
            from interfaces.metrics import watch_server

            watch_server(app)
        settings = self._platform.settings
        try:
            self._server = await app.create_server(
                settings.host, settings.port, return_asyncio_server=True, asyncio_server_kwargs={"start_serving": False}
            )
            await self._server.startup()
            await self._server.before_start()
            await self._server.start_serving()
            await self._server.after_start()
        except OSError as error:
            await self._hub.close()
            if error.errno != errno.EADDRINUSE:
                raise
            raise Conflict(
                f"port {settings.port} is taken by {holder_of(settings.port)}; choose another with --port or TESTMESH_PORT"
            ) from error
        self._app = app
        self.port = self._server.server.sockets[0].getsockname()[1]
        logger.info("listening on http://%s:%s", settings.host, self.port)

    async def close(self) -> None:
        """Take no new requests, finish those under way, close."""
        await self._server.before_stop()
        self._server.close()
        await self._server.wait_closed()
        for connection in list(self._server.connections):
            connection.close_if_idle()
        await asyncio.sleep(0.05)
        for connection in list(self._server.connections):
            if hasattr(connection, "websocket") and connection.websocket:
                connection.websocket.fail_connection(1001)
            else:
                connection.abort()
        await self._server.after_stop()
        await self._hub.close()
        type(self._app)._app_registry.pop(self._name, None)
