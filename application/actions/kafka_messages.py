"""Messages of Kafka as plain data, and plain data as messages."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from application.actions.json_values import depth_of, no_constant
from application.engine.action import ActionError
from domain.expressions.errors import Fault, did_you_mean
from domain.expressions.values import to_text
from domain.values import dataclass

_KEYS = ("value", "payload", "key", "headers", "partition")
_MOST_HEADERS = 1_000
_MOST_DIGITS = 100


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message as it goes out. A value of None deletes the key in a compacted topic."""

    value: bytes | None
    key: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    partition: int | None


def read_messages(config: Mapping[str, Any], most: int) -> list[Outgoing]:
    """The message of value or payload, or those of `messages`, in order. ActionError `config`."""
    several = config.get("messages")
    if several is None:
        return [_outgoing(config, "")]
    if given := [name for name in ("value", "payload") if name in config]:
        raise ActionError("config", f"messages and {given[0]} are given: write each message into the list")
    if not isinstance(several, list | tuple) or not 1 <= len(several) <= most:
        raise ActionError("config", f"messages must be a list of 1 to {most}")
    common = {name: config[name] for name in ("key", "headers", "partition") if config.get(name) is not None}
    return [_outgoing(_item(item, index, common), f"messages[{index}].") for index, item in enumerate(several)]


def record_of(message: Any, depth: int) -> dict[str, Any]:
    """What has arrived: topic, partition, offset, timestamp (ISO 8601), key, value and headers."""
    return {
        "value": _parsed(message.value, depth),
        "key": _text(message.key),
        "headers": _headers_of(message.headers),
        "topic": message.topic,
        "partition": message.partition,
        "offset": message.offset,
        "timestamp": time_text(message.timestamp),
    }


def time_text(milliseconds: int | None) -> str | None:
    """A time of Kafka as ISO 8601 in UTC; None when there is none."""
    if milliseconds is None or not 0 <= milliseconds < 253_402_300_800_000:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _item(item: Any, index: int, common: Mapping[str, Any]) -> Mapping[str, Any]:
    """A message of the list: an object with the keys of a message, or what is its value."""
    if not isinstance(item, Mapping) or not item.keys() & {"value", "payload"}:
        return {**common, "value": item}
    for name in item:
        if name not in _KEYS:
            raise ActionError("config", f"messages[{index}] has no key {name!r}", hint=did_you_mean(name, _KEYS))
    return {**common, **item}


def _outgoing(given: Mapping[str, Any], place: str) -> Outgoing:
    if "value" in given and "payload" in given:
        raise ActionError("config", f"{place}value and {place}payload are the same key: give one of them")
    value = given["value"] if "value" in given else given.get("payload")
    key = given.get("key")
    if value is None and key is None:
        raise ActionError(
            "config", f"{place}value is null", hint="a null value deletes a key, so it needs one; text may be empty"
        )
    return Outgoing(
        None if value is None else _bytes(f"{place}value", value),
        None if key is None else _bytes(f"{place}key", key),
        _headers(given.get("headers"), place),
        _partition(given.get("partition"), place),
    )


def _bytes(name: str, value: Any) -> bytes:
    """Text as it is, {"base64": ...} as bytes, everything else as JSON."""
    if isinstance(value, Mapping) and value.keys() == {"base64"}:
        try:
            return base64.b64decode(value["base64"], validate=True)
        except (ValueError, TypeError):
            raise ActionError("config", f"{name}.base64 is not base64") from None
    try:
        return to_text(value).encode()
    except Fault as fault:
        raise ActionError("config", f"{name}: {fault.message}") from None
    except UnicodeEncodeError:
        raise ActionError("config", f"{name}: half of a surrogate pair cannot be sent") from None


def _headers(value: Any, place: str) -> tuple[tuple[str, bytes], ...]:
    if value is None:
        return ()
    if not isinstance(value, Mapping):
        raise ActionError("config", f"{place}headers must be an object of names and values; a list repeats a name")
    pairs = []
    for name, given in value.items():
        for one in given if isinstance(given, list | tuple) else [given]:
            pairs.append((str(name), _bytes(f"{place}headers.{name}", one)))
    if len(pairs) > _MOST_HEADERS:
        raise ActionError("config", f"{place}headers are more than {_MOST_HEADERS}")
    return tuple(pairs)


def _partition(value: Any, place: str) -> int | None:
    if value is None:
        return None
    text = str(value)
    if isinstance(value, bool) or not (text.isascii() and text.isdigit() and len(text) < 10):
        raise ActionError("config", f"{place}partition must be a number from 0")
    return int(text)


def _headers_of(pairs: Sequence[tuple[str, bytes | None]]) -> dict[str, Any]:
    """By name; those that repeat are a list."""
    by_name: dict[str, list[Any]] = {}
    for name, value in pairs:
        by_name.setdefault(name, []).append(_text(value))
    return {name: values[0] if len(values) == 1 else values for name, values in by_name.items()}


def _text(value: bytes | None) -> Any:
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def _parsed(value: bytes | None, depth: int) -> Any:
    """The value when it is JSON that is not nested deeper than `depth`; else the text, or {"base64": ...} for other bytes."""
    text = _text(value)
    if not isinstance(text, str):
        return text
    try:
        parsed = json.loads(text, parse_constant=no_constant, parse_int=_integer)
    except (ValueError, RecursionError):
        return text
    return parsed if depth_of(parsed, depth) <= depth else text


def _integer(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError("too many digits")
    return int(digits)
