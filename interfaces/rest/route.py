"""What the table of routes says of each route."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal

from domain.limits import LIMITS
from domain.values import dataclass
from interfaces.rest.bodies import NoQuery
from interfaces.rest.call import Call, Reply

Handler = Callable[[Call], Awaitable[Reply]]
Access = Literal["anonymous", "key"]


@dataclass(frozen=True, slots=True)
class Route:
    """One row. `scope` is what a key needs beyond being valid; `idempotent` routes take an Idempotency-Key."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    handler: Handler
    summary: str
    access: Access = "key"
    scope: str | None = None
    query: type[Any] = NoQuery
    body: type[Any] | None = None
    status: int = 200
    errors: tuple[int, ...] = ()
    idempotent: bool = False
    body_limit: int = LIMITS.request_body_bytes
    media: str = "application/json"

    @property
    def name(self) -> str:
        """Unique in the table."""
        return f"{self.handler.__module__.rsplit('.', 1)[1]}_{self.handler.__name__}"
