"""Faults of mock endpoints: connections that break, answers that never come, statuses that nobody expects."""

from __future__ import annotations

import socket
import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from application.engine.action import ActionError
from domain.values import dataclass

if TYPE_CHECKING:
    from aiohttp import web

_KINDS = ("reset", "empty", "hang", "malformed", "random_status")
_OTHER_NAMES = {"timeout": "hang", "close": "empty", "connection_reset": "reset", "empty_response": "empty"}
_STATUSES = (500, 502, 503, 504)
_NOT_HTTP = b"this is not HTTP\x00\xff\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong, and with which probability; `statuses` are those of random_status."""

    kind: str
    probability: float = 1.0
    statuses: tuple[int, ...] = _STATUSES


def read_fault(value: Any, where: str) -> Fault | None:
    """A kind, or an object of type, probability and statuses. ActionError `config` for others."""
    if value is None or value is False:
        return None
    given: Mapping[str, Any] = value if isinstance(value, Mapping) else {"type": value}
    if unknown := sorted(map(str, given.keys() - {"type", "kind", "probability", "statuses"})):
        raise ActionError("config", f"{where}: a fault has no key {unknown[0][:40]!r}: it has type, probability, statuses")
    kind = str(given.get("type", given.get("kind")))
    kind = _OTHER_NAMES.get(kind, kind)
    probability, statuses = given.get("probability", 1), given.get("statuses", _STATUSES)
    if kind not in _KINDS:
        raise ActionError("config", f"{where}: there is no fault {kind[:40]!r}", hint=f"one of {', '.join(_KINDS)}, timeout")
    if isinstance(probability, bool) or not isinstance(probability, int | float) or not 0 <= probability <= 1:
        raise ActionError("config", f"{where}: the probability of a fault is a number from 0 to 1")
    if not isinstance(statuses, list | tuple) or not statuses or not all(is_status(status) for status in statuses):
        raise ActionError("config", f"{where}: statuses is a list of numbers from 200 to 599")
    return Fault(kind, float(probability), tuple(statuses))


def is_status(value: Any) -> bool:
    """Whether it is the status of a final answer."""
    return isinstance(value, int) and not isinstance(value, bool) and 200 <= value <= 599


def chosen(fault: Fault | None, chance: int) -> Fault | None:
    """The fault if it is its turn: `chance` is a number below a million."""
    return fault if fault is not None and chance < fault.probability * 1_000_000 else None


async def suffer(kind: str, request: web.BaseRequest) -> None:
    """Let the connection end in this way; a hanging one ends when the client or the server gives up."""
    import asyncio

    transport = request.transport
    if kind == "hang":
        await asyncio.get_running_loop().create_future()
    if transport is None:
        return
    if kind == "malformed":
        transport.write(_NOT_HTTP)
    if kind == "reset":
        made = transport.get_extra_info("socket")
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    else:
        transport.close()
