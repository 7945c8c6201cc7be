"""Why an attempt ends before its steps do: what whoever stops it says, and what those who record its steps read."""

from __future__ import annotations

from typing import Literal

from domain.values import dataclass

Stop = Literal["cancelled", "timed_out", "lost", "drain"]
"""Why an attempt is stopped from outside. After `lost` and `drain` its teardown belongs to another worker."""


@dataclass(slots=True, eq=False, repr=False)
class Ending:
    """What is known of the end of one attempt so far."""

    stop: Stop | None = None
    message: str = ""
    """The first cause in words."""
    cause: str = ""

    @property
    def elsewhere(self) -> bool:
        """Whether teardown, and what would be recorded now, belongs to another worker."""
        return self.stop in ("lost", "drain")

    def explain(self, message: str) -> None:
        """The same in words; the first cause stands."""
        self.message = self.message or message
