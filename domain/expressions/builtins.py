"""Built-in names: random values and the clock, reproducible from the seed and start time that the events record."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from domain.expressions.errors import Fault

_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
_RANDOM: Mapping[str, Callable[[bytes], Any]] = {
    "UUID": lambda raw: str(UUID(bytes=raw[:16], version=4)),
    "RANDOM_ID": lambda raw: str(UUID(bytes=raw[:16], version=4)),
    "RANDOM_INT": lambda raw: int.from_bytes(raw[:8], "big") % 1_000_000,
    "RANDOM_STRING": lambda raw: "".join(_LETTERS[byte % 36] for byte in raw[:16]),
}
_CLOCK: Mapping[str, Callable[[datetime], Any]] = {
    "TIMESTAMP": lambda now: int(now.timestamp()),
    "TIMESTAMP_UNIX": lambda now: int(now.timestamp()),
    "TIMESTAMP_MS": lambda now: int(now.timestamp() * 1000),
    "ISO_TIMESTAMP": lambda now: now.strftime("%Y-%m-%dT%H:%M:%S.") + f"{now.microsecond // 1000:03d}Z",
    "DATE": lambda now: now.strftime("%Y-%m-%d"),
    "TODAY": lambda now: now.strftime("%Y-%m-%d"),
    "TIME": lambda now: now.strftime("%H:%M:%S"),
    "DATETIME": lambda now: now.strftime("%Y-%m-%d %H:%M:%S"),
    "YEAR": lambda now: now.year,
    "MONTH": lambda now: now.month,
    "DAY": lambda now: now.day,
    "HOUR": lambda now: now.hour,
    "MINUTE": lambda now: now.minute,
    "SECOND": lambda now: now.second,
}
_ALIASES = {"$uuid": "UUID", "$timestamp": "TIMESTAMP", "$random_int": "RANDOM_INT"}
_FAMILIES = ("random", "FAKER")


class Builtins:
    """The built-ins of one attempt. `monotonic` gives seconds that never go back; `faker` a value by provider name."""

    def __init__(
        self,
        seed: bytes | str,
        attempt: int,
        started_at: datetime,
        monotonic: Callable[[], float],
        identity: Mapping[str, str] | None = None,
        faker: Callable[[str, int], Any] | None = None,
    ) -> None:
        self.seed = seed.encode() if isinstance(seed, str) else seed
        self.attempt = attempt
        self.started_at = started_at.astimezone(UTC)
        self.monotonic = monotonic
        self.begun = monotonic()
        self.identity = dict(identity or {})
        self.faker = faker

    def at(self, step_path: str, iteration: int = 0, try_number: int = 1) -> BoundBuiltins:
        """The built-ins at one place of a flow: what they give does not depend on what runs beside it."""
        return BoundBuiltins(self, f"{self.attempt}|{step_path}|{iteration}|{try_number}")


class BoundBuiltins:
    """The built-ins at one place; each use of a random one gives the next value there."""

    __slots__ = ("_all", "_ordinal", "_place")

    def __init__(self, all: Builtins, place: str) -> None:
        self._all = all
        self._place = place
        self._ordinal = 0

    def now(self) -> datetime:
        """Start time plus the time that has passed since, in UTC."""
        return self._all.started_at + timedelta(seconds=self._all.monotonic() - self._all.begun)

    def find(self, name: str) -> tuple[bool, Any]:
        """Whether there is such a built-in, and its value."""
        name = _ALIASES.get(name, name)
        if name in _RANDOM:
            return True, _RANDOM[name](self._raw())
        if name in _CLOCK:
            return True, _CLOCK[name](self.now())
        if name in self._all.identity:
            return True, self._all.identity[name]
        return (True, Family(self, name)) if name in _FAMILIES else (False, None)

    def member(self, family: str, name: str) -> Any:
        """`random.uuid`, `FAKER.name`, `FAKER.name.firstName`."""
        if family == "random":
            found, value = self.find(
                {"uuid": "UUID", "int": "RANDOM_INT", "string": "RANDOM_STRING", "id": "RANDOM_ID"}.get(name, "")
            )
            if not found:
                raise Fault("name", f"there is no random.{name}", "there is: random.uuid, random.int, random.string, random.id")
            return value
        if self._all.faker is None:
            raise Fault("value", f"FAKER.{name} needs the extra testmesh[faker]", "install testmesh[faker]")
        return self._all.faker(name, int.from_bytes(self._raw()[:8], "big"))

    def known(self) -> list[str]:
        """Every built-in name."""
        return [*_RANDOM, *_CLOCK, *self._all.identity, *_FAMILIES]

    def _raw(self) -> bytes:
        self._ordinal += 1
        message = f"{self._place}|{self._ordinal}".encode()
        return hmac.new(self._all.seed, message, hashlib.sha256).digest()


class Family:
    """A group of built-ins behind a dot."""

    __slots__ = ("builtins", "name")

    def __init__(self, builtins: BoundBuiltins, name: str) -> None:
        self.builtins = builtins
        self.name = name
