"""A small HTTP server in a process of its own, for benchmarks: every answer is the same JSON, at once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_CODE = """
import asyncio
from aiohttp import web

async def answer(request):
    return web.json_response({"id": 7, "name": "teapot", "items": [1, 2, 3]})

async def main():
    app = web.Application()
    app.router.add_get("/{tail:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(site._server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@contextmanager
def serving() -> Iterator[str]:
    """Its URL, until the end of the block. aiohttp sets TCP_NODELAY."""
    with subprocess.Popen([sys.executable, "-c", _CODE], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield f"http://127.0.0.1:{int(server.stdout.readline())}/things/7"
        finally:
            server.terminate()
