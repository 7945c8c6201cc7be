"""An HTTP server that kills whoever asks it: a flow with a request to it kills the process that runs it, as one does that takes
all memory. Linux only: the client is found by its end of the connection."""

from __future__ import annotations

import os
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


def owner_of(port: int) -> int | None:
    """The process that holds a TCP connection from this port of 127.0.0.1; None when there is none (proc(5), net/tcp)."""
    wanted = f"0100007F:{port:04X}"
    lines = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    inodes = {f"socket:[{fields[9]}]" for fields in lines if fields[1] == wanted}
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and inodes & _held(process):
            return int(process.name)
    return None


def _held(process: Path) -> set[str]:
    """What the descriptors of a process stand for; nothing when it has gone."""
    try:
        return {os.readlink(descriptor) for descriptor in (process / "fd").iterdir()}
    except OSError:
        return set()


class KillingServer:
    """The server, on a thread; `killed` are the process ids, in order."""

    def __init__(self) -> None:
        self.killed: list[int] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, name="killing server", daemon=True).start()

    @property
    def address(self) -> str:
        """host:port."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """Kill nobody any more."""
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        killed = self.killed

        class Killing(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                pid = owner_of(self.client_address[1])
                if pid is not None and pid != os.getpid():
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)

            def log_message(self, format: str, *args: Any) -> None:
                """Nothing."""

        return Killing
