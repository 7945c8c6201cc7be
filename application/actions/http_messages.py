"""What goes over the wire and comes back: the two values between our HTTP client and its transports."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import field
from typing import Protocol

from application.actions.http_url import Url
from domain.values import dataclass

Pairs = list[tuple[str, str]]
RawPairs = tuple[tuple[bytes, bytes], ...]


@dataclass(slots=True, eq=False, repr=False)
class Request:
    """One request, complete: `headers` are sent as they are, in this order, and none is added. `tls` is None for the default
    of the transport; `proxy_headers` go with CONNECT. Not frozen, as that would cost more than all else here."""

    method: str
    url: Url
    headers: Pairs
    content: bytes = b""
    tls: ssl.SSLContext | None = None
    proxy: Url | None = None
    proxy_headers: Pairs = field(default_factory=list)


class Pieces(Protocol):
    """A body as it comes."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def aclose(self) -> None:
        """No more of it is wanted."""


@dataclass(slots=True, eq=False, repr=False)
class Response:
    """The head of an answer, and its body as it comes. `headers` are as received, repeated ones included. Whoever has a
    response closes it; a connection whose answer is not read to the end is not used again."""

    status: int
    headers: RawPairs
    http_version: str
    pieces: Pieces
    close: Callable[[], Awaitable[None]]

    def header(self, name: bytes) -> str:
        """The value of a header by its name in lower case; repeated ones joined by `, `, empty when there is none."""
        found = [value for given, value in self.headers if given.lower() == name]
        return ", ".join(map(header_text, found)) if found else ""


class Transport(Protocol):
    """Sends a request once. Errors are ActionErrors."""

    async def send(self, request: Request) -> Response: ...


def header_text(value: bytes) -> str:
    """UTF-8, else Latin-1, which every byte is."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
