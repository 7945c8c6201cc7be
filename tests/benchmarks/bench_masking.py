"""Masking: how long the secrets of an execution are looked for in a large text."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterator

from domain.masking import Masker
from tests.benchmarks.ratios import Benchmark, Row, at_most

MEGABYTE = 1_000_000
SECRETS = 200


def _masker(chance: random.Random) -> tuple[Masker, list[str]]:
    secrets = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyzABCDEFGHXYZ0123456789-_+/", k=24)) for _ in range(SECRETS)]
    masker = Masker(b"key")
    for secret in secrets:
        masker.add(secret)
    return masker, secrets


def _text(chance: random.Random, secrets: list[str], size: int) -> str:
    """JSON records as an API gives them, about one secret in 10,000 characters."""
    parts: list[str] = []
    length = 0
    while length < size:
        record = {"id": chance.randrange(10**9), "name": f"customer {chance.random()}", "note": "paid in full, thank you"}
        if not len(parts) % 100:
            record["token"] = chance.choice(secrets)
        parts.append(json.dumps(record))
        length += len(parts[-1])
    return "".join(parts)


def _timed(masker: Masker, text: str, secrets: list[str]) -> float:
    begun = time.perf_counter()
    masked = masker.mask_text(text)
    seconds = time.perf_counter() - begun
    assert not any(secret in masked for secret in secrets), "a secret shows itself"
    return seconds


def measure(quick: bool) -> Iterator[Row]:
    """Seconds for 10 MB; a body of the size that an event keeps, in milliseconds."""
    chance = random.Random(1)
    masker, secrets = _masker(chance)
    first = _timed(masker, _text(chance, secrets, 1000), secrets)
    text = _text(chance, secrets, 10 * MEGABYTE)
    samples = tuple(_timed(masker, text, secrets) for _ in range(1 if quick else 3))
    yield Row(f"{SECRETS} secrets in 10 MB of text", "the clock", samples, at_most(1.0), "s")
    yield Row(f"the first text after {SECRETS} secrets were added", "the clock", (first,), None, "s")


BENCHMARK = Benchmark(
    "masking",
    "Masking",
    "Text like the JSON of an API's answer, a secret in every 10,000 characters; every form of each secret is looked for."
    " This figure is in seconds, not a ratio.",
    measure,
)
