"""Reading an answer within limits: counted, decompressed in steps, and kept only as far as it is shown."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from application.actions.http_errors import too_large
from application.engine.action import ActionError
from domain.limits import Limits

if TYPE_CHECKING:
    import httpx

_STEP = 64 * 1024
ENCODINGS = "gzip, deflate"
"""What a request says that it accepts."""


@dataclass(slots=True)
class Body:
    """What came: the part that is kept, the whole size in bytes after decompression, and the hash of the whole."""

    kept: bytearray = field(default_factory=bytearray)
    size: int = 0
    read: int = 0
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)

    @property
    def truncated(self) -> bool:
        """Whether there was more than is kept."""
        return self.size > len(self.kept)


async def read_body(response: httpx.Response, limits: Limits) -> Body:
    """The body of an answer. ActionError `response_too_large` beyond a limit, `protocol` for an encoding that is broken."""
    body = Body()
    async with aclosing(decoded(response, limits, body)) as parts:
        async for part in parts:
            body.digest.update(part)
            room = limits.response_kept_bytes - len(body.kept)
            if room > 0:
                body.kept += part[:room]
    return body


async def decoded(response: httpx.Response, limits: Limits, body: Body) -> AsyncGenerator[bytes, None]:
    """The parts of an answer as they come, decompressed and counted in `body`. Errors as of `read_body`."""
    check_headers(response, limits)
    decoder = decoder_of(response.headers.get("content-encoding", ""))
    async with aclosing(_pieces(response)) as pieces:
        async for piece in pieces:
            body.read += len(piece)
            if body.read > limits.response_read_bytes:
                raise too_large(f"the answer is larger than {limits.response_read_bytes} bytes")
            for part in decoder.feed(piece):
                _count(body, part, limits)
                yield part
    if body.read and not decoder.complete:
        raise ActionError("protocol", "the compressed answer ended early")


def check_headers(response: httpx.Response, limits: Limits) -> None:
    """ActionError if all headers together are over the limit."""
    size = sum(len(name) + len(value) + 4 for name, value in response.headers.raw)
    if size > limits.response_header_bytes:
        raise too_large(f"the headers of the answer are larger than {limits.response_header_bytes} bytes")


def _count(body: Body, part: bytes, limits: Limits) -> None:
    body.size += len(part)
    if body.size > limits.response_read_bytes:
        raise too_large(f"the answer is larger than {limits.response_read_bytes} bytes when decompressed")
    if body.size > limits.response_kept_bytes and body.size > body.read * limits.decompression_ratio:
        raise too_large(f"the answer grows more than {limits.decompression_ratio} times when decompressed")


def _pieces(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    pieces: AsyncGenerator[bytes, None] = response.stream.__aiter__()  # type: ignore[assignment, union-attr]
    return pieces


class Decoder(Protocol):
    """Undoes an encoding piece by piece; `complete` says whether its end was seen."""

    complete: bool

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """What the piece holds, in parts of bounded size."""
        ...


class _Plain:
    complete = True

    def feed(self, piece: bytes) -> Iterator[bytes]:
        yield piece


class _Zlib:
    """gzip, of several members too, and deflate in both of its readings (RFC 9110 section 8.4.1.2)."""

    def __init__(self, *, gzip: bool) -> None:
        self._gzip = gzip
        self._lead = b""
        self._inflate = zlib.decompressobj(31) if gzip else None
        self.complete = False

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """What the piece holds, in parts of bounded size."""
        if self._inflate is None:
            self._lead += piece
            if len(self._lead) < 2:
                return
            piece = self._lead
            self._inflate = zlib.decompressobj(15 if _has_zlib_header(piece) else -15)
        yield from self._parts(piece)

    def _parts(self, piece: bytes) -> Iterator[bytes]:
        pending = False
        while piece or pending:
            assert self._inflate is not None
            if self._inflate.eof:
                if not self._gzip or not piece.startswith(b"\x1f"):
                    return
                self._inflate = zlib.decompressobj(31)
            part = self._step(piece)
            self.complete = self._inflate.eof
            pending = len(part) == _STEP and not self._inflate.eof
            piece = self._inflate.unconsumed_tail or self._inflate.unused_data
            if part:
                yield part

    def _step(self, piece: bytes) -> bytes:
        assert self._inflate is not None
        try:
            return self._inflate.decompress(piece, _STEP)
        except zlib.error as error:
            raise ActionError("protocol", f"the compressed answer is broken: {error}") from None


def _has_zlib_header(piece: bytes) -> bool:
    return piece[0] & 0x0F == 8 and (piece[0] << 8 | piece[1]) % 31 == 0


def decoder_of(encoding: str) -> Decoder:
    """What undoes a Content-Encoding. ActionError `protocol` for one that is not known."""
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return _Plain()
    if name in ("gzip", "x-gzip", "deflate"):
        return _Zlib(gzip=name != "deflate")
    raise ActionError(
        "protocol", f"the answer is encoded as {name[:40]!r}", hint=f"ask for what can be read: Accept-Encoding: {ENCODINGS}"
    )
