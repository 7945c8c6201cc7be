"""Events as plain data: one form for what was recorded here and what a server's feed sends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_OWN = frozenset({"originator_id", "originator_version", "timestamp", "state", "request_digest"})


def plain_event(event: Any, position: int) -> dict[str, Any]:
    """A recorded event as the feed shows it: position, execution, version, topic, at, and its own fields as `event`."""
    fields: Mapping[str, Any] = vars(event)
    return {
        "feed_id": position,
        "execution": str(event.originator_id),
        "version": event.originator_version,
        "topic": event.TOPIC,
        "at": event.timestamp.isoformat(),
        "event": {name: value for name, value in fields.items() if name not in _OWN},
    }


def normalised(events: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """What must be equal when the same flow runs here and on a worker: each step's place, action, tries and verdict,
    each assertion with its verdict, the attempt and the end. Times, ids and sizes vary."""
    lines: list[tuple[Any, ...]] = []
    for event in events:
        name, data = event["topic"].split(".", 1)[1], event["event"]
        if name == "step_started":
            lines.append((name, data["attempt"], data["path"], data["phase"], data["number"], data["action"]))
        elif name == "step_finished":
            lines.append((name, data["attempt"], data["path"], data["outcome"]["verdict"], *_tries(data["outcome"])))
        elif name == "finished":
            lines.append((name, data["attempt"], data["verdict"], data["cause"]))
        elif name in ("attempt_started", "teardown_started", "teardown_finished"):
            lines.append((name, data["attempt"], data.get("number"), data.get("verdict")))
    return lines


def _tries(outcome: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    return [(made["verdict"], (made["error"] or {}).get("kind"), *_checks(made)) for made in outcome["tries"]]


def _checks(made: Mapping[str, Any]) -> list[tuple[str, bool]]:
    return [(check["expression"], check["passed"]) for check in made["assertions"]]
