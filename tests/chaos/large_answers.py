"""An HTTP server whose answers are large and which nothing compresses: what a worker records of one goes into a payload."""

from __future__ import annotations

import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

BYTES = 48_000
FLOW = """
flow:
  name: large
  env: {NAP: 50, URL: ""}
  steps:
    - {id: first, action: delay, config: {duration: "${NAP}ms"}}
    - {id: fetch, action: http_request, config: {method: GET, url: "${URL}"}, assert: ["status == 200"]}
  teardown:
    - {id: clean, action: log, config: {message: "clean"}}
"""


class LargeAnswers:
    """The server, on a thread; `url` is where it is."""

    def __init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Answering)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, name="large answers", daemon=True).start()

    @property
    def address(self) -> str:
        """host:port."""
        return f"127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        """Any path is answered."""
        return f"http://{self.address}/"

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()


class _Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = os.urandom(BYTES // 2).hex().encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""
