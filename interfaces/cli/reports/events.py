"""Events as plain data: one form for what was recorded here and what a server's feed sends."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from operator import itemgetter
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
    each assertion with its verdict, the attempt and the end. Times, ids and sizes vary, and so does the order of what runs
    side by side: steps of parallel branches and loops stand branch by branch, without the numbers that tell that order."""
    lines: list[tuple[tuple[str, ...], tuple[Any, ...]]] = []
    beside: set[str] = set()
    for event in events:
        name, data = event["topic"].split(".", 1)[1], event["event"]
        branches = _branches(data["path"], beside) if "path" in data else ()
        if name == "step_started":
            number = None if branches else data["number"]
            lines.append((branches, (name, data["attempt"], data["path"], data["phase"], number, data["action"])))
            if data["action"] in ("parallel", "for_each"):
                beside.add(data["path"])
        elif name == "step_finished":
            outcome = data["outcome"]
            lines.append((branches, (name, data["attempt"], data["path"], outcome["verdict"], *_tries(outcome))))
        elif name == "finished":
            lines.append((branches, (name, data["attempt"], data["verdict"], data["cause"])))
        elif name in ("attempt_started", "teardown_started", "teardown_finished"):
            lines.append((branches, (name, data["attempt"], data.get("number"), data.get("verdict"))))
    blocks = ([*block] for _, block in groupby(lines, key=lambda line: bool(line[0])))
    return [line for block in blocks for _, line in sorted(block, key=itemgetter(0))]


def _branches(path: str, beside: set[str]) -> tuple[str, ...]:
    """The branches and iterations that a step stands in, from the outside to the inside."""
    ends = [at for at, sign in enumerate(path) if sign in "/["]
    inside = [at for at in ends if path[:at] in beside]
    return tuple(path[: next((end for end in ends if end > at and path[end] == "/"), len(path))] for at in inside)


def _tries(outcome: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    return [(made["verdict"], (made["error"] or {}).get("kind"), *_checks(made)) for made in outcome["tries"]]


def _checks(made: Mapping[str, Any]) -> list[tuple[str, bool]]:
    return [(check["expression"], check["passed"]) for check in made["assertions"]]
