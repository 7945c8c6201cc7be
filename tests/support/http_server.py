"""Small HTTP servers for tests: one answers as the test says, byte by byte if need be; both keep what they received."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it arrived; header names in lower case."""

    method: str
    target: str
    pairs: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def headers(self) -> dict[str, str]:
        """The last value of each header."""
        return dict(self.pairs)

    @property
    def path(self) -> str:
        """The target without the query."""
        return self.target.partition("?")[0]

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


Answer = Callable[[Received, asyncio.StreamWriter], Awaitable[bytes | None]]
"""Gives the bytes of the answer, or writes them itself and gives None: then the connection ends."""

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass(slots=True)
class HttpServer:
    """A running server: where it is, how many connections it had, and what it received."""

    url: str
    port: int
    connections: int = 0
    requests: list[Received] = field(default_factory=list)


def reply(
    body: bytes | str = b"", status: int = 200, headers: Iterable[tuple[str, str]] = (), *, length: int | None = None
) -> bytes:
    """The bytes of an answer with a Content-Length."""
    raw = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(raw) if length is None else length}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode() + raw


def reply_json(value: Any, status: int = 200, headers: Iterable[tuple[str, str]] = ()) -> bytes:
    """The bytes of an answer in JSON."""
    return reply(json.dumps(value), status, [("Content-Type", "application/json"), *headers])


def always(answer: bytes) -> Answer:
    """The same answer to every request."""

    async def give(received: Received, writer: asyncio.StreamWriter) -> bytes:
        return answer

    return give


def routes(**answers: bytes) -> Answer:
    """An answer for each first part of the path; 404 for others."""

    async def give(received: Received, writer: asyncio.StreamWriter) -> bytes:
        return answers.get(received.path.strip("/").replace("-", "_"), reply("no such thing", 404))

    return give


@asynccontextmanager
async def listening(talk: Talk, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """The free port of this machine where each connection is talked to; at the end of the block all are closed."""
    tasks: set[asyncio.Task[Any]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await talk(reader, writer)
            writer.close()
            async with asyncio.timeout(1):
                await writer.wait_closed()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            writer.transport.abort()
        tasks.discard(task)

    listener = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls, limit=4 * 1024 * 1024)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.001)
        await listener.wait_closed()


@asynccontextmanager
async def http_server(answer: Answer, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[HttpServer]:
    """A server that answers as the function says."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        await _serve(server, answer, reader, writer)

    async with listening(talk, tls=tls) as port:
        server = HttpServer(f"{'https' if tls else 'http'}://127.0.0.1:{port}", port)
        yield server


async def _serve(server: HttpServer, answer: Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        received = await _receive(reader)
        server.requests.append(received)
        given = await answer(received, writer)
        if given is None:
            return
        writer.write(given)
        await writer.drain()


async def _receive(reader: asyncio.StreamReader) -> Received:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.strip().split("\r\n")
    method, target, _ = first.split(" ", 2)
    pairs = tuple((name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines))
    body = await reader.readexactly(int(dict(pairs).get("content-length", "0")))
    return Received(method, target, pairs, body)


@asynccontextmanager
async def http2_server(*, tls: ssl.SSLContext | None = None) -> AsyncIterator[HttpServer]:
    """A server of HTTP/2 (with prior knowledge unless there is TLS) that answers each request with the size of its body."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        await _serve_http2(server, reader, writer)

    async with listening(talk, tls=tls) as port:
        server = HttpServer(f"{'https' if tls else 'http'}://127.0.0.1:{port}", port)
        yield server


async def _serve_http2(server: HttpServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    from h2 import config, connection, events

    talk = connection.H2Connection(config.H2Configuration(client_side=False, header_encoding="utf-8"))
    talk.initiate_connection()
    heads: dict[int, dict[str, str]] = {}
    bodies: dict[int, bytes] = {}
    writer.write(talk.data_to_send())
    while data := await reader.read(65536):
        for event in talk.receive_data(data):
            if isinstance(event, events.RequestReceived):
                heads[event.stream_id] = {str(name): str(value) for name, value in event.headers}
                bodies[event.stream_id] = b""
            elif isinstance(event, events.DataReceived):
                bodies[event.stream_id] += event.data
                talk.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, events.StreamEnded):
                head, body = heads[event.stream_id], bodies[event.stream_id]
                server.requests.append(Received(head[":method"], head[":path"], tuple(head.items()), body))
                talk.send_headers(event.stream_id, [(":status", "200"), ("content-type", "text/plain")])
                talk.send_data(event.stream_id, str(len(body)).encode(), end_stream=True)
        writer.write(talk.data_to_send())
        await writer.drain()


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate for 127.0.0.1 that signs itself, and its key, as PEM text and as a file of both."""

    certificate: str
    key: str
    file: Path

    def server(self, *protocols: str, client: str = "") -> ssl.SSLContext:
        """The context of a server; with `client`, only those with this certificate may enter."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file)
        if protocols:
            context.set_alpn_protocols(list(protocols))
        if client:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(cadata=client)
        return context


def new_identity(folder: Path) -> Identity:
    """An identity that is good for an hour, its file in this folder."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    hour = datetime.timedelta(hours=1)
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - hour, now + hour)
        .add_extension(here, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    text = certificate.public_bytes(pem).decode()
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain).decode()
    file = folder / "both.pem"
    file.write_text(text + secret)
    return Identity(text, secret, file)
