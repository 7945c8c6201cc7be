"""Egress: which addresses a step may connect to, judged for every address of an answer and again at the socket."""

from __future__ import annotations

from typing import Protocol


class EgressPolicy(Protocol):
    """Judges addresses. Implemented below by LocalPolicy (all allowed) and RefusingPolicy (an allow list)."""

    def check(self, host: str, address: str, port: int) -> None:
        """Raise EgressRefused when the connection to this address (an IP literal) must not be made."""
        ...
