"""Reading of what is imported: JSON and YAML from outside, bounded in size, depth and count."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from domain.errors import Invalid, InvalidFlow, LimitExceeded
from domain.limits import LIMITS

_BODY_NODES = 2_000
_BODY_DEPTH = 32


def read_json(data: bytes, what: str) -> Any:
    """The value of a JSON document. Invalid says where it is broken; LimitExceeded when it is too large or too deep."""
    check_size(data, what)
    try:
        value = json.loads(data.decode("utf-8-sig"), parse_constant=_refuse)
    except UnicodeDecodeError:
        raise Invalid(f"{what} is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise Invalid(f"{what} is not JSON: line {error.lineno}, column {error.colno}: {error.msg}") from None
    except ValueError as error:
        raise Invalid(f"{what} is not JSON: {error}") from None
    except RecursionError:
        raise LimitExceeded(f"{what} is nested too deeply") from None
    check_shape(value, what)
    return value


def read_document(data: bytes, what: str) -> Any:
    """The value of a document in JSON or YAML 1.2; dates stay text, keys are texts."""
    if data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"["):
        return read_json(data, what)
    from application.documents.reader import read

    limits = replace(
        LIMITS,
        document_bytes=LIMITS.import_yaml_bytes,
        document_nodes=LIMITS.import_nodes,
        document_depth=LIMITS.import_depth,
        string_bytes=LIMITS.value_bytes,
    )
    document = read(data, what, limits)
    if document.problems:
        raise InvalidFlow(tuple(document.problems))
    return document.value


def check_size(data: bytes, what: str) -> None:
    """LimitExceeded for more bytes than are read."""
    if len(data) > LIMITS.import_bytes:
        raise LimitExceeded(f"{what} is larger than {LIMITS.import_bytes // (1024 * 1024)} MiB", remedy="import a part of it")


def check_shape(value: Any, what: str) -> None:
    """LimitExceeded for what is nested too deeply or has too many values."""
    depth, nodes = measure(value, LIMITS.import_nodes)
    if depth > LIMITS.import_depth:
        raise LimitExceeded(f"{what} is nested more than {LIMITS.import_depth} levels deep")
    if nodes > LIMITS.import_nodes:
        raise LimitExceeded(f"{what} has more than {LIMITS.import_nodes:,} values", remedy="import a part of it")


def measure(value: Any, most: int) -> tuple[int, int]:
    """Depth and number of the values in a value; counting ends beyond `most`."""
    level, depth, nodes = [value], 0, 0
    while level and nodes <= most:
        depth += 1
        nodes += len(level)
        level = [
            item for one in level if isinstance(one, dict | list) for item in (one.values() if isinstance(one, dict) else one)
        ]
        if depth > LIMITS.import_depth:
            break
    return depth, nodes


def json_body(text: str, most: int = _BODY_NODES) -> tuple[Any] | None:
    """The value of a body in JSON, in a tuple; None for what is not JSON, or says more than its value does (a name twice, a
    number that is too long), or is too large to be written out."""
    try:
        value = json.loads(text, parse_constant=_refuse, object_pairs_hook=_once)
        json.dumps(value, allow_nan=False)
    except (ValueError, RecursionError):
        return None
    depth, nodes = measure(value, most)
    return (value,) if depth <= _BODY_DEPTH and nodes <= most else None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in an object")
    return found


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")
