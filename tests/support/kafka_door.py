"""A door before a Kafka broker that asks for TLS, a password or both: the test broker itself has neither."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import os
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

_METADATA, _HANDSHAKE, _API_VERSIONS, _AUTHENTICATE = 3, 17, 18, 36
_REFUSED = 58


@asynccontextmanager
async def kafka_door(
    port: int,
    broker: int,
    tls: ssl.SSLContext | None = None,
    users: dict[str, str] | None = None,
    rounds: int = 4096,
    creates_topics: bool = True,
) -> AsyncIterator[None]:
    """Listens on the port of 127.0.0.1 and lets in to the broker's port; with `users`, only those with their passwords, by
    PLAIN (RFC 4616) or SCRAM-SHA-256 (RFC 5802). Without `creates_topics`, asking for a topic never creates it."""

    async def enter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inside = await asyncio.open_connection("127.0.0.1", broker)
        try:
            if users is None or await _signed_in(reader, writer, inside, users, rounds):
                requests = _pump(reader, inside[1]) if creates_topics else _pump_requests(reader, inside[1])
                await asyncio.gather(requests, _pump(inside[0], writer))
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            for end in (inside[1], writer):
                end.transport.abort()

    server = await asyncio.start_server(enter, "127.0.0.1", port, ssl=tls)
    try:
        yield
    finally:
        server.close()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        sink.write(data)
    sink.transport.abort()


async def _pump_requests(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """The last byte of a metadata request (version 4 and later) says whether to create its topics."""
    while True:
        frame = await _frame(source)
        kind, version = struct.unpack(">hh", frame[:4])
        if kind == _METADATA and version >= 4:
            frame = frame[:-1] + b"\0"
        sink.write(struct.pack(">i", len(frame)) + frame)


async def _signed_in(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    inside: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    users: dict[str, str],
    rounds: int,
) -> bool:
    talk: Iterator[tuple[bytes | None, bool]] | None = None
    given = b""

    def heard() -> bytes:
        return given

    while True:
        frame = await _frame(reader)
        kind, version, number = struct.unpack(">hhi", frame[:8])
        body = frame[10 + max(0, struct.unpack(">h", frame[8:10])[0]) :]
        if kind == _API_VERSIONS:
            inside[1].write(struct.pack(">i", len(frame)) + frame)
            answer = await _frame(inside[0])
        elif kind == _HANDSHAKE:
            name = body[2:].decode()
            talk = (_plain if name == "PLAIN" else _scram)(users, heard, rounds)
            next(talk)
            names = b"".join(struct.pack(">h", len(one)) + one for one in (b"PLAIN", b"SCRAM-SHA-256"))
            answer = struct.pack(">ihi", number, 0, 2) + names
        elif kind == _AUTHENTICATE and talk is not None:
            given = body[4:]
            said, done = next(talk)
            if said is None:
                text = b"wrong password"
                answer = struct.pack(">ihh", number, _REFUSED, len(text)) + text + struct.pack(">i", 0)
            else:
                answer = struct.pack(">ihhi", number, 0, -1, len(said)) + said
            answer += b"\0" * (8 if version else 0)
            writer.write(struct.pack(">i", len(answer)) + answer)
            if said is None:
                await writer.drain()
                return False
            if done:
                return True
            continue
        else:
            return False
        writer.write(struct.pack(">i", len(answer)) + answer)


async def _frame(reader: asyncio.StreamReader) -> bytes:
    (size,) = struct.unpack(">i", await reader.readexactly(4))
    return await reader.readexactly(size)


def _plain(users: dict[str, str], heard: Callable[[], bytes], rounds: int) -> Iterator[tuple[bytes | None, bool]]:
    yield b"", False
    _, name, password = heard().decode().split("\0")
    yield (b"" if users.get(name) == password else None), True


def _scram(users: dict[str, str], heard: Callable[[], bytes], rounds: int) -> Iterator[tuple[bytes | None, bool]]:
    yield b"", False
    first = heard().decode().removeprefix("n,,")
    parts = dict(part.split("=", 1) for part in first.split(","))
    salt, nonce = os.urandom(16), parts["r"] + base64.b64encode(os.urandom(12)).decode().replace(",", "")
    second = f"r={nonce},s={base64.b64encode(salt).decode()},i={rounds}"
    yield second.encode(), False
    last = heard().decode()
    bare, proof = last.rsplit(",p=", 1)
    salted = hashlib.pbkdf2_hmac("sha256", users.get(parts["n"], "").encode(), salt, min(rounds, 10_000))
    talked = f"{first},{second},{bare}".encode()
    key = hmac.digest(salted, b"Client Key", "sha256")
    signature = hmac.digest(hashlib.sha256(key).digest(), talked, "sha256")
    expected = bytes(one ^ other for one, other in zip(key, signature, strict=True))
    if parts["n"] not in users or base64.b64decode(proof) != expected:
        yield None, True
        return
    answer = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), talked, "sha256")
    yield b"v=" + base64.b64encode(answer), True
