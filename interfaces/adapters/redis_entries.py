"""Entries of the queue's streams: a run command as the fields of one, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from application.ports import Delivery, RunCommand
from interfaces.adapters.redis_streams import way_of


def fields_of(command: RunCommand) -> dict[Any, Any]:
    """What is added to a stream for it."""
    return {
        "execution": str(command.execution),
        "attempt": str(command.attempt),
        "kind": command.kind,
        "number": str(command.number),
    }


def delivery_of(stream: str, entry: Any, fields: Mapping[Any, Any] | None) -> Delivery:
    """An entry as a delivery; one that is not ours carries no command."""
    known = dict(fields or {})
    raw = {k.decode("utf-8", "replace"): v.decode("utf-8", "replace") for k, v in known.items()}
    try:
        kind = raw["kind"]
        if kind not in ("attempt", "teardown"):
            raise ValueError(kind)
        command = RunCommand(UUID(raw["execution"]), int(raw["attempt"]), kind, int(raw["number"]), *way_of(stream))
    except (KeyError, ValueError):
        return Delivery(entry.decode(), None, known, stream)
    return Delivery(entry.decode(), command, known, stream)
