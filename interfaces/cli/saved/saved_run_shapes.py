"""The shapes that readers of events rely on, checked where events come from a file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

_NUMBER = (int, float)
_LARGEST = 1_000_000_000
_WIDEST = 1_000_000
_DEPTH = 128
"""Values of an event are at most half as deep where they are recorded; encoders give up at twice this."""


class BadShape(Exception):
    """Something is not what it has to be."""


def checked_meta(found: dict[str, Any]) -> dict[str, Any]:
    """The fields that are used, with what stands for those that are missing."""
    meta = {"repeated": {}, "skipped": [], "sources": [], "left_out": [], "secret_names": [], "masked": False, **found}
    _need(isinstance(meta["repeated"], dict) and _texts(meta["repeated"].values()), "repeated")
    _need(
        isinstance(meta["skipped"], list) and all(isinstance(p, list) and len(p) == 2 and _texts(p) for p in meta["skipped"]),
        "skipped",
    )
    for name in ("sources", "left_out", "secret_names"):
        _need(isinstance(meta[name], list) and _texts(meta[name]), name)
    return meta


def checked_event(event: Any) -> dict[str, Any]:
    """The event, its parts of the kinds that they must be."""
    _need(isinstance(event, dict), "event")
    for name in ("execution", "topic", "at"):
        _need(isinstance(event.get(name), str), name)
    _need(_is_count(event.get("version")), "version")
    _need(_is_shallow(event), "depth")
    _need(event["topic"].startswith("execution."), "topic")
    try:
        at = datetime.fromisoformat(event["at"])
    except ValueError:
        raise BadShape("a time cannot be read") from None
    data = event.get("event")
    _need(isinstance(data, dict), "event")
    checks = {
        "requested": _requested,
        "step_started": _started,
        "step_finished": _finished,
        "log_written": _logs,
        "finished": _end,
    }
    check = checks.get(event["topic"].partition(".")[2])
    if check is not None:
        check(data)
    if "attempt" in data:
        _need(_is_count(data["attempt"]), "attempt")
    return {**event, "at": (at if at.tzinfo else at.replace(tzinfo=UTC)).isoformat()}


def _requested(data: dict[str, Any]) -> None:
    for name in ("flow_name", "file", "seed"):
        _need(isinstance(data.get(name), str), name)
    _need(isinstance(data.get("case", ""), str), "case")
    _need(isinstance(data.setdefault("variables", {}), dict), "variables")


def _started(data: dict[str, Any]) -> None:
    for name in ("path", "phase", "name", "action"):
        _need(isinstance(data.get(name), str), name)
    for name in ("number", "attempt"):
        _need(_is_count(data.get(name)), name)


def _logs(data: dict[str, Any]) -> None:
    _need(isinstance(data.get("path"), str) and isinstance(data.get("attempt"), int), "path")
    lines = data.get("lines")
    _need(
        isinstance(lines, list) and all(isinstance(i, dict) and _texts((i.get("level"), i.get("message"))) for i in lines),
        "lines",
    )


def _end(data: dict[str, Any]) -> None:
    _need(_texts((data.get("verdict"), data.get("cause"), data.get("message"))), "verdict")
    _need(isinstance(data.get("outputs"), dict), "outputs")


def _finished(data: dict[str, Any]) -> None:
    _need(isinstance(data.get("path"), str) and isinstance(data.get("attempt"), int), "path")
    outcome: Any = data.get("outcome")
    _need(isinstance(outcome, dict), "outcome")
    _need(isinstance(outcome.get("verdict"), str) and isinstance(outcome.get("duration_ms"), _NUMBER), "verdict")
    for name, kind in (("tries", list), ("outputs", dict)):
        _need(isinstance(outcome.setdefault(name, kind()), kind), name)
    for name in ("reason", "file"):
        _need(isinstance(outcome.get(name), str | None), name)
    _exchange(outcome.get("exchange"))
    _error(outcome)
    for made in outcome["tries"]:
        _try(made)


def _exchange(found: Any) -> None:
    _need(isinstance(found, dict | None), "exchange")
    for side in ("request", "response"):
        one = (found or {}).get(side)
        _need(isinstance(one, dict | None), side)
        if one:
            _need(isinstance(one.get("headers"), dict | list | str | None), "headers")


def _error(holder: dict[str, Any]) -> None:
    error = holder.setdefault("error", None)
    _need(isinstance(error, dict | None), "error")
    if error is not None:
        _need(_texts((error.get("kind"), error.get("message"))), "error")
        _place(error)


def _place(found: Mapping[str, Any]) -> None:
    for name in ("line", "column"):
        _need(found.get(name) is None or _is_count(found[name], _WIDEST), name)


def _try(made: Any) -> None:
    _need(isinstance(made, dict) and isinstance(made.get("number"), int), "try")
    _need(isinstance(made.get("verdict"), str) and isinstance(made.get("duration_ms"), _NUMBER), "try")
    _error(made)
    _need(isinstance(made.setdefault("assertions", []), list), "assertions")
    for check in made["assertions"]:
        _need(isinstance(check, dict) and isinstance(check.get("expression"), str), "assertion")
        _need(isinstance(check.get("passed"), bool), "assertion")
        for name in ("message", "error"):
            _need(isinstance(check.setdefault(name, None), str | None), name)
        for name in ("expected", "actual"):
            check.setdefault(name, None)
        for name in ("values", "diff"):
            _need(isinstance(check.setdefault(name, []), list), name)
        _need(_texts(check["diff"]), "diff")
        for name in ("line", "column"):
            _need(_is_count(check.setdefault(name, 0), _WIDEST), name)
        _need(isinstance(check.setdefault("operator", ""), str), "operator")


def _is_count(value: Any, largest: int = _LARGEST) -> bool:
    return type(value) is int and 0 <= value <= largest


def _is_shallow(value: Any) -> bool:
    level = [value]
    for _ in range(_DEPTH):
        level = [inner for one in level for inner in _inside(one)]
        if not level:
            return True
    return False


def _inside(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _texts(values: Any) -> bool:
    return all(isinstance(value, str) for value in values)


def _need(holds: bool, what: str) -> None:
    if not holds:
        raise BadShape(f"its {what} is missing, or not what it has to be")
