"""The connection behind the Redis actions: servers that hang up, answer nonsense or too much, and TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from application.actions.redis_commands import REDIS_COMMAND, REDIS_GET
from domain.limits import LIMITS
from tests.support.action_context import bench

pytestmark = pytest.mark.servers


@asynccontextmanager
async def server(replies: Sequence[bytes | None], tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server that gives these replies to what it receives, None for hanging up; its port, and what it received."""
    received: list[bytes] = []
    left = list(replies)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while left and (data := await reader.read(65_536)):
            received.append(data)
            reply = left.pop(0)
            if reply is None:
                break
            writer.write(reply)
        writer.close()

    listening = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=tls)
    async with listening:
        yield listening.sockets[0].getsockname()[1], received


async def test_a_command_whose_reply_does_not_come_is_not_sent_again() -> None:
    async with server([None, b"+OK\r\n"]) as (port, received), bench() as one:
        error = await one.error(REDIS_COMMAND, {"host": "127.0.0.1", "port": port, "command": "INCR a"})
        await asyncio.sleep(0.02)

    assert error.kind == "connection_error"
    assert len(received) == 1


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "protocol"),
        (b"$-7\r\n", "protocol"),
        (b"$many\r\n", "protocol"),
        (b"*1\r\n" * 5_000, "protocol"),
        (b"+" + b"x" * 70_000 + b"\r\n", "protocol"),
        (b"$5000000\r\n", "response_too_large"),
        (b"*3\r\n" + (b"$40000\r\n" + b"x" * 40_000 + b"\r\n") * 3, "response_too_large"),
        (b"-LOADING the dataset\r\n", "connection_error"),
    ],
)
async def test_a_server_that_answers_nonsense_or_too_much_is_told(reply: bytes, kind: str) -> None:
    async with server([reply]) as (port, _), bench(limits=replace(LIMITS, response_read_bytes=100_000)) as one:
        error = await one.error(REDIS_COMMAND, {"host": "127.0.0.1", "port": port, "command": "PING"})

    assert error.kind == kind


async def test_a_server_that_never_answers_the_login_is_a_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        async with bench(seconds=0.2) as one:
            config = {"host": "127.0.0.1", "port": silent.getsockname()[1], "password": "secret", "key": "k"}
            error = await one.error(REDIS_GET, config)

    assert error.kind == "timeout"


def certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A self-signed certificate of `localhost`, and the context of a server that shows it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, private = folder / "cert.pem", folder / "key.pem"
    public.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    unencrypted = serialization.NoEncryption()
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, unencrypted))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    return public, context


async def test_tls_checks_the_certificate_of_the_name_that_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public, context = certificate(tmp_path)
    async with server([b"+PONG\r\n"] * 2, context) as (port, _), bench() as one:
        config = {"port": port, "tls": True, "command": "PING"}
        assert (await one.error(REDIS_COMMAND, {**config, "host": "localhost"})).kind == "tls"
        unchecked = {**config, "host": "localhost", "verify_ssl": False}
        assert (await one.run(REDIS_COMMAND, unchecked))["value"] == "PONG"
        monkeypatch.setenv("SSL_CERT_FILE", str(public))
        assert (await one.run(REDIS_COMMAND, {**config, "host": "localhost"}))["value"] == "PONG"
        assert (await one.error(REDIS_COMMAND, {**config, "host": "127.0.0.1"})).kind == "tls"
