"""How the queue reaches Redis: what a URL says, and what it means when no answer comes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from redis.exceptions import RedisError

from domain.errors import Unavailable

CLUSTER = "+cluster"
"""In the scheme of a URL: redis+cluster://host:port."""


def plain_url(url: str) -> str:
    """As redis-py takes it."""
    return url.replace(CLUSTER, "", 1)


def is_cluster(url: str) -> bool:
    """Whether it names a Redis Cluster."""
    return CLUSTER in url.split(":", 1)[0]


@contextmanager
def answering() -> Iterator[None]:
    """Unavailable where Redis does not answer, or refuses."""
    try:
        yield
    except RedisError as error:
        raise Unavailable(f"Redis does not answer: {error}") from error
