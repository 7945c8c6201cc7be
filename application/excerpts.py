"""Excerpts: values and outcomes of any size, made to fit an event without losing their shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from domain.limits import LIMITS
from domain.outcome import AssertionOutcome, StepOutcome, Try, as_record

_AS_IT_IS = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
ROUNDS = ((2000, 50), (500, 20), (100, 5), (40, 2))
"""Characters of a text and items of a list that are kept, ever fewer until the whole fits."""


def plain(value: Any) -> Any:
    """The value as JSON that PostgreSQL and orjson can keep, a copy: no NUL, no lone surrogates, no huge integers, no NaN."""
    # Whatever orjson takes is plain already, but for NUL, and for NaN, which it writes as null. Where the text has neither, to
    # read it back takes a fraction of the time of a walk.
    try:
        text = orjson.dumps(value, option=_AS_IT_IS)
    except TypeError:
        return _plain(value)
    if b"\\u0000" in text or b"null" in text:
        return _plain(value)
    return orjson.loads(text)


def plain_outcome(outcome: StepOutcome) -> dict[str, Any]:
    """A step's outcome as plain data by field."""
    return {
        "verdict": outcome.verdict,
        "duration_ms": outcome.duration_ms,
        "tries": [_plain_try(made) for made in outcome.tries],
        "outputs": plain(outcome.outputs),
        "result": plain(outcome.result),
        "error": _plain(as_record(outcome.error)),
        "reason": _plain(outcome.reason),
        "exchange": plain(outcome.exchange),
        "file": _plain(outcome.file),
    }


def _plain_try(made: Try) -> dict[str, Any]:
    return {
        "number": made.number,
        "verdict": made.verdict,
        "duration_ms": made.duration_ms,
        "error": _plain(as_record(made.error)),
        "assertions": [_plain_check(check) for check in made.assertions],
    }


def _plain_check(check: AssertionOutcome) -> dict[str, Any]:
    return {
        "expression": _plain(check.expression),
        "passed": check.passed,
        "message": _plain(check.message),
        "error": _plain(check.error),
        "line": check.line,
        "column": check.column,
        "offset": check.offset,
        "expected": _plain(check.expected),
        "actual": _plain(check.actual),
        "operator": check.operator,
        "values": _plain(check.values),
        "diff": _plain(check.diff),
    }


def _plain(value: Any) -> Any:
    kind = type(value)
    if kind is str:
        return value if value.isascii() and "\x00" not in value else _text(value)
    if value is None or kind is bool:
        return value
    if kind is dict:
        return {
            key if type(key) is str and key.isascii() and "\x00" not in key else _text(str(key)): _plain(item)
            for key, item in value.items()
        }
    if kind is list or kind is tuple:
        return [_plain(item) for item in value]
    return _plain_of_another_kind(value)


def _plain_of_another_kind(value: Any) -> Any:
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**64 else str(value)
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else str(value)
    if isinstance(value, Mapping):
        return _plain(dict(value))
    if isinstance(value, list | tuple | set | frozenset):
        return _plain(list(value))
    if isinstance(value, bytes):
        return _text(value.decode("utf-8", "replace"))
    return _text(str(value))


def _text(text: str) -> str:
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8", "replace")


def is_light(value: Any, most: int) -> bool:
    """Whether a value has at most so many characters and parts; looks no further than that."""
    pending, left = [value], most
    while pending:
        item = pending.pop()
        kind = type(item)
        left -= len(item) if kind is str or kind is bytes else 1
        if left < 0:
            return False
        if kind is dict:
            pending.extend(item.values())
        elif kind is list or kind is tuple:
            pending.extend(item)
    return True


def shorten(value: Any, text: int = 500, items: int = 20, depth: int = 5) -> Any:
    """An excerpt: long texts cut, long lists and objects cut, deep ones flattened, each cut said."""
    if isinstance(value, str) and len(value) > text:
        return f"{value[:text]}... ({len(value)} characters)"
    if isinstance(value, dict | list) and depth == 0:
        return f"... ({len(value)} items)"
    if isinstance(value, dict):
        kept = {key: shorten(item, text, items, depth - 1) for key, item in list(value.items())[:items]}
        return kept if len(value) <= items else {**kept, "...": f"{len(value) - items} more"}
    if isinstance(value, list):
        some = [shorten(item, text, items, depth - 1) for item in value[:items]]
        return some if len(value) <= items else [*some, f"... {len(value) - items} more"]
    return value


def fits(record: Mapping[str, Any]) -> bool:
    """Whether it leaves room in an event for what stands beside it."""
    return len(orjson.dumps(record)) <= LIMITS.event_bytes * 3 // 4


def fit(record: dict[str, Any]) -> dict[str, Any]:
    """Values by name within the size of an event."""
    for text, items in ROUNDS:
        if fits(record):
            break
        record = {key: shorten(value, text, items) for key, value in record.items()}
    return record


def fit_outcome(record: dict[str, Any]) -> dict[str, Any]:
    """A step's outcome within the size of an event. Readers rely on its shape: tries, assertions and pairs of values stay
    what they are, and a try says how many of its assertions were `left_out` (those that hold go first)."""
    for text, items in ROUNDS:
        if fits(record):
            break
        loose = {key: shorten(record[key], text, items) for key in ("outputs", "result", "error", "reason", "exchange")}
        record = {**record, **loose, "tries": [_shorter_try(made, text, items) for made in record["tries"]]}
    return record


def _shorter_try(made: Mapping[str, Any], text: int, items: int) -> dict[str, Any]:
    checks: Sequence[Mapping[str, Any]] = made["assertions"]
    by_weight = sorted(range(len(checks)), key=lambda index: (checks[index]["passed"], index))
    kept = [_shorter_check(checks[index], text, items) for index in sorted(by_weight[:items])]
    left_out = made.get("left_out", 0) + len(checks) - len(kept)
    return {**made, "error": shorten(made["error"], text, items), "assertions": kept, "left_out": left_out}


def _shorter_check(check: Mapping[str, Any], text: int, items: int) -> dict[str, Any]:
    names = ("expression", "message", "error", "expected", "actual")
    values = [[shorten(said, text), shorten(value, text, items)] for said, value in check["values"][:items]]
    diff = [shorten(line, text) for line in check["diff"][:items]]
    return {**check, **{name: shorten(check[name], text, items) for name in names}, "values": values, "diff": diff}
