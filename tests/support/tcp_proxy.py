"""A TCP proxy of ours that cuts, delays, swallows answers, or accepts and never answers."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from dataclasses import dataclass, field


@dataclass(eq=False)
class _Pair:
    """A connection and its other half."""

    client: socket.socket
    server: socket.socket
    swallows: bool = field(default=False)

    def close(self) -> None:
        for end in (self.client, self.server):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


class TcpProxy:
    """Forwards 127.0.0.1:`port` to a local port, until told otherwise."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._pairs: set[_Pair] = set()
        self._open = threading.Event()
        self._open.set()
        self.delay = 0.0
        """Seconds that each piece of data waits."""
        self.delayed = 0
        self.swallowed = 0
        """Answers that were swallowed, each with its connection."""
        self._words = b""
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> int:
        """Break every connection; how many."""
        pairs = list(self._pairs)
        for pair in pairs:
            self._end(pair)
        return len(pairs)

    def stall(self) -> int:
        """Pass nothing more on, and answer no new connection; how many connections stand still."""
        self._open.clear()
        return len(self._pairs)

    def resume(self) -> None:
        """Pass everything on again."""
        self._open.set()

    def swallow_answer(self, words: bytes) -> None:
        """Deliver the next request that contains these bytes, then swallow its answer and break the connection."""
        self._words = words

    def close(self) -> None:
        """Listen no more."""
        self._listener.close()
        self.resume()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._target), 5)
            except OSError:
                client.close()
                continue
            server.settimeout(None)
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pair = _Pair(client, server)
            self._pairs.add(pair)  # from here on it may be cut
            threading.Thread(target=self._pump, args=(pair, client, server), daemon=True).start()
            threading.Thread(target=self._pump, args=(pair, server, client), daemon=True).start()

    def _pump(self, pair: _Pair, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65_536):
                self._open.wait()
                if self.delay:
                    time.sleep(self.delay)
                    self.delayed += 1
                if source is pair.client and self._words and self._words in data:
                    self._words, pair.swallows = b"", True
                if source is pair.server and pair.swallows:
                    self.swallowed += 1
                    break
                sink.sendall(data)
        except OSError:
            pass
        self._end(pair)

    def _end(self, pair: _Pair) -> None:
        self._pairs.discard(pair)
        pair.close()
