"""Reading an answer within limits: counted, decompressed in steps, and kept only as far as it is shown."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing
from dataclasses import field
from typing import Protocol

from application.actions.http_errors import too_large
from application.actions.http_messages import Response
from application.engine.action import ActionError
from domain.limits import Limits
from domain.values import dataclass

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


async def read_body(response: Response, limits: Limits) -> Body:
    """The body of an answer. ActionError `response_too_large` beyond a limit, `protocol` for an encoding that is broken."""
    body = Body()
    reading = _Reading(response, limits, body)
    async with aclosing(response.pieces) as pieces:
        async for piece in pieces:
            for part in reading.feed(piece):
                body.digest.update(part)
                room = limits.response_kept_bytes - len(body.kept)
                if room > 0:
                    body.kept += part[:room]
    reading.end()
    return body


async def decoded(response: Response, limits: Limits, body: Body) -> AsyncGenerator[bytes, None]:
    """The parts of an answer as they come, decompressed and counted in `body`. Errors as of `read_body`."""
    reading = _Reading(response, limits, body)
    async with aclosing(response.pieces) as pieces:
        async for piece in pieces:
            for part in reading.feed(piece):
                yield part
    reading.end()


class _Reading:
    """Counts and decompresses what comes."""

    def __init__(self, response: Response, limits: Limits, body: Body) -> None:
        check_headers(response, limits)
        self._limits = limits
        self._body = body
        self._decoder = decoder_of(response.header(b"content-encoding"))
        self._plain = isinstance(self._decoder, _Plain)

    def feed(self, piece: bytes) -> Iterable[bytes]:
        """The parts that a piece of the wire comes to."""
        self._body.read += len(piece)
        if self._body.read > self._limits.response_read_bytes:
            raise too_large(f"the answer is larger than {self._limits.response_read_bytes} bytes")
        if self._plain:
            self._body.size += len(piece)
            return (piece,)
        return self._decoded(piece)

    def _decoded(self, piece: bytes) -> Iterator[bytes]:
        for part in self._decoder.feed(piece):
            _count(self._body, part, self._limits)
            yield part

    def end(self) -> None:
        """The answer is here; ActionError if its encoding is not at an end."""
        if self._body.read and not self._decoder.complete:
            raise ActionError("protocol", "the compressed answer ended early")


def check_headers(response: Response, limits: Limits) -> None:
    """ActionError if all headers together are over the limit."""
    size = sum(len(name) + len(value) + 4 for name, value in response.headers)
    if size > limits.response_header_bytes:
        raise too_large(f"the headers of the answer are larger than {limits.response_header_bytes} bytes")


def _count(body: Body, part: bytes, limits: Limits) -> None:
    body.size += len(part)
    if body.size > limits.response_read_bytes:
        raise too_large(f"the answer is larger than {limits.response_read_bytes} bytes when decompressed")
    if body.size > limits.response_kept_bytes and body.size > body.read * limits.decompression_ratio:
        raise too_large(f"the answer grows more than {limits.decompression_ratio} times when decompressed")


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
    """For a content encoding. ActionError `protocol` for one that is not known."""
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return _Plain()
    if name in ("gzip", "x-gzip", "deflate"):
        return _Zlib(gzip=name != "deflate")
    raise ActionError(
        "protocol", f"the answer is encoded as {name[:40]!r}", hint=f"ask for what can be read: Accept-Encoding: {ENCODINGS}"
    )
