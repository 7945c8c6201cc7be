"""Measures fetched record batches before aiokafka unpacks them: a few bytes must not become gigabytes."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any

from application.engine.action import ActionError

_PREFIX = struct.Struct(">qi")
_ATTRIBUTES_AT, _RECORDS_AT, _MAGIC_AT = 21, 61, 16
_CODEC, _GZIP = 0x07, 1
_STEP = 1 << 20


def check_batches(response: Any, most: int) -> None:
    """ActionError `response_too_large` when the gzip batches of a fetch answer unpack to more than `most` bytes in all.

    Batches of the format of Kafka 0.11 and later (magic 2). Older ones are refused when they are compressed; other codecs need
    a package that is not part of the extra, and are bounded by the size of the answer alone.
    """
    left = most
    for _, partitions in response.topics or ():
        for partition in partitions:
            for batch in _batches(memoryview(partition[-1] or b"")):
                left -= _unpacked(batch, left)
                if left < 0:
                    raise ActionError("response_too_large", f"the messages of one answer unpack to more than {most} bytes")


def _batches(records: memoryview) -> Iterator[memoryview]:
    """Each whole batch of a record set; the last may be cut off by the broker."""
    at = 0
    while at + _RECORDS_AT <= len(records):
        _, length = _PREFIX.unpack_from(records, at)
        end = at + _PREFIX.size + length
        if length < 0 or end > len(records):
            return
        yield records[at:end]
        at = end


def _unpacked(batch: memoryview, most: int) -> int:
    """How many bytes a batch unpacks to; anything over `most` once it is more."""
    if len(batch) < _RECORDS_AT or batch[_MAGIC_AT] != 2:
        return len(batch) if len(batch) < _RECORDS_AT or not batch[_MAGIC_AT + 1] & _CODEC else most + 1
    if batch[_ATTRIBUTES_AT + 1] & _CODEC != _GZIP:
        return len(batch)
    return _gunzipped(batch[_RECORDS_AT:], most)


def _gunzipped(data: Any, most: int) -> int:
    """The size of what gzip has packed, all members (RFC 1952) counted; of no interest when it is broken."""
    size, unpacker = 0, zlib.decompressobj(wbits=31)
    try:
        while data and size <= most:
            size += len(unpacker.decompress(data, _STEP))
            data = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
            unpacker = zlib.decompressobj(wbits=31) if unpacker.eof else unpacker
    except zlib.error:
        return size
    return size
