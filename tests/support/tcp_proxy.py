"""A TCP proxy of ours that cuts, delays, swallows answers, or accepts and never answers."""

from __future__ import annotations

import contextlib
import queue
import random
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
    begun: bool = field(default=False)
    """Whether the client has begun a transaction: only the answer to its commit is one to swallow."""

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
        """Seconds by which each piece of data is late; those that follow one another are late together."""
        self.delayed = 0
        self.swallowed = 0
        """Answers that were swallowed, each with its connection."""
        self.listens_for = b""
        self.heard = 0
        """Pieces of data from the server with the bytes that it listens for."""
        self._words = b""
        self._always = False
        self._dice = random.Random(1)
        self.jitter = 0.0
        """At most so many seconds more or less than `delay`, at random."""
        self.resets = 0.0
        """The part of the pieces of data at which the connection breaks instead."""
        self.broken = 0
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

    def swallow_answer(self, words: bytes, *, always: bool = False) -> None:
        """Deliver the next request that contains these bytes (or each), then swallow its answer and break the connection."""
        self._words, self._always = words, always

    def lead_to(self, target: int) -> int:
        """Connections lead to another local port from now on; how many to the old one are cut."""
        self._target = target
        return self.cut()

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
        """Take what comes; each piece is passed on when it is due, while the next one is on its way already."""
        line: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
        threading.Thread(target=self._pass_on, args=(pair, line, sink), daemon=True).start()
        due = 0.0
        try:
            while data := source.recv(65_536):
                if self.resets and self._dice.random() < self.resets:
                    self.broken += 1
                    return self._end(pair)
                if self._is_swallowed(pair, source, data):
                    self.swallowed += 1
                    return self._end(pair)
                due = max(due, self._due())
                line.put((due, data))
        except OSError:
            pass
        line.put((due, b""))

    def _due(self) -> float:
        """When what has just come is to be passed on."""
        if not self.delay:
            return 0.0
        self.delayed += 1
        return time.monotonic() + max(0.0, self.delay + self._dice.uniform(-self.jitter, self.jitter))

    def _is_swallowed(self, pair: _Pair, source: socket.socket, data: bytes) -> bool:
        if source is pair.server:
            self.heard += bool(self.listens_for) and self.listens_for in data
            return pair.swallows and (b"COMMIT" in data or not pair.begun)
        pair.begun = pair.begun or b"BEGIN" in data
        if self._words and self._words in data:
            pair.swallows = True
            self._words = self._words if self._always else b""
        return False

    def _pass_on(self, pair: _Pair, line: queue.SimpleQueue[tuple[float, bytes]], sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while (item := line.get())[1]:
                time.sleep(max(0.0, item[0] - time.monotonic()))
                self._open.wait()
                sink.sendall(item[1])
        self._end(pair)

    def _end(self, pair: _Pair) -> None:
        self._pairs.discard(pair)
        pair.close()
