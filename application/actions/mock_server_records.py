"""What a mock server has received: requests as plain data, as many as the limits allow."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from domain.limits import Limits

_OVERHEAD = 512
_MOST_ERRORS = 20


class Records:
    """Requests in the order of their arrival, the first ones kept when there are too many, and errors of templates."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._bytes = 0
        self._news = asyncio.Event()
        self._untold: list[str] = []
        self.count = 0
        self.left_out = 0
        self.errors: list[str] = []
        self.requests: list[dict[str, Any]] = []

    def add(self, request: Mapping[str, Any], size: int) -> None:
        """One more, with the bytes of its head and body."""
        self._bytes += size + _OVERHEAD
        if len(self.requests) < self._limits.mock_requests and self._bytes <= self._limits.mock_recorded_bytes:
            self.requests.append(dict(request))
        else:
            self.left_out += 1
        self._news.set()

    def failed(self, message: str) -> None:
        """A template could not be resolved."""
        if len(self.errors) < _MOST_ERRORS and message not in self.errors:
            self.errors.append(message)
            self._untold.append(message)

    def untold(self) -> list[str]:
        """The errors that no step has told yet."""
        told, self._untold = self._untold, []
        return told

    def forget(self) -> int:
        """Drop all; how many there were."""
        number = len(self.requests) + self.left_out
        for kept in (self.requests, self.errors, self._untold):
            kept.clear()
        self._bytes = self.left_out = 0
        return number

    async def news(self) -> None:
        """Return when the next request has come."""
        self._news.clear()
        await self._news.wait()
