"""Batches are measured before they are unpacked."""

from __future__ import annotations

import gzip
import struct
from types import SimpleNamespace
from typing import Any

import pytest

from application.actions.kafka_batches import check_batches
from application.engine.action import ActionError

MOST = 100_000


def batch(records: bytes, codec: int = 1, magic: int = 2) -> bytes:
    """A batch with these packed records, as a broker sends it (kafka.apache.org, record batch)."""
    after = struct.pack(">ibIh", 0, magic, 0, codec) + bytes(61 - 23) + records
    if magic < 2:
        after = struct.pack(">Ibb", 0, magic, codec) + bytes(61 - 18) + records
    return struct.pack(">qi", 0, len(after)) + after


def answer(*record_sets: bytes | None) -> Any:
    """A fetch answer with one partition for each record set."""
    return SimpleNamespace(topics=[("t", [(number, 0, 0, records) for number, records in enumerate(record_sets)])])


def test_batches_up_to_the_limit_pass() -> None:
    check_batches(answer(None, b"", batch(gzip.compress(bytes(40_000))) * 2, batch(b"plain", codec=0)), MOST)
    check_batches(SimpleNamespace(topics=None), MOST)


@pytest.mark.parametrize(
    "records",
    [
        batch(gzip.compress(bytes(MOST + 1))),
        batch(gzip.compress(bytes(60_000))) * 2,
        batch(gzip.compress(bytes(60_000)) + gzip.compress(bytes(60_000))),
        batch(gzip.compress(b"x"), magic=1),
        batch(bytes(MOST), codec=0),
    ],
    ids=["one batch", "two batches", "two members", "compressed in an old format", "not compressed"],
)
def test_what_unpacks_to_more_is_refused(records: bytes) -> None:
    with pytest.raises(ActionError) as raised:
        check_batches(answer(records), MOST)
    assert raised.value.kind == "response_too_large"


@pytest.mark.parametrize("cut", [1, 12, 60, 70])
def test_what_is_cut_off_or_broken_does_no_harm(cut: int) -> None:
    check_batches(answer(batch(gzip.compress(bytes(1000)))[:cut]), MOST)
    check_batches(answer(batch(b"this is no gzip")), MOST)
    check_batches(answer(struct.pack(">qi", 0, -1) + bytes(100)), MOST)
