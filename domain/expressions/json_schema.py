"""The function `json_schema`: whether a value fits a JSON Schema (drafts 4 to 2020-12), and where it does not."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from domain.expressions.errors import Fault
from domain.expressions.frame import Frame, kind_of

_TOLD = 20


def json_schema(frame: Frame, value: Any, schema: Any) -> bool:
    """Whether the value fits; what does not is noted in the frame. Fault of kind value for what is no schema."""
    if isinstance(schema, str):
        try:
            schema = json.loads(schema)
        except ValueError:
            raise Fault("value", "the schema is a text, but not JSON", "give an object, or its JSON") from None
    if not isinstance(schema, dict | bool):
        raise Fault("type", f"a schema is an object, not {kind_of(schema)}")
    frame.charge(_size(value) + _size(schema))
    found: list[str] = []
    for error in _validator(json.dumps(schema, sort_keys=True)).iter_errors(value):
        if len(found) == _TOLD:
            found.append("... and more")
            break
        found.append(f"{_path(error.instance_path)}: {str(error.message)[:200]}")
    frame.notes.extend(found)
    return not found


@lru_cache(maxsize=64)
def _validator(text: str) -> Any:
    """Patterns are searched in linear time, and nothing is ever fetched."""
    import jsonschema_rs

    try:
        return jsonschema_rs.validator_for(
            json.loads(text), pattern_options=jsonschema_rs.RegexOptions(), validate_formats=True, offline=True
        )
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        reason = str(getattr(error, "message", error)).splitlines()[0]
        raise Fault("value", f"not a JSON Schema: {reason[:200]}", "references must stay within the schema") from None


def _path(parts: list[str | int]) -> str:
    return "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)


def _size(value: Any) -> int:
    """Parts of a value, roughly."""
    count, pending = 0, [value]
    while pending:
        item = pending.pop()
        count += 1
        if isinstance(item, dict):
            pending.extend(item.values())
        elif isinstance(item, list):
            pending.extend(item)
    return count
